"""What goes into the agent's package: our own modules and its dependencies, as bytes by path.

The dependencies come as wheels, by pip and with the hashes of requirements.lock; or as they are installed here, which
`make install` did with the same hashes, so that tests need no network. Compiled modules carry the Python and the
machine that they are for in their names, so those of several Pythons lie side by side.
"""

import base64
import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackagePath, distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEEDED = ("botocore", "cffi", "cryptography", "jmespath", "python-dateutil", "pyyaml", "six", "urllib3")
SERVICES = ("autoscaling", "elbv2", "s3", "secretsmanager", "sqs", "sso", "sso-oidc", "sts")  # of botocore's data
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {"amd64": "x86_64", "arm64": "aarch64"}  # as Debian calls a machine, and Python
_MANYLINUX = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")
_OURS = (("cmd/fairlead_agent", "fairlead_agent"), ("adapters/agent_protocol", "adapters/agent_protocol"))
_LEGAL = re.compile(r"[^/]+\.dist-info/(METADATA|(licenses/.*|LICEN[CS]E|NOTICE|COPYING)[^/]*)")
_UNUSED = re.compile(
    r"_yaml/|yaml/_yaml|cffi/|\.\.|[^/]*\.data/|.*(\.pyi|\.pyc|/py\.typed|/examples-1\.json)$|.*/__pycache__/"
)
_DATA = re.compile(r"botocore/data/([^/]+)/")


class CannotBuild(Exception):
    """The message is one sentence that names the fix."""


Parts = Mapping[str, bytes]


def our_parts(version: str) -> Parts:
    """The agent's own modules, and a note of its version where `importlib.metadata` looks for it."""
    found = {"adapters/__init__.py": (ROOT / "adapters/__init__.py").read_bytes()}
    for folder, package in _OURS:
        for path in (ROOT / folder).rglob("*.py"):
            found[f"{package}/{path.relative_to(ROOT / folder)}"] = path.read_bytes()
    note = f"Metadata-Version: 2.1\nName: fairlead\nVersion: {version}\n"
    return {**found, f"fairlead-{version}.dist-info/METADATA": note.encode()}


def installed_parts() -> Parts:
    """The dependencies as they are installed here, for this Python. Raises `CannotBuild` where one was changed."""
    pins = pinned()
    found: dict[str, bytes] = {}
    for name in NEEDED:
        known = distribution(name)
        if known.version != pins[name].version:
            raise CannotBuild(
                f"{name} {known.version} is installed and {pins[name].version} is locked; run make install"
            )
        for path in known.files or ():
            if _is_wanted(str(path)):
                found[str(path)] = _unchanged(path)
    return found


def _unchanged(path: PackagePath) -> bytes:
    data = Path(str(path.locate())).read_bytes()
    sealed = path.hash.value if path.hash is not None else None
    if sealed != base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode():
        raise CannotBuild(f"{path} was changed since it was installed; remove .venv and run make install")
    return data


def downloaded_parts(architecture: str, wheels: Path) -> Parts:
    """The dependencies for a machine and all `PYTHONS`, by pip into the folder `wheels`. Raises `CannotBuild`."""
    wheels.mkdir(parents=True, exist_ok=True)
    lock = wheels / "requirements.txt"
    lock.write_text("".join(pin.text for pin in pinned().values()))
    for python in PYTHONS:
        _download(architecture, python, lock, wheels / python)
    found: dict[str, bytes] = {}
    for wheel in sorted(wheels.glob("*/*.whl")):
        found.update(_wheel_parts(wheel))
    return found


def _download(architecture: str, python: str, lock: Path, to: Path) -> None:
    platforms = [f"--platform={name}_{PLATFORMS[architecture]}" for name in _MANYLINUX]
    asked = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    asked += [f"--python-version={python}", "--implementation=cp", f"--abi=cp{python.replace('.', '')}", "--abi=abi3"]
    asked += [*platforms, "--abi=none", f"--requirement={lock}", f"--dest={to}"]
    ended = subprocess.run(asked, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise CannotBuild(f"pip gave no wheels for Python {python} on {architecture}: {ended.stderr.strip()[-2000:]}")


def _wheel_parts(wheel: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not name.endswith("/") and _is_wanted(name):
                yield name, archive.read(name)


def _is_wanted(path: str) -> bool:
    if ".dist-info/" in path:
        return _LEGAL.fullmatch(path) is not None
    data = _DATA.match(path)
    return _UNUSED.match(path) is None and (data is None or data[1] in SERVICES)


class Pin:
    """One dependency in requirements.lock: its version, and the lines with its hashes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.version = text.split("==")[1].split(maxsplit=1)[0]


def pinned(names: Iterable[str] = NEEDED) -> Mapping[str, Pin]:
    """What requirements.lock says of these. Raises `CannotBuild`."""
    blocks = re.split(r"\n(?=[a-z])", (ROOT / "requirements.lock").read_text())
    found = {block.partition("==")[0].strip(): Pin(f"{block.rstrip()}\n") for block in blocks if "==" in block}
    missing = sorted(set(names) - set(found))
    if missing:
        raise CannotBuild(f"requirements.lock has no {', '.join(missing)}; write it again")
    return {name: found[name] for name in names}
