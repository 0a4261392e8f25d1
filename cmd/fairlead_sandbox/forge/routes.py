"""The paths of the API (GitHub's own OpenAPI description of Enterprise Server 3.19 names them and what they answer)."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead_sandbox.forge import views
from fairlead_sandbox.forge.bare import ABSENT, GitFailed
from fairlead_sandbox.forge.dialect import DOCS, VERSION, Answer, Refused, Request, invalid, not_found, page
from fairlead_sandbox.forge.hosted import Addresses, Hosted
from fairlead_sandbox.forge.identities import Identities, Identity
from fairlead_sandbox.forge.limits import Meter
from fairlead_sandbox.forge.push_event import moving

Found = Mapping[str, str]
_REPOSITORY = "/repos/(?P<full_name>[^/]+/[^/]+)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody asks of a repository. `found` are the parts of the path."""

    hosted: Hosted
    request: Request
    found: Found
    who: Identity


class Routes:
    """Answers requests to the API on the repositories, by full name, that it is given."""

    def __init__(
        self, addresses: Addresses, hosted: Mapping[str, Hosted], identities: Identities, meter: Meter
    ) -> None:
        self._addresses = addresses
        self._hosted = hosted
        self._identities = identities
        self._meter = meter
        open_to_all: Sequence[tuple[str, str, Callable[[Request, Found], Answer]]] = (
            ("GET", "/?", self._root),
            ("GET", "/meta", self._meta),
            ("GET", "/app", self._app),
            ("POST", "/app/installations/(?P<id>[0-9]+)/access_tokens", self._access_token),
        )
        of_people: Sequence[tuple[str, str, Callable[[Request, Identity], Answer]]] = (
            ("GET", "/user", self._user),
            ("GET", "/rate_limit", self._rate_limit),
        )
        self._open = [(method, re.compile(path), act) for method, path, act in open_to_all]
        self._people = [(method, re.compile(path), act) for method, path, act in of_people]
        self._in_repository = [(method, re.compile(_REPOSITORY + path), act) for method, path, act in _OF_A_REPOSITORY]

    def answer(self, request: Request, known: Callable[[str], None]) -> Answer:
        """Raises `Refused`. `known` hears the login of who asks."""
        for method, pattern, act in self._open:
            found = pattern.fullmatch(request.path)
            if found and method == request.method:
                return act(request, found.groupdict())
        who = self._identities.who(request.authorization)
        known(who.login)
        headers = self._meter.admit(who.login, creates=request.method != "GET") if not _free(request) else {}
        answer = self._answer_to(request, who)
        return Answer(status=answer.status, body=answer.body, headers={**answer.headers, **headers})

    def _answer_to(self, request: Request, who: Identity) -> Answer:
        for method, pattern, act in self._people:
            if method == request.method and pattern.fullmatch(request.path):
                return act(request, who)
        for method, pattern, serve in self._in_repository:
            found = pattern.fullmatch(request.path)
            if found and method == request.method:
                hosted = self._hosted.get(found["full_name"])
                if hosted is None or (who.repositories is not None and hosted.name not in who.repositories):
                    raise not_found()
                return serve(Asked(hosted=hosted, request=request, found=found.groupdict(), who=who))
        raise not_found()

    def _root(self, request: Request, found: Found) -> Answer:
        api = self._addresses.api
        urls = {"current_user_url": f"{api}/user", "rate_limit_url": f"{api}/rate_limit"}
        return Answer(body={**urls, "repository_url": f"{api}/repos/{{owner}}/{{repo}}", "documentation_url": DOCS})

    def _meta(self, request: Request, found: Found) -> Answer:
        return Answer(body={"verifiable_password_authentication": True, "installed_version": VERSION})

    def _app(self, request: Request, found: Found) -> Answer:
        return Answer(body=views.app(self._identities.app(request.authorization), self._addresses))

    def _access_token(self, request: Request, found: Found) -> Answer:
        names = [hosted.name for hosted in self._hosted.values()]
        token = self._identities.installation_token(request.authorization, int(found["id"]), request.body, names)
        return Answer(status=201, body=token)

    def _user(self, request: Request, who: Identity) -> Answer:
        if who.app:
            raise Refused(403, "Resource not accessible by integration")
        return Answer(body=views.user(who.login, self._addresses))

    def _rate_limit(self, request: Request, who: Identity) -> Answer:
        if self._meter.limits is None:
            raise Refused(404, "Rate limiting is not enabled.")
        return Answer(body=views.rate(*self._meter.left(who.login)))


