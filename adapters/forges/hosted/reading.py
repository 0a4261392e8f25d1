"""What stands on a commit at a forge: its statuses, read for who waits for them. Nothing is counted or kept."""

from collections.abc import Sequence

from adapters.forges.hosted.answers import has_next
from adapters.forges.hosted.asking import Answer, Fate, NoSense
from adapters.forges.hosted.road import Road
from desired_state.model import Sha
from reconciler.ports import Unreadable
from reconciler.record import CommitStatus

PAGES = 10  # of statuses: the rest is not seen


class Reading:
    """The statuses of one repository."""

    def __init__(self, road: Road, project: str) -> None:
        self._road, self._dialect, self._project = road, road.dialect, project

    def statuses(self, commit: Sha) -> list[CommitStatus]:
        """Everything that stands on it, others' words too. Raises `Unreadable`."""
        found: list[CommitStatus] = []
        for page in range(1, PAGES + 1):
            verdict = self._road.ask(self._dialect.shown(self._project, commit, page))
            if verdict.fate is not Fate.DELIVERED or verdict.answer is None:
                raise Unreadable(verdict.message)
            found += self._read(verdict.answer, commit)
            if not has_next(verdict.answer):
                break
        return found

    def _read(self, answer: Answer, commit: Sha) -> Sequence[CommitStatus]:
        try:
            return self._dialect.shown_in(answer, commit)
        except NoSense:
            title = self._road.dialect.title
            raise Unreadable(f"{title} answered {answer.status} with what makes no sense") from None
