"""Who else hears of a fleet: its own words of a pass, said on further places. Pure.

A fleet's own words stand on commits of the desired-state repository. Beside them, where they are wanted:

| place | what stands there |
|---|---|
| the version's tag in the service's own repository | the own word's state, in words for all (`outward.py`) |
| the forge's record of deployments | the own word, on the setting commit; and its stage where no state tells it |
| the channels of the fleet's owner | troubles that need a person, and their ends (`notices.py`) |

Further words are written in the transaction of the own ones. Which places are still open is kept in the fleet's memory,
so that each gets its end: also where the own word was ended by somebody else, as after a force-push, and where the
settings do not name the place any more.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase

from desired_state.model import Sha
from reconciler.memory import ConditionType, Followed, Memory
from reconciler.notices import Channel, notify
from reconciler.outward import outward
from reconciler.record import CommitStatus, Medium, Situation, State
from reconciler.speech import clip
from reconciler.work import Hold

KEPT = 6  # places whose end was said, and that a revert may yet have something to say about


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Who is to hear of fleets, by desired-state repository. Empty: nobody but the setting commits."""

    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # patterns of repositories: acme/*
    deployments: frozenset[str] = frozenset()  # repositories whose forge keeps deployments
    channels: tuple[Channel, ...] = ()

    def may_tell(self, repository: str, project: str) -> bool:
        """Whether fleets of `repository` may put words on commits of `project`. Forges ignore case in names."""
        return any(_fits(project.lower(), pattern.lower()) for pattern in self.sources.get(repository, ()))


def _fits(project: str, pattern: str) -> bool:
    """`*` stands for any text in one part of the name: `acme/*` is no group within a group."""
    parts, wanted = project.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a pass says beside its own words, and what is to be remembered of it."""

    words: tuple[CommitStatus, ...]
    memory: Memory
    again_at: datetime | None = None  # when something is to be said that nothing else calls for


def spread(
    situation: Situation,
    memory: Memory,
    hold: Hold | None,
    own: Sequence[CommitStatus],
    audience: Audience,
    public_url: str = "",
) -> Heard:
    """The further words of a pass whose own words are these; `memory` has the pass's status already."""
    if audience == Audience() and not memory.followed and memory.noticed is None:
        return Heard(words=(), memory=memory)
    further, followed = _follow(situation, own, memory.followed, audience)
    placed = (_placed(situation, memory, hold, place, word) for place, word in further)
    words = [_staged(situation, memory, word) for word in placed]
    notice = notify(situation, memory, hold, audience.channels, public_url)
    memory = replace(memory, followed=followed, noticed=notice.noticed)
    return Heard(words=(*words, *notice.words), memory=memory, again_at=notice.again_at)


# ── places that show what the setting commit shows ───────────────────────────────────────────────────────────────


def _wanted(situation: Situation, audience: Audience) -> Iterator[Followed]:
    """Where the word on the present setting commit is to stand too."""
    record, fleet, commit = situation.record, situation.desired.fleet, situation.desired.setting_commit
    if not record.present:
        return
    if fleet.source is not None and fleet.tag and audience.may_tell(record.repository, fleet.source.repository):
        yield Followed(setting_commit=commit, project=fleet.source.repository, commit=fleet.tag)
    if record.repository in audience.deployments:
        yield Followed(setting_commit=commit, commit=commit)


def _follow(
    situation: Situation, own: Sequence[CommitStatus], before: Sequence[Followed], audience: Audience
) -> tuple[list[tuple[Followed, CommitStatus]], tuple[Followed, ...]]:
    """The words by place, and the places on which they stand from now on."""
    said, wanted = {word.commit: word for word in own}, list(_wanted(situation, audience))
    here = situation.desired.setting_commit
    words, followed = list[tuple[Followed, CommitStatus]](), list[Followed]()
    for place in before:
        if any(_same_place(place, other) for other in wanted) and (place.setting_commit == here or here in said):
            continue  # the present setting commit speaks there
        word = (_later_word if _is_allowed(situation, place, audience) else _last_word)(situation, place, said)
        words += [(place, word)] if word is not None else []
        followed.append(replace(place, open=word.state is State.PENDING) if word is not None else place)
    for place in wanted:
        known = next((each for each in before if _same_place(each, place) and each.setting_commit == here), None)
        word = said.get(here)
        if word is None:
            followed += [known] if known is not None else []
        else:
            followed.append(replace(place, open=word.state is State.PENDING))
            words += [(place, word)] if known is None or _is_news(situation, word) else []
    return words, tuple(_kept(followed))