def _free(request: Request) -> bool:
    return request.path == "/rate_limit"


# ── in a repository ──────────────────────────────────────────────────────────────────────────────────────────────


def _repository(asked: Asked) -> Answer:
    return Answer(body=views.repository(asked.hosted, asked.who))


def _say_status(asked: Asked) -> Answer:
    asked.who.check("statuses")
    if not asked.hosted.bare.has_commit(asked.found["sha"]):
        raise Refused(422, f"No commit found for SHA: {asked.found['sha']}")
    said = asked.hosted.statuses.say(asked.found["sha"], asked.request.body, asked.who.login)
    body = views.status(asked.hosted, said)
    return Answer(status=201, body=body, headers={"Location": body["url"]})


def _statuses(asked: Asked) -> Answer:
    sha = _sha(asked.hosted, asked.found["ref"])
    shown, links = page(
        asked.hosted.statuses.all(sha), asked.request, f"{asked.hosted.url}/commits/{asked.found['ref']}/statuses"
    )
    return Answer(body=[views.status(asked.hosted, said) for said in shown], headers=links)


def _combined(asked: Asked) -> Answer:
    sha = _sha(asked.hosted, asked.found["ref"])
    newest = asked.hosted.statuses.newest(sha)
    shown, links = page(newest, asked.request, f"{asked.hosted.url}/commits/{asked.found['ref']}/status")
    return Answer(body=views.combined_status(asked.hosted, sha, newest, shown), headers=links)


def _commit(asked: Asked) -> Answer:
    commit = asked.hosted.bare.commits(_sha(asked.hosted, asked.found["ref"]), most=1)[-1]
    return Answer(body=views.commit(asked.hosted, commit))


def _commits(asked: Asked) -> Answer:
    commits = asked.hosted.bare.commits(
        _sha(asked.hosted, asked.request.query.get("sha") or asked.hosted.default_branch)
    )[::-1]
    shown, links = page(commits, asked.request, f"{asked.hosted.url}/commits")
    return Answer(body=[views.commit(asked.hosted, commit) for commit in shown], headers=links)


def _pulls(asked: Asked) -> Answer:
    filters = {name: asked.request.query[name] for name in ("state", "head", "base") if name in asked.request.query}
    shown, links = page(asked.hosted.pulls.all(**filters), asked.request, f"{asked.hosted.url}/pulls")
    return Answer(body=[views.pull(asked.hosted, pull) for pull in shown], headers=links)


def _pull(asked: Asked) -> Answer:
    pull = asked.hosted.pulls.one(int(asked.found["number"]))
    return Answer(body=views.pull(asked.hosted, pull, asked.hosted.pulls.mergeable(pull)))


def _open_pull(asked: Asked) -> Answer:
    asked.who.check("pull_requests")
    body = views.pull(asked.hosted, asked.hosted.pulls.open(asked.request.body, asked.who))
    return Answer(status=201, body=body, headers={"Location": body["url"]})


def _change_pull(asked: Asked) -> Answer:
    asked.who.check("pull_requests")
    return Answer(
        body=views.pull(asked.hosted, asked.hosted.pulls.change(int(asked.found["number"]), asked.request.body))
    )


def _merge_pull(asked: Asked) -> Answer:
    asked.who.check("contents")
    with moving(asked.hosted, asked.who):
        pull = asked.hosted.pulls.merge(int(asked.found["number"]), asked.request.body, asked.who)
    return Answer(body={"sha": pull.merge_commit, "merged": True, "message": "Pull Request successfully merged"})


