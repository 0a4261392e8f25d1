"""A repository with every kind of broken file: each says exactly its sentence, and what is sound still converges."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

Text = str | bytes | None  # None: the file is taken away
DATA = Path(__file__).parents[1] / "data"
KINDS: list[dict[str, Any]] = yaml.safe_load((DATA / "broken" / "kinds.yaml").read_text(encoding="utf-8"))
A_PUSH = 20  # commits of one push are judged one by one
LONGEST = 140  # characters of a status
CATALOG = """\
owner: storefront
package: catalog
deploy:
  type: spinnaker
  application: catalog
  pipeline: "deploy-{environment}"
  parameters: {version: PKG_VERSION, region: REGION, ami: AMI, fairleadKey: FAIRLEAD_KEY}
  select: {cluster: "catalog-{environment}"}
"""
VALIDATE_ALL = """
import contextlib, io, json, sys
from fairlead.cli import app
for folder in sys.argv[1:]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            code = app(["validate", folder], standalone_mode=False) or 0
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, out.getvalue().splitlines()]))
"""
FAIRLEAD = str(Path(sys.executable).parent / "fairlead")


def design() -> dict[str, str]:
    folder = DATA / "design"
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.yaml")}


def laid_out(folder: Path, files: Mapping[str, Text]) -> str:
    """The design's repository on disk with a kind's files laid over it."""
    for path, text in {**design(), **files}.items():
        if text is not None:
            write(folder / path, text)
    return str(folder)


def write(file: Path, text: str | bytes) -> None:
    """Some kinds are bytes that are no text."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


def status_of(sentence: str, others: int) -> str:
    """What a commit's `fairlead/validate` says of this first sentence and so many others."""
    more = f" (+{others} more)" if others else ""
    room = LONGEST - len(more)
    return (sentence if len(sentence) <= room else sentence[: room - 1].rstrip() + "…") + more


def test_there_are_at_least_thirty_kinds() -> None:
    assert len({kind["kind"] for kind in KINDS}) >= 30


def test_validate_says_exactly_the_sentence_of_each_kind(tmp_path: Path) -> None:
    """The command of the one process is called once a kind; one kind more goes through the program itself."""
    folders = [laid_out(tmp_path / str(number), kind["files"]) for number, kind in enumerate(KINDS)]

    done = subprocess.run(
        [sys.executable, "-c", VALIDATE_ALL, *folders], capture_output=True, text=True, check=True, timeout=120
    )

    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [1] * len(KINDS) == [code for code, _ in told]
    for kind, (_, lines) in zip(KINDS, told, strict=True):
        assert kind["says"] == lines[: len(kind["says"])], kind["kind"]
        assert not [line for line in lines[len(kind["says"]) :] if ".yaml:" in line], kind["kind"]
    program = subprocess.run([FAIRLEAD, "validate", folders[0]], capture_output=True, text=True, check=False)
    assert (1, KINDS[0]["says"]) == (program.returncode, program.stdout.splitlines()[:1])


class Archive:
    """A repository whose history holds every kind, pushed in heaps of twenty commits."""

    def __init__(self, story: Any) -> None:
        self.story = story
        self.commits: list[tuple[dict[str, Any], str]] = []
        self._folder: Path = story.world.checkout.folder
        paths = story.world.checkout.git("ls-files").splitlines()
        self._sound = {path: (self._folder / path).read_text(encoding="utf-8") for path in paths}
        self._laid: set[str] = set()

    def commit(self, kind: dict[str, Any]) -> str:
        """The sound files with those of one kind laid over them, and nothing of the kind before."""
        for path in self._laid:
            self._put(path, self._sound.get(path))
        for path, text in kind["files"].items():
            self._put(path, text)
        self._laid = set(kind["files"])
        commit = self.story.world.checkout.commit(kind["kind"])
        self.commits.append((kind, commit))
        return str(commit)

    def _put(self, path: str, text: Text) -> None:
        if text is None:
            (self._folder / path).unlink(missing_ok=True)
        else:
            write(self._folder / path, text)

    def bump_catalog(self, version: str) -> None:
        """Comes with the next commit."""
        self._sound["environments/staging/catalog.yaml"] = f"version: {version}\n"
        self._put("environments/staging/catalog.yaml", f"version: {version}\n")


@pytest.fixture(scope="module")
def archive(begin_story: Any) -> Archive:
    """The design's repository with a fleet more, deployed; then every kind, twenty commits a push."""
    files = {**design(), "services/catalog.yaml": CATALOG, "environments/staging/catalog.yaml": "version: 1.0.0\n"}
    files["environments/prod/checkout.yaml"] = 'version: "1.4.2"\n'
    story = begin_story({path: text for path, text in files.items() if "matchmaker" not in path})
    matchmaker = {path: text for path, text in files.items() if "matchmaker" in path}
    story.world.merge("matchmaker has agents", matchmaker)
    archive = Archive(story)
    story.start()
    story.wait_said(story.world.checkout.head, "validate", "success")
    story.wait(lambda: story.record("staging/checkout").memory.status.ready, "staging/checkout is ready")
    story.wait(lambda: story.record("staging/catalog").memory.status.ready, "staging/catalog is ready")
    heads = [kind for kind in KINDS if list(kind["files"]) == ["environments/staging/checkout.yaml"]]
    rest = [kind for kind in KINDS if kind not in heads]
    pushes = -(-len(KINDS) // A_PUSH)
    rest += heads[pushes:]
    for number, head in enumerate(heads[:pushes]):
        for kind in rest[number * (A_PUSH - 1) : (number + 1) * (A_PUSH - 1)]:
            archive.commit(kind)
        archive.bump_catalog(f"1.{number + 1}.0")
        commit = archive.commit(head)
        story.world.checkout.push()
        story.wait_said(commit, "validate", "error")
    return archive


def test_every_commit_says_its_sentence(archive: Archive) -> None:
    assert {kind["kind"] for kind in KINDS} == {kind["kind"] for kind, _ in archive.commits}
    for kind, commit in archive.commits:
        line = archive.story.said(commit, "validate")
        assert (status_of(kind["says"][0], len(kind["says"]) - 1), "error") == (line.description, line.state), kind


def test_the_sound_fleet_of_the_same_push_converges(archive: Archive) -> None:
    story = archive.story
    head = archive.commits[-1][1]

    story.wait_said(head, "staging/catalog", "success", "1.5.0 on 1/1 units")

    assert {"1.5.0"} == story.versions("staging/catalog")


def test_the_broken_fleet_keeps_its_last_good_spec_and_is_stalled_until_it_is_mended(archive: Archive) -> None:
    story = archive.story
    story.wait_reason("staging/checkout", "InvalidSpec")
    code, status = story.fairlead("status", "staging/checkout")
    assert 1 == code
    assert archive.commits[-1][0]["says"] == status["problems"]
    assert "1.5.0-rc1" == status["desired"]
    assert "Stalled" in [each["type"] for each in status["conditions"] if each["status"]]
    assert [] == story.starts("staging/checkout")
    assert {"1.5.0-rc1"} == story.versions("staging/checkout")

    mended = story.world.merge("mend", {"environments/staging/checkout.yaml": "version: 1.6.0\n"})

    story.wait_said(mended, "staging/checkout", "success", "1.6.0 on 1/1 units")
    assert "success" == story.said(mended, "validate").state
