"""References and tags (REST API, "Git database")."""

import re
from typing import Any

from fairlead_sandbox.forge.asked import Asked
from fairlead_sandbox.forge.bare import ABSENT, GitFailed
from fairlead_sandbox.forge.github import views
from fairlead_sandbox.forge.github.errors import not_found, refused
from fairlead_sandbox.forge.hosted import Hosted
from fairlead_sandbox.forge.moving import moving
from fairlead_sandbox.forge.wire import Answer, Page


def one(asked: Asked) -> Answer:
    """`heads/main` or `tags/v1`, by its exact name; an annotated tag is told by its own object."""
    sha = asked.hosted.bare.refs().get(f"refs/{asked.found['ref']}")
    if sha is None:
        raise not_found()
    return Answer(body=_ref(asked.hosted, f"refs/{asked.found['ref']}", sha))


def matching(asked: Asked) -> Answer:
    """Those whose name begins so."""
    wanted = f"refs/{asked.found['ref']}"
    found = {ref: sha for ref, sha in asked.hosted.bare.refs().items() if ref.startswith(wanted)}
    return Answer(body=[_ref(asked.hosted, ref, sha) for ref, sha in found.items()])


def tag(asked: Asked) -> Answer:
    """The object of an annotated tag, by its id."""
    found = asked.hosted.bare.tag(asked.found["sha"])
    if found is None or found.object != asked.found["sha"]:
        raise not_found()
    return Answer(body=views.tag_object(asked.hosted, found))


def tags(asked: Asked) -> Answer:
    """Names, with their commits."""
    page = Page(items=asked.hosted.bare.tags(), query=asked.request.query, url=f"{asked.hosted.url}/tags")
    return Answer(body=[views.tag(asked.hosted, each) for each in page.shown], headers=page.links())


def make_tag(asked: Asked) -> Answer:
    """An annotated tag's object; a reference has to be made to it."""
    asked.who.check("contents")
    sha, kind = asked.text("object"), asked.text("type")
    if kind != "commit" or not asked.hosted.bare.has_commit(sha):
        raise refused(422, "Object does not exist")
    lines = (f"object {sha}", "type commit", f"tag {asked.text('tag')}", f"tagger {asked.who.login} {_at(asked)}")
    text = "\n".join(lines) + f"\n\n{asked.text('message')}\n"
    made = asked.hosted.bare.git("hash-object", "-t", "tag", "-w", "--stdin", input=text)
    target = {"type": "commit", "sha": sha, "url": f"{asked.hosted.url}/git/commits/{sha}"}
    body = {"tag": asked.text("tag"), "sha": made, "message": asked.text("message"), "object": target}
    return Answer(status=201, body={**body, "url": f"{asked.hosted.url}/git/tags/{made}"})


def _at(asked: Asked) -> str:
    commit = asked.hosted.bare.git("log", "-1", "--format=%ct", asked.text("object"))
    return f"<{asked.who.email}> {commit} +0000"


def make(asked: Asked) -> Answer:
    """A new branch or tag."""
    asked.who.check("contents")
    ref, sha = asked.text("ref"), asked.text("sha")
    if not re.fullmatch(r"refs/(heads|tags)/.+", ref):
        raise refused(422, "Object does not exist" if ref.startswith("refs/") else "Reference name invalid")
    if asked.hosted.bare.resolve(sha) is None or not re.fullmatch("[0-9a-f]{40}", sha):
        raise refused(422, "Object does not exist")
    with moving(asked.hosted, asked.who):
        try:
            asked.hosted.bare.move(ref, sha, ABSENT)
        except GitFailed:
            raise refused(422, "Reference already exists") from None
    return Answer(status=201, body=_ref(asked.hosted, ref, sha))


def delete(asked: Asked) -> Answer:
    """It is gone."""
    asked.who.check("contents")
    with moving(asked.hosted, asked.who):
        sha = asked.hosted.bare.refs().get(f"refs/{asked.found['ref']}")
        if sha is None:
            raise refused(422, "Reference does not exist")
        asked.hosted.bare.move(f"refs/{asked.found['ref']}", ABSENT, sha)
    return Answer(status=204)


def _ref(hosted: Hosted, ref: str, sha: str) -> dict[str, Any]:
    tag = hosted.bare.tag(sha) if ref.startswith("refs/tags/") else None
    kind = "tag" if tag is not None and tag.object == sha else "commit"
    target = {"type": kind, "sha": sha, "url": f"{hosted.url}/git/{kind}s/{sha}"}
    return {"ref": ref, "url": f"{hosted.url}/git/{ref}", "object": target}
