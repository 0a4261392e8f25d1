"""Starts the agent: the release of it that is `current`, else the one of the package. It is never upgraded by orders.

A release that was not heard yet, as SQS took no report of it or it read no order, is on trial. Whatever is wrong with
it, this file goes back to the one before when it ended `STARTS` times and `LEAST` is over, or `health.within` and
`GRACE` after its first start. While it is on trial a process of this file watches it, and kills it when the time is
over.

All that is known is in the agent's own root, `/opt/fairlead-agent/self`, and is on the disk before it is acted on:

    heard            the newest release that was heard; the agent writes it
    trial.json       the release on trial, how often it was started, and since when; this file's
    went-back.json   the release that was gone back from, and why, until the agent has written it down; this file's
"""

import json
import os
import re
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(os.environ.get("FAIRLEAD_AGENT_SELF", "/opt/fairlead-agent/self"))
PACKAGED = Path(__file__).resolve().with_name("fairlead-agent.pyz")
NAME = "fairlead-agent.pyz"
STARTS, LEAST = 3, 60.0  # of a release on trial, and seconds: what is short, like metadata away, is not its fault
WITHIN, GRACE = 120.0, 30.0  # seconds
_ID = re.compile(r"[0-9a-f]{16}")


def main(arguments: list[str]) -> None:
    """Becomes the agent."""
    is_watched = arguments[:1] == ["run"] and "--once" not in arguments
    release = chosen() if is_watched else known_good()
    archive = archive_of(release) if release else PACKAGED
    if is_watched:
        os.environ.update(FAIRLEAD_AGENT_SELF=str(ROOT), FAIRLEAD_AGENT_RELEASE=release)
    os.execv(sys.executable, [sys.executable, "-I", str(archive), *arguments])  # noqa: S606 becomes it


def chosen() -> str:
    """The release to start, which may be on trial from now on; empty: the package's."""
    release = current()
    if not release or release == heard():
        return known_good()
    why, left = objection(release)
    if not why:
        with suppress(OSError):
            watch(release, left)
            return release
        why = "cannot be watched"
    go_back(release, why)
    return known_good()


def objection(release: str) -> tuple[str, float]:
    """Why a release on trial may not be started, empty where it may; and the seconds that it has left to be heard."""
    if read("went-back.json").get("release") == release:  # power was lost on the way back
        return str(read("went-back.json").get("why")), 0.0
    if not archive_of(release).is_file():
        return f"has no {NAME}", 0.0
    within, boot, now = patience(release), boot_id(), time.monotonic()
    starts, began = tried(release, boot, now)
    first = now if began is None else began
    left = first + within - now
    if starts >= STARTS and (began is None or now - began >= LEAST or left <= 0):  # None: it took the host with it
        return f"ended {starts} times before it was heard", 0.0
    if left <= 0:
        return f"did not report and read its order within {within:g} s", 0.0
    try:
        write("trial.json", json.dumps({"release": release, "starts": starts + 1, "boot": boot, "began": first}))
    except OSError as error:
        return f"could not be tried: {error}", 0.0
    return "", left


def tried(release: str, boot: str, now: float) -> tuple[int, float | None]:
    """How often a release was started, and when first; None: not since this boot. What makes no sense is no trial."""
    said = read("trial.json")
    try:
        starts, began = int(said["starts"]), float(said["began"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0, None
    if said.get("release") != release or starts < 0:
        return 0, None
    return starts, began if said.get("boot") == boot and 0 <= began <= now else None


def go_back(release: str, why: str) -> None:
    """Let `current` lead to the release that was heard last, or nowhere. What fails here is tried at the next start."""
    good = heard()
    say(f"the agent of release {release} {why}; going back to {good or 'the one of the package'}")
    with suppress(OSError):
        write("went-back.json", json.dumps({"release": release, "why": why}))
    with suppress(OSError):
        if good and archive_of(good).is_file():
            link = ROOT / ".current.new"
            link.unlink(missing_ok=True)
            link.symlink_to(f"releases/{good}")
            link.replace(ROOT / "current")
        else:
            (ROOT / "current").unlink(missing_ok=True)
        sync(ROOT)
        (ROOT / "trial.json").unlink(missing_ok=True)


def watch(release: str, seconds: float) -> None:
    """Leave a process behind that kills this one, the agent to be, unless it is heard in time. Raises OSError."""
    agent = os.pidfd_open(os.getpid())
    child = os.fork()
    if child == 0:
        leave_watcher(agent, release, seconds)
    os.close(agent)
    if os.waitpid(child, 0)[1]:
        raise OSError("there is nobody to watch it")


def leave_watcher(agent: int, release: str, seconds: float) -> NoReturn:
    """Of its own, so that the agent has no child that it does not know. Whatever happens, it becomes no agent."""
    failed = 1
    try:
        if os.fork() == 0:
            end_unless_heard(agent, release, seconds)
        failed = 0
    finally:
        os._exit(failed)


def end_unless_heard(agent: int, release: str, seconds: float) -> None:
    """Returns when the agent was heard, ended by itself or was ended."""
    until, ended = time.monotonic() + seconds, select.poll()
    ended.register(agent, select.POLLIN)
    while time.monotonic() < until and heard() != release:
        if ended.poll(1000):
            return
    if heard() != release:
        say(f"the agent of release {release} was not heard in time and is ended")
        signal.pidfd_send_signal(agent, signal.SIGKILL)


def known_good() -> str:
    """The release that was heard, where it is current or what is current was not; empty: the package's."""
    release = heard() if current() else ""
    return release if release and archive_of(release).is_file() else ""


def current() -> str:
    """The id of the release that is current, empty for none."""
    try:
        folder, _, name = str((ROOT / "current").readlink()).rpartition("/")
    except OSError:
        return ""
    return name if folder == "releases" and _ID.fullmatch(name) else ""


def heard() -> str:
    """The id of the release that was heard last, empty for none."""
    try:
        name = (ROOT / "heard").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
    return name if _ID.fullmatch(name) else ""


def archive_of(release: str) -> Path:
    """The program of a release."""
    return ROOT / "releases" / release / NAME


def patience(release: str) -> float:
    """Seconds that a release has to be heard."""
    try:
        said = json.loads((ROOT / "releases" / release / ".fairlead.json").read_bytes())
        return float(said["release"]["health"]["within"]) + GRACE
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return WITHIN + GRACE


def boot_id() -> str:
    """Another one after each reboot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def read(name: str) -> dict[str, Any]:
    """A file of ours; what cannot be read holds nothing."""
    try:
        found = json.loads((ROOT / name).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write(name: str, text: str) -> None:
    """A file that is whole, or as it was. Raises OSError."""
    unfinished = ROOT / f".{name}.new"
    with unfinished.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(ROOT / name)
    sync(ROOT)


def sync(folder: Path) -> None:
    """What was renamed in a folder stays renamed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def say(what: str) -> None:
    """A line among those of the agent."""
    with suppress(OSError):
        print(f"fairlead-agent launcher: {what}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
