"""How a word is said, step by step. Safe to begin again after a crash at any point: what is there is looked for before
anything is made, and nothing is remembered that a restart would lose.
"""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from adapters.forges.hosted.answers import has_next, unreachable, without
from adapters.forges.hosted.asking import Answer, Call, Fate, Need, Steps, Verdict
from adapters.forges.hosted.dialect import Comment, Dialect
from adapters.forges.hosted.limits import fitting
from adapters.forges.hosted.sign_in import SignIn
from adapters.forges.hosted.transport import BadAddress
from desired_state.model import Sha
from reconciler.record import CommitStatus, Medium

PAGES = 100  # of comments: beyond them ours is not looked for, and none is added
DEPLOYMENT_PAGES = 5  # the newest first
NESTED = 5  # tags of tags
DEPLOYMENT = "deployment "  # begins the context of such a word; the environment at the forge follows
_TAG = re.compile(r"refs/tags/([A-Za-z0-9_][A-Za-z0-9._+-]*(?:/[A-Za-z0-9_][A-Za-z0-9._+-]*)*)")
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PULL = re.compile(r"pull/([1-9][0-9]{0,9})")
_NEEDS = {
    Medium.STATUS: Need.STATUSES,
    Medium.COMMENT: Need.COMMENTS,
    Medium.DEPLOYMENT: Need.DEPLOYMENTS,
}
SURPLUS = "What a merge would do is in the comment above."
DONE = Verdict(fate=Fate.DELIVERED)
Finding = Generator[Call, Answer, Sha | Verdict]


