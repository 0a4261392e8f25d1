"""Artifacts: downloaded under a temporary name, verified while they are read, and only then given their name."""

import hashlib
import random
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from adapters.agent_protocol.orders import Artifact
from adapters.agent_protocol.reports import Blame
from fairlead_agent.commands import Finished, Runner
from fairlead_agent.durable import check_room, digest_of, make_folder, remove
from fairlead_agent.streams import pieces
from fairlead_agent.trouble import Interrupted, Trouble, on_disk

TRIES = 3  # of a download that broke off
PAUSE = 1.0  # seconds before the second try on average, twice that before the third: hosts fail together
APT_WITHIN = 600.0  # seconds
_GONE = frozenset({"NoSuchKey", "NoSuchBucket", "404", "AccessDenied", "403", "InvalidObjectState"})
_APT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}


class Artifacts:
    """A folder of verified downloads, each under its SHA-256."""

    def __init__(self, folder: Path, s3: Callable[[], Any], run: Runner) -> None:
        self._folder = folder
        self._s3 = s3
        self._run = run

    def fetch(self, artifact: Artifact, stop: Event) -> Path:
        """The verified file. One that is there already is verified again and not downloaded.

        Raises `Trouble` (REFUSED: not there, not allowed, another checksum; TRANSIENT: S3 not reached, disk full), and
        `Interrupted` when `stop` was set; nothing has the final name then.
        """
        path = self._folder / artifact.sha256
        with on_disk(f"keep the artifact {artifact.name} in {self._folder}"):
            if path.is_file() and not path.is_symlink() and digest_of(path) == artifact.sha256:
                return path
            make_folder(self._folder)
            partial = self._folder / f".{artifact.sha256}.part"
            try:
                found = self._obtain(artifact, partial, stop)
                _check(artifact, found)
                partial.replace(path)  # not seen onto the disk: it is verified again before it is used again
            finally:
                remove(partial)
        return path

    def _obtain(self, artifact: Artifact, partial: Path, stop: Event) -> str:
        """The SHA-256 of what was written."""
        if artifact.source is not None:
            return _download(self._s3, artifact.source, partial, stop)
        if artifact.format != "deb":
            raise Trouble(Blame.REFUSED, f"the order does not say where {artifact.name} comes from; give it a `from`")
        return _from_apt(self._run, artifact, partial, stop)


def _check(artifact: Artifact, found: str) -> None:
    if found != artifact.sha256:
        what = artifact.source or f"{artifact.name}={artifact.version} of this host's apt repositories"
        said = f"{what} has sha256 {found}, and the order pins {artifact.sha256}"
        raise Trouble(Blame.REFUSED, f"{said}; restore the artifact, or bump to what was built")


class _BrokenOff(Trouble):
    """A download that may well go through when it is tried again at once."""


def _download(s3: Callable[[], Any], source: str, partial: Path, stop: Event) -> str:
    """Stream an object into a file, again where it broke off."""
    for attempt in range(1, TRIES + 1):
        try:
            return _stream(s3, source, partial, stop)
        except _BrokenOff:
            if attempt == TRIES:
                raise
        if stop.wait(random.uniform(0.0, 2 * PAUSE * attempt)):
            break
    raise Interrupted


def _stream(s3: Callable[[], Any], source: str, partial: Path, stop: Event) -> str:
    bucket, _, key = source.removeprefix("s3://").partition("/")
    try:
        answer = s3().get_object(Bucket=bucket, Key=key)
        with closing(answer["Body"]) as body:
            check_room(partial.parent, int(answer["ContentLength"]))
            return _write(pieces(body, f"download {source}", stop), partial)
    except ClientError as error:
        raise _refusal(source, str(error.response.get("Error", {}).get("Code", ""))) from None
    except ParamValidationError:
        raise Trouble(Blame.REFUSED, f"cannot download {source}: no bucket or key may be called so") from None
    except BotoCoreError as error:
        raise _BrokenOff(Blame.TRANSIENT, f"cannot download {source}: {type(error).__name__}") from None


def _refusal(source: str, code: str) -> Trouble:
    said = f"cannot download {source}: S3 answered {code}"
    if code in _GONE:
        return Trouble(Blame.REFUSED, f"{said}; {_advice(code)}")
    return _BrokenOff(Blame.TRANSIENT, f"{said}; it is tried again")


def _advice(code: str) -> str:
    if code in {"AccessDenied", "403"}:
        return "it is not there, or the host's role may not read it (s3:GetObject)"
    return "build and upload that version, or correct `from`"


def _write(chunks: Iterable[bytes], partial: Path) -> str:
    sha = hashlib.sha256()
    with partial.open("wb") as file:
        for chunk in chunks:
            sha.update(chunk)
            file.write(chunk)
    return sha.hexdigest()


def _from_apt(run: Runner, artifact: Artifact, partial: Path, stop: Event) -> str:
    """Download from the host's own repositories; its lists are read anew when they do not know the version yet."""
    folder = partial.with_name(f"{partial.name}.apt")
    remove(folder)
    folder.mkdir()
    try:
        done = _apt_download(run, artifact, folder, stop)
        if not done.well:
            run(["apt-get", "--quiet", "update"], within=APT_WITHIN, environment=_APT, stop=stop)
            done = _apt_download(run, artifact, folder, stop)
        found = sorted(folder.glob("*.deb"))
        if not done.well or len(found) != 1:
            raise _apt_trouble(artifact, done)
        found[0].replace(partial)
        return digest_of(partial)
    finally:
        remove(folder)


def _apt_download(run: Runner, artifact: Artifact, folder: Path, stop: Event) -> Finished:
    wanted = f"{artifact.name}={artifact.version}"
    options = ["--quiet", "--option", "APT::Sandbox::User=root"]  # the folder is not the sandbox user's
    return run(["apt-get", *options, "download", wanted], within=APT_WITHIN, cwd=folder, environment=_APT, stop=stop)


def _apt_trouble(artifact: Artifact, done: Finished) -> Trouble:
    unknown = "was not found" in done.output_tail or "Unable to locate" in done.output_tail
    said = f"apt-get cannot download {artifact.name}={artifact.version}"
    if unknown:
        why = "this host's repositories do not have it; publish it there, or give the package a `from`"
        return Trouble(Blame.REFUSED, f"{said}: {why}", done.output_tail)
    last = done.output_tail.rpartition("\n")[2][:300]
    return Trouble(Blame.TRANSIENT, f"{said}: it {done.how}: {last}", done.output_tail)
