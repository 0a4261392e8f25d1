"""fairlead-agent.pyz: the parts in one file that Python runs. The same parts give the same bytes wherever it is made.

__main__.py     `bootstrap.py`
parts.json      {"id", "version", "pythons", "machines", "files": {path: SHA-256}}
parts/<path>    each part
"""

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from deploy.agent.parts import Parts

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
_SHEBANG = b"#!/usr/bin/env python3\n"


def zipped(parts: Parts, version: str, pythons: Sequence[str], machines: Sequence[str], epoch: int) -> bytes:
    """The file's bytes. `epoch`: seconds since 1970, of every member."""
    files = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(parts.items())}
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:32]
    said = {"id": digest, "version": version, "pythons": list(pythons), "machines": list(machines), "files": files}
    members = [("__main__.py", _BOOTSTRAP.read_bytes()), ("parts.json", json.dumps(said, indent=1).encode())]
    members += [(f"parts/{name}", parts[name]) for name in files]
    written = io.BytesIO(_SHEBANG)
    written.seek(0, io.SEEK_END)
    with zipfile.ZipFile(written, "a", compression=zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(_member(name, epoch), data)
    return written.getvalue()


def _member(name: str, epoch: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, date_time=time.gmtime(max(epoch, 315_532_800))[:6])  # a zip knows no day before 1980
    member.create_system, member.external_attr, member.compress_type = 3, 0o644 << 16, zipfile.ZIP_DEFLATED
    return member
