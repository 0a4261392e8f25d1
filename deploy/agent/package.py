"""The Debian package of the agent: which file goes where, and what the package says of itself."""

from pathlib import Path

from deploy.agent.deb import Content, packed

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_SCRIPTS = ("postinst", "prerm", "postrm")
_COPYRIGHT = """\
Fairlead is licensed under the Apache License 2.0, see /usr/share/common-licenses/Apache-2.0. The packages that it
carries are in /opt/fairlead-agent/fairlead-agent.pyz, a zip file; the licence of each is below parts/*.dist-info in it.
"""


def debian_package(pyz: bytes, version: str, architecture: str, epoch: int) -> bytes:
    """The package's bytes."""
    files = {
        "opt/fairlead-agent/fairlead-agent.pyz": Content(data=pyz),
        "opt/fairlead-agent/launcher.py": _file(_HERE / "launcher.py"),
        "usr/bin/fairlead-agent": _file(_HERE / "fairlead-agent.sh", 0o755),
        "usr/lib/systemd/system/fairlead-agent.service": _file(_ROOT / "deploy/systemd/fairlead-agent.service"),
        "usr/share/doc/fairlead-agent/examples/agent.yaml": _file(_HERE / "agent.yaml"),
        "usr/share/doc/fairlead-agent/copyright": Content(data=_COPYRIGHT.encode()),
    }
    scripts = {name: (_HERE / "debian" / name).read_text() for name in _SCRIPTS}
    return packed(_control(version, architecture), scripts, files, epoch)


def _file(path: Path, mode: int = 0o644) -> Content:
    return Content(data=path.read_bytes(), mode=mode)


def _control(version: str, architecture: str) -> dict[str, str]:
    return {
        "Package": "fairlead-agent",
        "Version": version,
        "Architecture": architecture,
        "Maintainer": "Fairlead <fairlead@localhost>",
        "Section": "admin",
        "Priority": "optional",
        "Depends": "python3 (>= 3.11), python3 (<< 3.15), ca-certificates",
        "Description": "carries out Fairlead's trigger deploys on this instance\n"
        " It keeps the host at what its fleets' signed orders say, and reports what is there.",
    }