@dataclass(slots=True, kw_only=True)
class Aim:
    """A word, and where its tag leads: the first commit that was spoken on, to which all later words go too."""

    word: CommitStatus
    commit: Sha = ""  # of a tag, once it is known

    @property
    def needs(self) -> tuple[Need, ...]:
        """What saying it takes."""
        need = _NEEDS.get(self.word.medium, Need.STATUSES)
        looks = self.word.commit.startswith("refs/") and not self.commit
        return (need, Need.CONTENTS) if looks else (need,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What of the further words the settings let go to this forge."""

    deployments: bool = False
    sources: tuple[str, ...] = ()  # patterns of other repositories: `acme/*`


NOTHING_FURTHER = Allowed()


class Saying:
    """The words of one repository at a forge, as steps. `repository` is its name there."""

    def __init__(self, dialect: Dialect, repository: str, sign_in: SignIn, allowed: Allowed) -> None:
        self._dialect, self._repository = dialect, repository
        self._sign_in, self._allowed = sign_in, allowed
        self._me: tuple[tuple[str, ...], str] | None = None

    def project(self, word: CommitStatus) -> str:
        """The repository at the forge that it goes to."""
        return word.project or self._repository

    def is_elsewhere(self, word: CommitStatus) -> bool:
        """It goes to another repository than our own."""
        return self.project(word).lower() != self._repository.lower()

    def steps(self, aim: Aim) -> Steps:
        """All that is to be asked; what cannot be said here ends as refused before the first call."""
        word = aim.word
        if why := self._kept_back(word):
            return Verdict(fate=Fate.REFUSED, message=why)
        if word.medium is Medium.COMMENT:
            return (yield from self._comment(word))
        commit = yield from self._commit(aim)
        if isinstance(commit, Verdict):
            return commit
        say = self._deployment if word.medium is Medium.DEPLOYMENT else self._status
        return (yield from say(commit, self._fitted(word)))

    def _kept_back(self, word: CommitStatus) -> str:
        title, offers = self._dialect.title, self._dialect.offers
        if word.medium not in _NEEDS:
            return f"{title} shows no {word.medium}: notify tells people"
        if word.medium is Medium.COMMENT and not offers.comments:
            return f"{title} takes no comments from us"
        if word.medium is Medium.DEPLOYMENT and not offers.deployments:
            return f"{title} has no deployments"
        if word.medium is Medium.DEPLOYMENT and not self._allowed.deployments:
            return "deployments are off: set forge.deployments"
        return self._strange(word.project) if word.project else ""

    def _strange(self, project: str) -> str:
        """Why a word must not go to another repository than our own."""
        if not self._dialect.offers.projects:
            return f"{self._dialect.title} takes statuses of this repository only"
        if not any(_fits(project.lower(), each.lower()) for each in self._allowed.sources):
            return f"forge.sources does not name {fitting(project, 100)}: name it there, or by a pattern"
        try:
            self._dialect.checked(project)
        except BadAddress as bad:
            return f"source.repository: {bad}"
        return ""

    def _fitted(self, word: CommitStatus) -> CommitStatus:
        """As it can be sent. A link that forges would refuse the whole word for is left out."""
        secrets = tuple(self._sign_in.secrets())
        text = fitting(without(word.description, secrets), self._dialect.room.description)
        link = word.target_url if word.target_url.startswith(("https://", "http://")) else ""
        return replace(word, description=text, target_url=link)

    # ── a commit ──

    def _commit(self, aim: Aim) -> Finding:
        word = aim.word
        if _SHA.fullmatch(word.commit):
            return word.commit
        tag = _TAG.fullmatch(word.commit)
        if tag is None or ".." in word.commit:
            return Verdict(fate=Fate.REFUSED, message=f"{fitting(word.commit, 60)} names no commit and no tag")
        if not aim.commit:
            found = yield from self._tagged(self.project(word), tag[1])
            if isinstance(found, Verdict):
                return found
            aim.commit = found
        return aim.commit

    def _tagged(self, project: str, tag: str) -> Finding:
        asked: Sha | Call = self._dialect.commit_of(project, tag)
        for _ in range(NESTED):
            if not isinstance(asked, Call):
                break
            answer = yield asked
            if answer.status == 404:
                return Verdict(fate=Fate.ABSENT, message=f"{project} shows us no tag {tag}: nothing can be said on it")
            asked = self._dialect.commit_in(project, answer)
        if isinstance(asked, Call) or not _SHA.fullmatch(asked):
            return Verdict(fate=Fate.REFUSED, message=f"the tag {tag} of {project} is of no commit")
        return asked

    def _status(self, commit: Sha, word: CommitStatus) -> Steps:
        return (yield from self._dialect.status(self.project(word), commit, word))

    # ── a comment ──

    def _comment(self, word: CommitStatus) -> Steps:
        """One comment of ours on a pull request: found by a hidden marker at its beginning and by who wrote it."""
        pull = _PULL.fullmatch(word.commit)
        if pull is None:
            return Verdict(fate=Fate.REFUSED, message=f"{fitting(word.commit, 60)} is no pull request")
        project, number = self.project(word), int(pull[1])
        found = yield from self._found(project, number, marker(word))
        if isinstance(found, Verdict):
            return found
        text = self._text(word)
        if not found:
            yield self._dialect.add_comment(project, number, text)
        elif _lines(found[0].body) != _lines(text):
            yield self._dialect.change_comment(project, number, found[0].id, text)
        for surplus in found[1:]:  # a forge may carry out late what we gave up, and began anew
            yield self._dialect.change_comment(project, number, surplus.id, SURPLUS)
        return DONE

    def _login(self, project: str) -> Generator[Call, Answer, str]:
        """Whose comments are ours, asked once for each token."""
        if login := self._sign_in.login():
            return login
        secrets = tuple(self._sign_in.secrets())
        if self._me is None or self._me[0] != secrets:
            login = self._dialect.login_in((yield self._dialect.whoami(project)))
            self._me = (tuple(self._sign_in.secrets()), login)
        return self._me[1]

    def _found(self, project: str, pull: int, mark: str) -> Generator[Call, Answer, list[Comment] | Verdict]:
        me = ""
        for page in range(1, PAGES + 1):
            call = self._dialect.comments(project, pull, page)
            answer = yield call
            if answer.status in call.seen and call.look is not None:
                yield call.look  # ends it here where the pull request is not there
                message = unreachable(self._dialect.title, f"it answered {answer.status}")
                return Verdict(fate=Fate.AILING, message=message, answer=answer)
            me = me or (yield from self._login(project))
            shown = self._dialect.comments_in(answer)
            ours = [each for each in shown if each.author == me and each.body.startswith(mark)]
            if ours or not has_next(answer):
                return ours
        return Verdict(fate=Fate.REFUSED, message=f"pull request {pull} has too many comments to find ours among them")

    def _text(self, word: CommitStatus) -> str:
        text = f"{marker(word)}\n{without(word.body, self._sign_in.secrets())}"
        text = text.encode("utf-8", "replace").decode().replace("\0", "")
        room = self._dialect.room.body
        return text if len(text) <= room else f"{text[: room - 3].rpartition(chr(10))[0]}\n\n…"

    # ── a deployment ──

    def _deployment(self, commit: Sha, word: CommitStatus) -> Steps:
        """The forge's record of this deploy: found by commit and environment, or made; then told how it goes.

        The word's body may name a stage that its state does not tell: `queued` or `inactive`.
        """
        project, environment = self.project(word), word.context.removeprefix(DEPLOYMENT)
        found = None
        for page in range(1, DEPLOYMENT_PAGES + 1):
            answer = yield self._dialect.deployments(project, commit, environment, page)
            found = self._dialect.deployment_in(answer, commit, environment, word)
            if found is not None or not has_next(answer):
                break
        if found is None and word.body == "inactive":
            return DONE  # there is nothing to retire
        if found is None:
            answer = yield self._dialect.add_deployment(project, commit, environment, word)
            found = self._dialect.deployment_made(answer)
        yield self._dialect.tell_deployment(project, found, environment, word)
        return DONE


def _fits(project: str, pattern: str) -> bool:
    """`*` stands for anything in one part of the name: `acme/*` is no group within a group."""
    parts, wanted = project.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def marker(word: CommitStatus) -> str:
    """What a comment of ours begins with; nobody sees it."""
    return f"<!-- fairlead: {word.context} of {word.repository} -->"


def _lines(text: str) -> Sequence[str]:
    """As a forge may give a text back: its own line ends, none at the end."""
    return text.replace("\r\n", "\n").rstrip().split("\n")
