"""How git is run: every call has a deadline, a closed environment and errors that are sentences without secrets.

Git is told secrets through `GIT_CONFIG_*` variables, never through arguments or addresses, so that they show neither in
`ps` nor in an error. No file of the machine or the user configures it: Fairlead must not differ from host to host.
"""

import base64
import contextlib
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import git.cmd

from desired_state.git_errors import GitRefused, GitUnreachable, explain

_FIXED: Mapping[str, str] = {
    "core.hooksPath": os.devnull,
    "core.quotePath": "false",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.autoDetach": "false",
    "http.followRedirects": "false",  # a redirect could carry the credentials elsewhere
    "log.showRoot": "true",
    "log.showSignature": "false",
    "maintenance.autoDetach": "false",
    "protocol.allow": "never",
    "protocol.ext.allow": "never",
    "protocol.file.allow": "always",
    "protocol.http.allow": "always",
    "protocol.https.allow": "always",
    "protocol.ssh.allow": "always",
    "protocol.version": "2",
}
_SCHEMES = {"https", "http", "ssh", "file"}
_SCP = re.compile(r"^[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:[^:].*$")  # git@example.com:org/repository.git
_BRANCH = re.compile(r"^(?![-./])(?!.*(\.\.|//|@\{|\.lock(/|$)))[^\x00-\x20\x7f~^:?*\[\\]+(?<![./])$")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GitAuth:
    """Who we are to the host of a repository. `secret_value`: password, token, or the text of a private key."""

    kind: Literal["none", "basic", "bearer", "ssh_key"] = "none"
    user: str = ""
    secret_value: str = ""

    def __repr__(self) -> str:
        return f"GitAuth(kind={self.kind!r}, user={self.user!r})"

    @property
    def header(self) -> str | None:
        """The value of `Authorization`, or None where HTTP is not told who we are."""
        if self.kind == "basic":
            return "Basic " + base64.b64encode(f"{self.user}:{self.secret_value}".encode()).decode()
        return f"Bearer {self.secret_value}" if self.kind == "bearer" else None

    def scrub(self, text: str) -> str:
        """`text` with every form of the secret taken out."""
        header = self.header
        for secret in (header.partition(" ")[2] if header else "", self.secret_value):
            text = text.replace(secret, "***") if secret else text
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one git may take, with all that it starts; it is ended above."""

    seconds: float
    file: int  # bytes of the largest file that it writes, such as a pack
    memory: int = 2 * 1024**3  # bytes of address space, where the system can bound that

    @property
    def launcher(self) -> list[str]:
        """Words before the command: a shell that bounds itself and becomes it. POSIX counts files in 512 bytes."""
        script = 'ulimit -f "$0"; ulimit -v "$1" 2>/dev/null || :; shift; exec "$@"'
        return ["sh", "-c", script, str(self.file // 512), str(self.memory // 1024)]


def check_url(url: str) -> str:
    """`url`, when git may be given it: https, http, ssh, `user@host:path`, file or a path. Raises `GitRefused`."""
    scheme = urlsplit(url).scheme if "://" in url else ""
    option = re.search(r"^-|^[^/]*(://|@)-|^[^/]*://[^/]*@-", url)  # a host that ssh would read as an option
    if option or not url.strip() or "\0" in url or "\n" in url:
        raise GitRefused(f"{url!r} is no address of a repository: write https://, ssh://, file:// or a path")
    if "::" in url.split("/", 1)[0] or (scheme and scheme not in _SCHEMES):
        raise GitRefused(f"the transport of {scheme or url[:20]!r} is not allowed: use https, http, ssh or file")
    userinfo = urlsplit(url).netloc.rpartition("@")[0] if scheme else ""
    if userinfo and (scheme in {"http", "https"} or ":" in userinfo):
        raise GitRefused("the repository's url holds credentials: take them out and name them in its `auth`")
    return url


def check_branch(branch: str) -> str:
    """`branch`, when it is a branch's name to git. Raises `GitRefused`."""
    if not _BRANCH.match(branch):
        raise GitRefused(f"{branch!r} is no name of a branch: write one such as `main`")
    return branch


def is_http(url: str) -> bool:
    """Whether the repository is spoken to over HTTP."""
    return urlsplit(url).scheme in {"http", "https"}


def is_local(url: str) -> bool:
    """Whether the repository lies on this machine."""
    return url.startswith("file://") or ("://" not in url and not _SCP.match(url))


