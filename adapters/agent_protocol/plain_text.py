"""What a host or a command on it said, as text that is safe to show: no escapes, no control characters.

A terminal obeys what begins with ESC (ECMA-48: `ESC [ ... final` and `ESC ] ... BEL` or `ESC \\`), and shows text in
another order where a format character (Unicode Cf, such as U+202E) says so. Neither is anybody's last word.
"""

import re

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, the cursor, clearing
    r"|(?:\x1b[]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS and such: titles, links
    r"|\x1b[ -/]*[0-~]"  # all others
)


def one_line(text: str) -> str:
    """The text without escapes, in one line."""
    return " ".join((text if text.isprintable() else _shown(_SEQUENCE.sub("", text), "")).split())


def lines(text: str) -> str:
    """The text without escapes, its line breaks kept. What was overwritten on a line (`\\r`) has lines of its own."""
    return _shown(_SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n"), "\n\t")


def _shown(text: str, kept: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in kept else " " for each in text)
