"""The road that all forges with a REST API share; a dialect says how each thing is asked. No forge by itself."""

from adapters.forges.hosted.answers import (
    everywhere,
    has_next,
    is_page,
    message_in,
    record_in,
    records_in,
    redacted,
    so,
    unreachable,
)
from adapters.forges.hosted.asking import APART, Answer, Call, Fate, Need, NoSense, Steps, Trouble, Verdict
from adapters.forges.hosted.dialect import Comment, Dialect, Offers, Room
from adapters.forges.hosted.forge import HostedForge
from adapters.forges.hosted.limits import Allowance, moment, windows
from adapters.forges.hosted.reading import Reading
from adapters.forges.hosted.road import Road
from adapters.forges.hosted.saying import Allowed
from adapters.forges.hosted.sign_in import Reveal, SignIn, TokenSignIn
from adapters.forges.hosted.transport import BadAddress, Transport, checked_api

__all__ = [
    "APART",
    "Allowance",
    "Allowed",
    "Answer",
    "BadAddress",
    "Call",
    "Comment",
    "Dialect",
    "Fate",
    "HostedForge",
    "Need",
    "NoSense",
    "Offers",
    "Reading",
    "Reveal",
    "Road",
    "Room",
    "SignIn",
    "Steps",
    "TokenSignIn",
    "Transport",
    "Trouble",
    "Verdict",
    "checked_api",
    "everywhere",
    "has_next",
    "is_page",
    "message_in",
    "moment",
    "record_in",
    "records_in",
    "redacted",
    "so",
    "unreachable",
    "windows",
]
