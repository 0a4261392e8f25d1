"""A host's `systemctl`: really starts, stops and looks after the processes that the host's unit files name.

Called as `systemctl.py <folder of the host> <arguments of systemctl>`. A unit is `<folder>/units/<name>.service`:

    [Service]
    ExecStart="/usr/bin/python3" -I -S "/.../current/matchmaker.jar" --port 41873
    TimeoutStopSec=10

A service gets a session of its own, survives who started it, and writes to `<folder>/logs/<unit>.log`. Its process id
and start time are in `<folder>/run/<unit>.pid`. Exit codes are of systemctl(1): `is-active` gives 3 for what does not
run, 4 for what there is not.
"""
# ruff: noqa: PTH105, PTH110, PTH118, PTH123
# pathlib alone takes as long to import as the interpreter takes to start.

import contextlib
import fcntl
import os
import signal
import sys
import time

FAILED, INACTIVE, UNKNOWN, NOT_FOUND = 1, 3, 4, 5
DEFAULT_STOP = 90.0  # seconds, as systemd's DefaultTimeoutStopSec


class Trouble(Exception):
    """A sentence for stderr, and the exit code."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


class Unit:
    """One unit of a host."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder = folder
        self.name = name if "." in name else f"{name}.service"
        self._pid_file = os.path.join(folder, "run", f"{self.name}.pid")
        self._said = _read(os.path.join(folder, "units", self.name))
        if self._said is None:
            raise Trouble(NOT_FOUND, f"Unit {self.name} could not be found.")

    def setting(self, key: str, default: str = "") -> str:
        """The value of a key of the unit file."""
        lines = (self._said or "").splitlines()
        return next((line.partition("=")[2].strip() for line in lines if line.startswith(f"{key}=")), default)

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        said = (_read(self._pid_file) or "").split()
        if len(said) == 2 and began(int(said[0])) == said[1]:
            return int(said[0])
        return None

    def start(self) -> None:
        """Begin it unless it runs. Returns when the program was executed, as for `Type=simple`."""
        if self.pid is not None:
            return
        if os.path.exists(os.path.join(self.folder, "run", "ended")):
            raise Trouble(FAILED, "This host was terminated.")
        command = words(self.setting("ExecStart"))
        log = os.path.join(self.folder, "logs", f"{self.name}.log")
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "SANDBOX_HOST": self.folder}
        os.chdir("/")
        try:
            pid = os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True)
        except OSError as error:
            raise Trouble(FAILED, f"Failed to start {self.name}: {command[0]}: {error.strerror}") from None
        _write(self._pid_file, f"{pid} {began(pid)}\n")

    def stop(self) -> None:
        """SIGTERM, then after the unit's time SIGKILL."""
        self._end(signal.SIGTERM, float(self.setting("TimeoutStopSec", str(DEFAULT_STOP))))
        self._end(signal.SIGKILL, 5.0)

    def _end(self, number: signal.Signals, within: float) -> None:
        until = time.monotonic() + within
        pid = self.pid
        if pid is not None:
            _send(pid, number)
        while self.pid is not None and time.monotonic() < until:
            time.sleep(0.01)


def words(text: str) -> list[str]:
    """A command line, split at spaces outside of double quotes."""
    parts = enumerate(text.split('"'))
    return [word for place, part in parts for word in ([part] if place % 2 else part.split())]


def began(pid: int) -> str:
    """When a process began, in ticks since boot; empty when it ended (a zombie ended)."""
    said = _read(f"/proc/{pid}/stat")
    if said is None:
        return ""
    fields = said.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


def _write(path: str, text: str) -> None:
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(f"{path}.new", path)


def carry_out(folder: str, verb: str, units: list[Unit]) -> int:
    """One command over its units, alone on this host. Gives the exit code."""
    with open(os.path.join(folder, "run", "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for unit in units:
            if verb in {"stop", "restart"}:
                unit.stop()
            if verb in {"start", "restart"}:
                unit.start()
    return 0


def look(verb: str, units: list[Unit], options: list[str]) -> int:
    """`is-active`, `show` and `status`."""
    states = ["inactive" if unit.pid is None else "active" for unit in units]
    for unit, state in zip(units, states, strict=True):
        if verb == "show":
            show(unit, state, options)
        elif not {"-q", "--quiet"} & set(options):
            print(state if verb == "is-active" else f"{unit.name}: {state}")
    return 0 if verb == "show" or "active" in states else INACTIVE


def show(unit: Unit, state: str, options: list[str]) -> None:
    """The properties of a unit that were asked for, all where none was."""
    pid = unit.pid
    since = int(began(pid) or 0) * (1_000_000 // os.sysconf("SC_CLK_TCK")) if pid else 0
    known = {
        "Id": unit.name,
        "LoadState": "loaded",
        "ActiveState": state,
        "SubState": "running" if state == "active" else "dead",
        "MainPID": pid or 0,
        "ExecMainStartTimestampMonotonic": since,
    }
    asked = [name for each in options if each.startswith("--property=") for name in each.partition("=")[2].split(",")]
    for name in asked or known:
        print(known.get(name, "") if "--value" in options else f"{name}={known.get(name, '')}")


def parsed(arguments: list[str]) -> tuple[str, list[str], list[str]]:
    """Verb, names, options; `-p NAME` is read as `--property=NAME`."""
    words: list[str] = []
    options: list[str] = []
    left = iter(arguments)
    for each in left:
        if each == "-p":
            options.append(f"--property={next(left, '')}")
        elif each.startswith("-"):
            options.append(each)
        else:
            words.append(each)
    return (words[0], words[1:], options) if words else ("", [], options)


def main(folder: str, arguments: list[str]) -> int:
    """Gives the exit code."""
    verb, names, options = parsed(arguments)
    if verb in {"daemon-reload", "reset-failed", "enable", "disable"}:
        return 0
    if verb not in {"is-active", "show", "status", "start", "stop", "restart"} or not names:
        print(f"Unknown command verb '{verb}', or no unit.", file=sys.stderr)
        return FAILED
    try:
        units = [Unit(folder, name) for name in names]
        if verb in {"is-active", "show", "status"}:
            return look(verb, units, options)
        return carry_out(folder, verb, units)
    except Trouble as trouble:
        if verb == "is-active":
            print("inactive")
            return UNKNOWN
        print(trouble, file=sys.stderr)
        return trouble.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
