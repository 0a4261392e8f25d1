"""Environments and services out of names and tags that others gave. Pure.

A cluster is `app[-stack[-detail]]` (frigga); the environment is the stack or a part of the detail that is a word people
use for environments, or that the person mapped to one.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from desired_state.words import name_fault

_RANKS = (  # in the order in which a version travels; of one row all mean the same
    ("dev", "development"),
    ("test", "testing"),
    ("qa",),
    ("uat",),
    ("stage", "staging", "stg"),
    ("preprod",),
    ("prod", "production", "prd"),
)
RANK = {word: rank for rank, words in enumerate(_RANKS) for word in words}
_UNKNOWN = RANK["stage"]  # after what is for trying, before production
NAME_AT_MOST = 40


class Parts(NamedTuple):
    """What a cluster's name says."""

    application: str
    service: str
    word: str  # that names the environment; empty: none does


def parts_of(cluster: str, words: Mapping[str, str]) -> Parts:
    """Application, service and the word for the environment. `words` are those that the person mapped."""
    application, *rest = cluster.split("-")
    word = next((part for part in rest if part.lower() in RANK or part in words), "")
    if word:
        rest.remove(word)
    return Parts(application, slug("-".join([application, *filter(None, rest)])), word)


def slug(text: str) -> str:
    """A name that files may have, as like the text as can be; empty where nothing is left of it."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:NAME_AT_MOST].rstrip("-")
    return f"{name[:32].rstrip('-')}-service" if name and name_fault(name) else name


def is_fleet(name: str) -> bool:
    """Whether it is the name of a fleet, `environment/service`, as files can have it."""
    environment, _, service = name.partition("/")
    return name_fault(environment) is None and name_fault(service) is None


def in_order(environments: Iterable[str]) -> list[str]:
    """From the first to try a version to the last; what nobody knows comes before production."""
    return sorted(set(environments), key=lambda name: (rank_of(name), name))


def rank_of(environment: str) -> float:
    """Where it stands; a region behind its name does not count."""
    return next((RANK[word] for word in (environment, environment.partition("-")[0]) if word in RANK), _UNKNOWN + 0.5)


def twins(environments: Iterable[str]) -> list[tuple[str, ...]]:
    """Environments whose names usually mean the same."""
    known = [name for name in environments if name in RANK]
    ranks = Counter(RANK[name] for name in known)
    return [
        tuple(sorted(name for name in known if RANK[name] == rank))
        for rank, count in sorted(ranks.items())
        if count > 1
    ]


def templated(text: str, environment: str) -> str:
    """The text with the environment's name, where it is a whole word in it, as a placeholder."""
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(environment)}(?![A-Za-z0-9])", "{environment}", text)