def _make_ref(asked: Asked) -> Answer:
    asked.who.check("contents")
    ref, sha = str(asked.request.body.get("ref") or ""), str(asked.request.body.get("sha") or "")
    if not re.fullmatch(r"refs/(heads|tags)/.+", ref) or not asked.hosted.bare.has_commit(sha):
        raise Refused(422, "Object does not exist" if ref.startswith("refs/") else "Reference name invalid")
    with moving(asked.hosted, asked.who):
        try:
            asked.hosted.bare.move(ref, sha, ABSENT)
        except GitFailed:
            raise Refused(422, "Reference already exists") from None
    return Answer(status=201, body=_ref(asked.hosted, ref, sha))


def _delete_ref(asked: Asked) -> Answer:
    asked.who.check("contents")
    with moving(asked.hosted, asked.who):
        sha = asked.hosted.bare.refs().get(f"refs/{asked.found['ref']}")
        if sha is None:
            raise Refused(422, "Reference does not exist")
        asked.hosted.bare.move(f"refs/{asked.found['ref']}", ABSENT, sha)
    return Answer(status=204)


def _webhooks(asked: Asked) -> Answer:
    asked.who.check("administration")
    shown, links = page(asked.hosted.webhooks.all(), asked.request, f"{asked.hosted.url}/hooks")
    return Answer(body=[views.webhook(asked.hosted, hook) for hook in shown], headers=links)


def _add_webhook(asked: Asked) -> Answer:
    asked.who.check("administration")
    if asked.request.body.get("name", "web") != "web":
        raise invalid("Hook", "custom", field="name", message="name must be web")
    body = views.webhook(asked.hosted, asked.hosted.webhooks.add(asked.request.body))
    return Answer(status=201, body=body, headers={"Location": body["url"]})


def _deliveries(asked: Asked) -> Answer:
    asked.who.check("administration")
    made = [each for each in asked.hosted.webhooks.deliveries()[::-1] if each.hook.id == int(asked.found["id"])]
    shown, links = page(made, asked.request, f"{asked.hosted.url}/hooks/{asked.found['id']}/deliveries")
    return Answer(body=[views.delivery(each) for each in shown], headers=links)


def _sha(hosted: Hosted, ref: str) -> str:
    """The commit of a branch, a tag or an id. Raises `Refused`."""
    sha = ref if hosted.bare.has_commit(ref) else hosted.bare.resolve(ref)
    if sha is None:
        raise Refused(422, f"No commit found for SHA: {ref}")
    return sha


def _ref(hosted: Hosted, ref: str, sha: str) -> dict[str, Any]:
    target = {"type": "commit", "sha": sha, "url": f"{hosted.url}/git/commits/{sha}"}
    return {"ref": ref, "url": f"{hosted.url}/git/{ref}", "object": target}


_OF_A_REPOSITORY: Sequence[tuple[str, str, Callable[[Asked], Answer]]] = (
    ("GET", "", _repository),
    ("POST", "/statuses/(?P<sha>[^/]+)", _say_status),
    ("GET", "/commits/(?P<ref>.+)/statuses", _statuses),
    ("GET", "/commits/(?P<ref>.+)/status", _combined),
    ("GET", "/commits/(?P<ref>.+)", _commit),
    ("GET", "/commits", _commits),
    ("GET", "/pulls", _pulls),
    ("POST", "/pulls", _open_pull),
    ("GET", "/pulls/(?P<number>[0-9]+)", _pull),
    ("PATCH", "/pulls/(?P<number>[0-9]+)", _change_pull),
    ("PUT", "/pulls/(?P<number>[0-9]+)/merge", _merge_pull),
    ("POST", "/git/refs", _make_ref),
    ("DELETE", "/git/refs/(?P<ref>.+)", _delete_ref),
    ("GET", "/hooks", _webhooks),
    ("POST", "/hooks", _add_webhook),
    ("GET", "/hooks/(?P<id>[0-9]+)/deliveries", _deliveries),
)
