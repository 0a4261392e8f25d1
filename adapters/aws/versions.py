"""Evidence of the version that an image carries, best first (DESIGN 3, rule 7).

1. Our own tag on the image, `fairlead:package/<package>`.
2. The tag `appversion` as text, compared with the version that is looked for.
3. `appversion` parsed with the known package as its prefix. Never parsed bare: frigga's pattern reads `my-app-1.2` as
   package `my`, version `app`.

The grammar of `appversion` is Rosco's: `package-version[-h<build>[.<commit>]][/<job>/<build>]`; older bakeries wrote
the suffix as `-<commit>.h<build>`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PACKAGE_TAG = "fairlead:package/"
UNASKED = "unasked"  # in an inventory part, of an image that nothing is known of: why its owner could not be asked
_SUFFIX = r"-h\d+(?:\.\w+)?(?:~[-\w.~^]+)?|-\w+\.h\d+"  # -h<build>[.<commit>][~...], or -<commit>.h<build> of old
_BUILD = re.compile(rf"(?:{_SUFFIX})\Z", re.ASCII)
_ENDS_IN_BUILD = re.compile(r"(?:-h\d+(?:\.\w+)?|-\w+\.h\d+)\Z", re.ASCII)
_ENDS_IN_NUMBER = re.compile(r"-h\d+\Z", re.ASCII)
_AFTER = re.compile(rf"(?:{_SUFFIX})?(?:\Z|/)", re.ASCII)
_AFTER_BUILD = re.compile(r"(?:\.\w+)?(?:\Z|/)", re.ASCII)
_VERSION = re.compile(r"[0-9][-\w.+~:^]*", re.ASCII)  # of Debian: begins with a digit, holds no space


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The version of one package on one image; None: it says nothing of it. `conflict` is a sentence or empty."""

    version: str | None
    conflict: str = ""


def evidence(image: Mapping[str, Any] | None, image_id: str, package: str, expected: str) -> Evidence:
    """What the image `{name, tags}` says of `package`, when `expected` is the version that Git wants."""
    tags = (image or {}).get("tags", {})
    ours, text = tags.get(PACKAGE_TAG + package), tags.get("appversion")
    if ours is None:
        return Evidence(version=None if text is None else version_in(text, package, expected))
    said = None if text is None else version_in(text, package, ours)
    if said is None or said in {ours, _BUILD.sub("", ours)}:
        return Evidence(version=ours)
    sentence = (
        f"image {image_id} is tagged {PACKAGE_TAG}{package}={ours}, but its appversion says {said}; correct the tags"
    )
    return Evidence(version=None, conflict=sentence)


def version_in(text: str, package: str, expected: str) -> str | None:
    """The version of `package` that an `appversion` names, or None where it speaks of something else.

    Where `expected` carries the build suffix the answer keeps it, so that two builds of one version stay apart.
    """
    prefix = f"{package}-"
    if not text.startswith(prefix):
        return None
    if matches(text, package, expected):
        return expected
    rest = text[len(prefix) :].partition("/")[0]
    if not _VERSION.fullmatch(rest):  # a longer package name, or nothing that dpkg would install
        return None
    return rest if _ENDS_IN_BUILD.search(expected) else _BUILD.sub("", rest)


def matches(text: str, package: str, version: str) -> bool:
    """Whether an `appversion` is that of this version, by comparing text: exactly, or with build or job after it."""
    wanted = f"{package}-{version}"
    if not text.startswith(wanted):
        return False
    after = text[len(wanted) :]
    return bool((_AFTER_BUILD if _ENDS_IN_NUMBER.search(version) else _AFTER).match(after))