class GitCommand:
    """Runs git in one repository folder against one remote address."""

    def __init__(self, folder: Path, url: str, auth: GitAuth | None = None, timeout: float = 60) -> None:
        self.folder = folder.absolute()
        self.url = check_url(url)
        self.auth = auth or GitAuth()
        self.timeout = timeout

    def run(
        self,
        *args: str,
        input: bytes | None = None,  # noqa: A002  what subprocess calls it
        env: Mapping[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
        bounds: Bounds | None = None,
    ) -> bytes:
        """Standard output of `git <args>`. Raises `GitUnreachable` or `GitRefused`."""
        code, out, err = self.attempt(*args, input=input, env=env, pass_fds=pass_fds, bounds=bounds)
        if code:
            said = err.decode(errors="replace") + out.decode(errors="replace")
            raise explain(args[0], self.url, self.auth.scrub(said), local=is_local(self.url))
        return out

    def attempt(
        self,
        *args: str,
        input: bytes | None = None,  # noqa: A002
        env: Mapping[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
        bounds: Bounds | None = None,
    ) -> tuple[int, bytes, bytes]:
        """Exit code, output and error output. Raises `GitUnreachable` past the deadline; then all of it is ended."""
        timeout = min(self.timeout, bounds.seconds) if bounds else self.timeout
        with self._ssh_key() as ssh:
            variables = {**ssh, **(env or {})}
            process = self.start(*args, env=variables, pass_fds=pass_fds, stdin=input is not None, bounds=bounds)
            try:
                out, err = process.communicate(input, timeout=timeout)
            except subprocess.TimeoutExpired:
                raise GitUnreachable(
                    f"git {args[0]} with {self.url} was not done after {timeout:g} s: "
                    "is the host overloaded, or the deadline too short?"
                ) from None
            finally:
                end(process)
        return process.returncode, out, err

    def start(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
        stdin: bool = False,
        bounds: Bounds | None = None,
    ) -> subprocess.Popen[bytes]:
        """A git process of its own session, whose end (`end`) the caller sees to."""
        try:
            interrupt = git.cmd.Git(self._directory()).execute(
                [*(bounds.launcher if bounds else ()), *_without_work_tree(), "git", *args],
                as_process=True,
                istream=subprocess.PIPE if stdin else None,
                env={**self.environment(), **(env or {})},
                start_new_session=True,
                pass_fds=pass_fds,
            )
        except git.exc.GitCommandNotFound:
            raise GitRefused("there is no `git` program on PATH: install git 2.31 or newer") from None
        process: subprocess.Popen[bytes] = interrupt.proc  # type: ignore[assignment]
        interrupt.proc = None  # the process's end is ours
        return process

    def environment(self) -> dict[str, str]:
        """The variables that close git's environment. Values that a caller's shell had set are overridden."""
        folder = str(self.folder)
        return {
            **_as_variables({**_FIXED, **self._transport(), **self._credentials()}),
            "GIT_DIR": folder,
            "GIT_COMMON_DIR": folder,
            "GIT_OBJECT_DIRECTORY": f"{folder}/objects",
            "GIT_INDEX_FILE": f"{folder}/index",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
            "GIT_NAMESPACE": "",
            "GIT_CONFIG_PARAMETERS": "",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "GIT_TRACE_REDACT": "1",
            "GIT_SSH_COMMAND": _ssh(self.timeout),
            "GIT_PROTOCOL_FROM_USER": "0",
            "HOME": folder,  # no .netrc
        }

    def _transport(self) -> dict[str, str]:
        return {"http.lowSpeedLimit": "1", "http.lowSpeedTime": str(max(1, round(self.timeout)))}

    def _credentials(self) -> dict[str, str]:
        """The header, for this host alone."""
        if not self.auth.header or not is_http(self.url):
            return {}
        parts = urlsplit(self.url)
        return {f"http.{parts.scheme}://{parts.netloc}/.extraHeader": f"Authorization: {self.auth.header}"}

    def _directory(self) -> str:
        return str(self.folder if self.folder.is_dir() else self.folder.parent)

    @contextlib.contextmanager
    def _ssh_key(self) -> Iterator[dict[str, str]]:
        """The private key in a file that only we can read, for as long as one command runs."""
        if self.auth.kind != "ssh_key":
            yield {}
            return
        with tempfile.NamedTemporaryFile(prefix="fairlead-key-") as file:  # made with mode 0600
            file.write(self.auth.secret_value.strip().encode() + b"\n")
            file.flush()
            yield {"GIT_SSH_COMMAND": _ssh(self.timeout, key=file.name)}


def _without_work_tree() -> list[str]:
    """Inside some hooks a caller has this variable; it alone has no value that means what its absence means."""
    return ["env", "-u", "GIT_WORK_TREE"] if "GIT_WORK_TREE" in os.environ else []


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it started, and close its pipes."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()


def _as_variables(config: Mapping[str, str]) -> dict[str, str]:
    variables = {"GIT_CONFIG_COUNT": str(len(config))}
    for number, (key, value) in enumerate(config.items()):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables


def _ssh(timeout: float, key: str | None = None) -> str:
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", f"ConnectTimeout={max(1, round(timeout))}"]
    options += ["ServerAliveInterval=15", "ServerAliveCountMax=3"]
    words = ["ssh", *(word for option in options for word in ("-o", option))]
    if key:
        words += ["-o", "IdentitiesOnly=yes", "-i", key]
    return shlex.join(words)
