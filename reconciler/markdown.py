"""Anybody's text in Markdown that GitHub, GitLab and Gitea show: what it says is seen, and does nothing.

All of it goes into code spans, in which neither Markdown nor HTML, links, mentions and commands to bots mean anything.
What could end a span or a table's cell, or be looked for in the raw text by other programs, is written differently.
"""

from reconciler.speech import one_line

LONGEST = 300  # characters of one span
_IN_ADDRESSES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/:?=.~_-")
_SPELT = str.maketrans({"`": "'", "|": "¦"})


def code(text: str, longest: int = LONGEST) -> str:
    """One code span on one line, also in a table's cell."""
    shown = one_line(text).translate(_SPELT)
    shown = shown if len(shown) <= longest else shown[: longest - 1].rstrip() + "…"
    shown = shown.replace("<!", "< !").replace("-->", "-- >").replace("@", "@\u2060")
    return f"`{shown}`" if shown.strip() else "` `"


def link(text: str, address: str) -> str:
    """A link with our own words. What could end it, or the table's cell, is percent-encoded in the address."""
    encoded = "".join(chr(byte) if byte in _IN_ADDRESSES else f"%{byte:02X}" for byte in address.encode())
    return f"[{text}]({encoded})"
