"""What every forge does with statuses, over each forge that there is; and what git notes do beyond that."""

import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapters.forges.git_notes import REF, GitNotes, Line, Note
from desired_state.mirror import Mirror
from fairlead_sandbox.forge.vendor import Name
from fairlead_sandbox.git_server import GitServer
from reconciler.ports import Forge, LeaseLost, Undelivered
from reconciler.record import CommitStatus, Medium, State
from tests.contract.forges.hosted_worlds import MakeSite

NOW = datetime(2026, 11, 23, 20, 15, 3, tzinfo=UTC)
AUTHOR = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com"}
WHO = AUTHOR | {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com", "GIT_CONFIG_GLOBAL": "/dev/null"}


def git(folder: Path, *args: str, stdin: str | None = None) -> str:
    done = subprocess.run(["git", "-C", str(folder), *args], env={"PATH": "/usr/bin:/bin"} | WHO, capture_output=True,
                          text=True, check=True, input=stdin)  # fmt: skip
    return done.stdout.strip()


@dataclass(slots=True)
class HeldLease:
    """A lease that is held until a test takes it away; `before` runs at each check."""

    key: str = "statuses:main"
    lost: bool = False
    before: list[Callable[[], None]] = field(default_factory=list)
    checks: int = 0

    def check(self) -> None:
        self.checks += 1
        if self.before:
            self.before.pop(0)()
        if self.lost:
            raise LeaseLost(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A forge, and a way to look at it from outside. `read` gives what is shown on a commit, newest first."""

    forge: Forge
    read: Callable[[str], list[CommitStatus]]
    commits: tuple[str, ...]
    asked: Callable[[], int]  # requests so far
    break_down: Callable[[bool], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotesWorld(World):
    """With the repository behind it."""

    forge: GitNotes
    server: GitServer
    bare: Path
    again: Callable[[str], GitNotes]

    def notes_ref(self) -> str:
        return git(self.bare, "for-each-ref", "--format=%(objectname)", REF)

    def pushes(self) -> int:
        return sum(each.service == "git-receive-pack" and each.method == "POST" for each in self.server.accesses)


def commits_of(bare: Path, count: int) -> tuple[str, ...]:
    """A straight history, in one process however long; oldest first."""
    stream = "".join(
        f"commit refs/heads/main\ncommitter a <a@example.com> {1_700_000_000 + n} +0000\ndata 1\nx\n\n"
        for n in range(count)
    )
    git(bare, "fast-import", "--quiet", stdin=stream)
    return tuple(git(bare, "rev-list", "--reverse", "main").split())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "served") as running:
        yield running


def notes_world(server: GitServer, tmp_path: Path, commits: int = 3) -> NotesWorld:
    url = server.create("desired")
    made = commits_of(server.path("desired"), commits)

    def again(name: str) -> GitNotes:
        return GitNotes(Mirror(tmp_path / name, url, "main", None, 10), repository="main", jitter=lambda: 1.0)

    forge = again("mirror")
    bare = server.path("desired")

    def break_down(broken: bool) -> None:
        server.faults.refuse_with = 503 if broken else None

    return NotesWorld(
        forge=forge,
        read=forge.read,
        commits=made,
        asked=lambda: len(server.accesses),
        break_down=break_down,
        server=server,
        bare=bare,
        again=again,
    )


def hosted_world(make: MakeSite, kind: Name) -> World:
    site = make(kind)
    return World(forge=site.forge(), read=site.read, commits=site.commits, asked=site.asked, break_down=site.break_down)


FORGES = {
    "git_notes": lambda get: notes_world(get("server"), get("tmp_path")),
    "github": lambda get: hosted_world(get("make_site"), "github"),
    "gitlab": lambda get: hosted_world(get("make_site"), "gitlab"),
    "gitea": lambda get: hosted_world(get("make_site"), "gitea"),
}


@pytest.fixture(params=sorted(FORGES))
def world(request: pytest.FixtureRequest) -> World:
    return FORGES[request.param](request.getfixturevalue)


def shown(statuses: Iterable[CommitStatus]) -> list[CommitStatus]:
    """As every forge can show them: GitHub keeps a time of its own."""
    return [replace(each, at=None) for each in statuses]


def status(commit: str, state: State = State.SUCCESS, text: str = "1.4.2 on 2/2 units", **more: object) -> CommitStatus:
    first = CommitStatus(
        repository="main", commit=commit, context="fairlead/prod/checkout", state=state, description=text, at=NOW
    )
    return replace(first, **more)  # type: ignore[arg-type]


def waiting(*statuses: CommitStatus, attempts: int = 0) -> list[Undelivered]:
    return [Undelivered(id=n, sequence=n, status=each, attempts=attempts) for n, each in enumerate(statuses, 1)]


# ── every forge ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_status_can_be_read_where_it_was_put(world: World) -> None:
    told = status(world.commits[0], target_url="https://fairlead.example.com/fleets/prod/checkout")

    (delivery,) = world.forge.deliver(HeldLease(), waiting(told), NOW)

    assert (True, None) == (delivery.delivered, delivery.retry_at)
    assert shown([told]) == shown(world.read(world.commits[0]))


def test_nothing_to_say_touches_nothing(world: World) -> None:
    assert () == tuple(world.forge.deliver(HeldLease(), [], NOW))
    assert 0 == world.asked()


def test_each_context_of_a_commit_keeps_its_own_newest_word(world: World) -> None:
    commit = world.commits[0]
    pending = status(commit, State.PENDING, "wave 1/2")
    roll_up = status(commit, State.PENDING, "1 of 2 fleets", context="fairlead/prod")
    done = status(commit, at=NOW + timedelta(seconds=48))

    world.forge.deliver(HeldLease(), waiting(pending, roll_up), NOW)
    world.forge.deliver(HeldLease(), waiting(done), NOW)

    assert shown([done, roll_up]) == shown(world.read(commit))


def test_a_commit_that_is_not_there_refuses_its_own_status_only(world: World) -> None:
    told = waiting(status("12" * 20), there := status(world.commits[1]), attempts=5)
    told[0] = replace(told[0], absent_since=NOW - timedelta(minutes=10))

    refused, delivered = world.forge.deliver(HeldLease(), told, NOW)

    assert (False, None) == (refused.delivered, refused.retry_at)
    assert "the repository has no commit 121212121212: no status can be put on it" == refused.message
    assert delivered.delivered
    assert shown([there]) == shown(world.read(world.commits[1]))


def test_an_outage_delays_statuses_and_loses_none(world: World) -> None:
    told = waiting(status(world.commits[0]), status(world.commits[1]), attempts=3)
    world.forge.deliver(HeldLease(), waiting(status(world.commits[2])), NOW)
    world.break_down(True)

    during = world.forge.deliver(HeldLease(), told, NOW)
    world.break_down(False)
    after = world.forge.deliver(HeldLease(), told, NOW)

    assert [(False, NOW + timedelta(seconds=16))] * 2 == [(each.delivered, each.retry_at) for each in during]
    assert all("cannot be reached" in each.message for each in during)
    assert [True, True] == [each.delivered for each in after]


def test_waiting_for_a_forge_that_stays_down_is_capped_at_five_minutes(world: World) -> None:
    world.break_down(True)

    (delivery,) = world.forge.deliver(HeldLease(), waiting(status(world.commits[0]), attempts=10_000), NOW)

    assert NOW + timedelta(minutes=5) == delivery.retry_at


def test_a_lost_lease_sends_nothing(world: World) -> None:
    with pytest.raises(LeaseLost):
        world.forge.deliver(HeldLease(lost=True), waiting(status(world.commits[0])), NOW)

    assert [] == world.read(world.commits[0])


def test_the_same_batch_again_changes_nothing(world: World) -> None:
    told = waiting(*(status(commit) for commit in world.commits))
    world.forge.deliver(HeldLease(), told, NOW)
    before = [world.read(commit) for commit in world.commits]

    again = world.forge.deliver(HeldLease(), told, NOW + timedelta(hours=1))

    assert [True, True, True] == [each.delivered for each in again]
    assert before == [world.read(commit) for commit in world.commits]


def test_a_description_that_is_too_long_is_cut(world: World) -> None:
    told = status(world.commits[0], text="x" * 141)

    (delivery,) = world.forge.deliver(HeldLease(), waiting(told), NOW)

    assert delivery.delivered
    assert ["x" * 139 + "…"] == [each.description for each in world.read(world.commits[0])]


@pytest.mark.parametrize("after", [State.PENDING, State.FAILURE, State.SUCCESS])
def test_a_word_that_ended_may_begin_again(world: World, after: State) -> None:
    for word in (
        status(world.commits[0], State.PENDING, "wave 1/2"),
        status(world.commits[0]),
        status(world.commits[0], after, "set again by 1234abc", at=NOW + timedelta(minutes=1)),
    ):
        (delivery,) = world.forge.deliver(HeldLease(), waiting(word), NOW)
        assert delivery.delivered

    assert [(after, "set again by 1234abc")] == [
        (each.state, each.description) for each in world.read(world.commits[0])
    ]


@pytest.mark.parametrize(
    "word",
    [
        status("pull/1", medium=Medium.NOTICE, repository="notify-payments", context="prod/checkout"),
        status("ab" * 20, project="elsewhere/checkout"),
    ],
)
def test_what_it_does_not_show_is_refused_with_a_sentence_and_nothing_is_asked(
    world: World, word: CommitStatus
) -> None:
    (delivery,) = world.forge.deliver(HeldLease(), waiting(word), NOW)

    assert (False, None) == (delivery.delivered, delivery.retry_at)
    assert 20 < len(delivery.message)
    assert 0 == world.asked()


# ── git notes ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def notes(server: GitServer, tmp_path: Path) -> NotesWorld:
    return notes_world(server, tmp_path)


def test_the_same_batch_again_sends_nothing(notes: NotesWorld) -> None:
    told = waiting(*(status(commit) for commit in notes.commits))
    notes.forge.deliver(HeldLease(), told, NOW)
    notes.server.accesses.clear()

    again = notes.forge.deliver(HeldLease(), told, NOW + timedelta(hours=1))

    assert [True, True, True] == [each.delivered for each in again]
    assert 0 == notes.pushes()


@pytest.mark.parametrize(
    "more", [{"medium": Medium.COMMENT, "body": "x"}, {"medium": Medium.DEPLOYMENT}, {"project": "acme/checkout"}]
)
def test_what_is_no_status_of_the_repository_is_refused_without_a_look(notes: NotesWorld, more: Any) -> None:
    (refused,) = notes.forge.deliver(HeldLease(), waiting(status(notes.commits[0], **more)), NOW)

    assert ("git notes show statuses of their own repository, and nothing else", None) == (
        refused.message,
        refused.retry_at,
    )
    assert 0 == notes.asked()


def test_git_log_shows_the_line_to_a_person(notes: NotesWorld) -> None:
    notes.forge.deliver(HeldLease(), waiting(status(notes.commits[2], text="1.4.2 on 2/2 units in 48 s")), NOW)

    shown = git(notes.bare, "log", "-1", "--notes=fairlead", "--format=%N", "main")

    assert "success  fairlead/prod/checkout  1.4.2 on 2/2 units in 48 s  (2026-11-23T20:15:03Z)" == shown


def test_a_batch_is_one_commit_and_one_push(notes: NotesWorld) -> None:
    notes.forge.deliver(HeldLease(), waiting(*(status(commit) for commit in notes.commits)), NOW)

    assert "1" == git(notes.bare, "rev-list", "--count", REF)
    assert "fairlead <fairlead@localhost>" == git(notes.bare, "log", "-1", "--format=%cn <%ce>", REF)
    assert 1 == notes.pushes()


def test_two_writers_at_once_lose_nothing_of_each_other(notes: NotesWorld) -> None:
    other = notes.again("other")
    mine, theirs = status(notes.commits[0]), status(notes.commits[0], context="fairlead/prod/basket")

    def get_in_between() -> None:
        other.deliver(HeldLease(), waiting(theirs), NOW)

    (delivery,) = notes.forge.deliver(HeldLease(before=[get_in_between]), waiting(mine), NOW)

    assert delivery.delivered
    assert [theirs, mine] == notes.read(notes.commits[0])


def test_many_writers_at_once_all_arrive(notes: NotesWorld) -> None:
    contexts = [f"fairlead/prod/s{number}" for number in range(4)]
    delivered: list[bool] = []

    def write(number: int) -> None:
        forge, told = notes.again(f"m{number}"), status(notes.commits[0], context=contexts[number])
        delivered.extend(each.delivered for each in forge.deliver(HeldLease(), waiting(told), NOW))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [True] * 4 == delivered
    assert contexts == sorted(each.context for each in notes.read(notes.commits[0]))


def test_a_writer_that_is_always_overtaken_gives_up_for_now(notes: NotesWorld) -> None:
    other = notes.again("other")

    def overtake(number: int) -> None:
        told = status(notes.commits[1], text=f"word {number}", at=NOW + timedelta(seconds=number))
        other.deliver(HeldLease(), waiting(told), NOW)

    lease = HeldLease(before=[partial(overtake, number) for number in range(20)])
    (delivery,) = notes.forge.deliver(lease, waiting(status(notes.commits[0])), NOW)

    assert (False, 5) == (delivery.delivered, lease.checks)
    assert delivery.retry_at is not None
    assert delivery.retry_at > NOW


def test_an_older_word_does_not_replace_a_newer_one(notes: NotesWorld) -> None:
    newer = status(notes.commits[0], at=NOW + timedelta(minutes=1))
    notes.forge.deliver(HeldLease(), waiting(newer), NOW)

    (delivery,) = notes.forge.deliver(HeldLease(), waiting(status(notes.commits[0], State.PENDING, "old")), NOW)

    assert delivery.delivered
    assert [newer] == notes.read(notes.commits[0])


def test_a_word_from_a_far_future_is_replaced(notes: NotesWorld) -> None:
    forged = "failure  fairlead/prod/checkout  1.4.2 failed  (2999-01-01T00:00:00Z)"
    git(notes.bare, "notes", "--ref=fairlead", "add", "-m", forged, notes.commits[0])

    notes.forge.deliver(HeldLease(), waiting(status(notes.commits[0])), NOW)

    assert [status(notes.commits[0])] == notes.read(notes.commits[0])


def test_what_a_terminal_would_obey_is_not_in_a_note(notes: NotesWorld) -> None:
    notes.forge.deliver(HeldLease(), waiting(status(notes.commits[0], text="a\x1b[2Jb\u202ec")), NOW)

    assert ["a?[2Jb?c"] == [said.description for said in notes.read(notes.commits[0])]


def test_an_answer_that_got_lost_is_not_pushed_again(notes: NotesWorld) -> None:
    told = waiting(status(notes.commits[0]))
    notes.again("before-the-crash").deliver(HeldLease(), told, NOW)
    before = notes.notes_ref()

    (delivery,) = notes.forge.deliver(HeldLease(), told, NOW + timedelta(minutes=5))

    assert delivery.delivered
    assert before == notes.notes_ref()


def test_notes_that_the_remote_lost_are_put_there_again(notes: NotesWorld) -> None:
    told = waiting(status(notes.commits[0]))
    notes.forge.deliver(HeldLease(), told, NOW)
    git(notes.bare, "update-ref", "-d", REF)

    notes.forge.deliver(HeldLease(), told, NOW)

    assert [told[0].status] == notes.read(notes.commits[0])


def test_what_people_wrote_into_a_note_stays(notes: NotesWorld) -> None:
    git(notes.bare, "notes", "--ref=fairlead", "add", "-m", "rolled out by hand, see the call notes", notes.commits[0])

    notes.forge.deliver(HeldLease(), waiting(status(notes.commits[0])), NOW)

    lines = git(notes.bare, "notes", "--ref=fairlead", "show", notes.commits[0]).splitlines()
    assert "rolled out by hand, see the call notes" == lines[1]
    assert 2 == len(lines)


def test_a_remote_that_takes_no_notes_says_so_and_is_asked_later(notes: NotesWorld) -> None:
    hook = notes.bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'notes are not welcome' >&2\nexit 1\n")
    hook.chmod(0o755)

    (delivery,) = notes.forge.deliver(HeldLease(), waiting(status(notes.commits[0])), NOW)

    assert not delivery.delivered
    assert delivery.retry_at is not None
    assert "takes no push from us" in delivery.message


def test_a_folded_notes_tree_is_read_and_extended(server: GitServer, tmp_path: Path) -> None:
    world = notes_world(server, tmp_path, commits=600)
    told = [status(commit) for commit in world.commits]

    world.forge.deliver(HeldLease(), waiting(*told[:590]), NOW)
    world.forge.deliver(HeldLease(), waiting(*told[590:]), NOW)

    assert "tree" == git(world.bare, "ls-tree", "--format=%(objecttype)", REF).splitlines()[0]
    assert 600 == len(git(world.bare, "notes", "--ref=fairlead", "list").splitlines())
    assert [told[3]] == world.read(world.commits[3])


def test_newlines_and_runs_of_spaces_in_a_description_do_not_break_the_line(notes: NotesWorld) -> None:
    notes.forge.deliver(HeldLease(), waiting(status(notes.commits[0], text="a\nb  (2020-01-01T00:00:00Z)")), NOW)

    (said,) = notes.read(notes.commits[0])
    assert "a b (2020-01-01T00:00:00Z)" == said.description


@pytest.mark.parametrize("text", ["", "hello", "success fairlead/prod/x", "success  x  y  (2026-13-01T00:00:00Z)"])
def test_a_line_that_is_not_ours_is_not_read_as_one(text: str) -> None:
    assert None is Line.parse(text)


def test_a_note_reads_back_as_it_was_written() -> None:
    lines = [Line.of(status("ab" * 20, state, context=f"fairlead/{state}"), NOW) for state in State]
    note = Note(foreign=("by hand",)).merged(lines, NOW)

    assert note == Note.parse(str(note))