def _is_allowed(situation: Situation, place: Followed, audience: Audience) -> bool:
    """Whether the settings name the place."""
    repository = situation.record.repository
    return audience.may_tell(repository, place.project) if place.project else repository in audience.deployments


def _same_place(one: Followed, other: Followed) -> bool:
    return (one.project, one.commit) == (other.project, other.commit)


def _later_word(situation: Situation, place: Followed, said: Mapping[Sha, CommitStatus]) -> CommitStatus | None:
    """What is to be said where an earlier version stands, or one that is told elsewhere now."""
    own = said.get(place.setting_commit)
    is_final = own is not None and own.state is not State.PENDING
    if place.setting_commit == situation.desired.setting_commit and situation.record.present:
        return (own if is_final else _ended(situation, place)) if place.open else None
    if own is not None:
        return own if _is_news(situation, own) or (place.open and is_final) else None
    is_left = place.open and not _is_open(situation, place.setting_commit)
    return _ended(situation, place) if is_left else None


def _last_word(situation: Situation, place: Followed, said: Mapping[Sha, CommitStatus]) -> CommitStatus | None:
    """What is to be said where the settings do not name the place any more, or not here: the end of what was begun.

    Another replica may have other settings, so nothing is ended there before the own word is.
    """
    if not place.open:
        return None
    standing = (each for each in situation.record.statuses if each.commit == place.setting_commit)
    word = said.get(place.setting_commit) or next(standing, None) or _ended(situation, place)
    return word if word.state is not State.PENDING else None


def _ended(situation: Situation, place: Followed) -> CommitStatus:
    desired = situation.desired
    if not situation.record.present:
        text = "no longer managed: its file is gone"
    elif place.setting_commit == desired.setting_commit:
        text = "told elsewhere now: the service names another source, or none"
    else:
        text = f"superseded by {desired.fleet.version}"
    return CommitStatus(
        repository=situation.record.repository,
        commit=place.setting_commit,
        context="",
        state=State.ERROR,
        description=clip(text),
        at=situation.now,
    )


def _is_open(situation: Situation, commit: Sha) -> bool:
    return any(each.commit == commit and each.state is State.PENDING for each in situation.record.statuses)


def _is_news(situation: Situation, word: CommitStatus) -> bool:
    return not any(replace(known, at=word.at) == word for known in situation.record.statuses)


def _placed(
    situation: Situation, memory: Memory, hold: Hold | None, place: Followed, word: CommitStatus
) -> CommitStatus:
    """The word as it stands at that place: on the forge of the desired state as it is, elsewhere as `outward` says."""
    name = situation.record.name
    if not place.project:
        return replace(word, medium=Medium.DEPLOYMENT, commit=place.commit, context=f"deployment {name}")
    is_own = bool(word.context)  # else it is said of this place alone
    text = outward(situation, memory, hold, place.setting_commit, word.state) if is_own else word.description
    return replace(word, project=place.project, commit=place.commit, context=f"fairlead/{name}", description=text)


def _staged(situation: Situation, memory: Memory, word: CommitStatus) -> CommitStatus:
    """With what a record of deployments shows beside its states: a deploy that waits, one that nothing will come of."""
    if word.medium is not Medium.DEPLOYMENT:
        return word
    is_present = situation.record.present and word.commit == situation.desired.setting_commit
    if word.state is State.PENDING and is_present:
        return replace(word, body="" if memory.status.condition(ConditionType.RECONCILING) else "queued")
    return replace(word, body="inactive" if word.state is State.ERROR and not is_present else "")


def _kept(followed: Iterable[Followed]) -> Iterator[Followed]:
    """All that are open, and the newest of the others."""
    places = list(followed)
    closed = [place for place in places if not place.open][-KEPT:]
    return (place for place in places if place.open or place in closed)
