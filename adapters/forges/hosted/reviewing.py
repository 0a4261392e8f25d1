"""Pull requests of one repository: listed within caps, opened once."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TypeVar

from adapters.forges.hosted.answers import has_next, no_sense
from adapters.forges.hosted.asking import Answer, Call, Fate, NoSense, Verdict
from adapters.forges.hosted.limits import LEAST_REST, Allowance, limited
from adapters.forges.hosted.road import Road
from reconciler.ports import Unreadable
from reconciler.reviews import Proposal, Pull

MOST = 150  # open pull requests: older ones are not seen, for every look costs the account's share of questions
PAGES = 15  # that they may stand on
REMEMBERED = 1000  # merged pull requests whose details are not asked for again
PAGES_REMEMBERED = 20  # that are asked for again only where they changed
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    etag: str
    pulls: Sequence[Pull]
    more: bool


class Reviewing:
    """Implements `reconciler.reviews.Reviews` over a road."""

    def __init__(self, road: Road, project: str, allowance: Allowance) -> None:
        self._road, self._dialect, self._project = road, road.dialect, project
        self._allowance = allowance
        self._details: OrderedDict[tuple[int, str], Pull] = OrderedDict()
        self._pages: OrderedDict[str, _Page] = OrderedDict()  # by the path that it was asked with
        self._lock = Lock()

    def pulls(self, base: str) -> Sequence[Pull]:
        """See `Reviews`. Of those that are not open, one page: those that changed last."""
        found: list[Pull] = []
        for number in range(1, PAGES + 1):
            page = self._page(self._dialect.pulls(self._project, base, is_open=True, page=number))
            found += page.pulls
            if not page.more or len(found) >= MOST:
                break
        closed = self._page(self._dialect.pulls(self._project, base, is_open=False, page=1))
        found += map(self._whole, closed.pulls)
        wanted = (each for each in found if each.base == base)  # not every forge looks for the branch
        return list({each.number: each for each in wanted}.values())  # one may be closed while we turn pages

    def propose(self, proposal: Proposal) -> Pull:
        """See `Reviews`."""
        if there := self._proposed(proposal):
            return there
        call = self._dialect.open_pull(self._project, proposal)
        turn = self._allowance.budget.take(self._names(call), self._allowance.windows)
        if turn.wait_until is not None:
            raise Unreadable(f"{turn.why}; try again at {turn.wait_until:%H:%M:%S} UTC")
        verdict = self._road.ask(call)
        if verdict.fate is Fate.DELIVERED and verdict.answer is not None:
            return self._read(self._dialect.pull_made, verdict.answer)
        if verdict.fate is Fate.REFUSED and (there := self._proposed(proposal)):  # somebody was quicker
            return there
        raise self._failed(call, verdict)

    def pull(self, number: int) -> Pull:
        """See `Reviewed`."""
        return self._read(self._dialect.pull_made, self._answer(self._dialect.one_pull(self._project, number)))

    def _proposed(self, proposal: Proposal) -> Pull | None:
        answer = self._answer(self._dialect.pulls_from(self._project, proposal.branch, proposal.base))
        pulls = self._read(self._dialect.pulls_in, answer)
        mine = (each for each in pulls if each.open and (each.branch, each.base) == (proposal.branch, proposal.base))
        return next((each for each in mine if not each.outside), None)

    def _whole(self, pull: Pull) -> Pull:
        """With what the list leaves out, asked for once: a pull request that is merged changes no more."""
        key = (pull.number, pull.merged_as)
        with self._lock:
            known = self._details.get(key)
        call = self._dialect.details(self._project, pull) if pull.merged_as and known is None else None
        if call is None:
            return known or pull
        answer = self._answer(call)
        whole = self._read(lambda each: self._dialect.detailed(pull, each), answer)
        with self._lock:
            self._details[key] = whole
            while len(self._details) > REMEMBERED:
                self._details.popitem(last=False)
        return whole

    def _page(self, call: Call) -> _Page:
        """One that did not change is answered with a 304, which GitHub does not count ("Best practices for using the
        REST API", docs.github.com)."""
        with self._lock:
            known = self._pages.get(call.path)
        if known is not None:
            call = replace(call, etag=known.etag, seen=call.seen | {304})
        answer = self._answer(call)
        if known is not None and answer.status == 304:
            return known
        pulls = self._read(self._dialect.pulls_in, answer)
        page = _Page(etag=answer.headers.get("etag", ""), pulls=pulls, more=has_next(answer))
        with self._lock:
            self._pages.pop(call.path, None)
            if page.etag:
                self._pages[call.path] = page
            while len(self._pages) > PAGES_REMEMBERED:
                self._pages.popitem(last=False)
        return page

    def _answer(self, call: Call) -> Answer:
        turn = self._allowance.resting((*self._names(call), self._road.reads))
        if turn.wait_until is not None:
            later = Unreadable(turn.why)
            later.retry_in = turn.wait_until - self._allowance.now()
            raise later
        verdict = self._road.ask(call)
        if verdict.fate is Fate.DELIVERED and verdict.answer is not None:
            return verdict.answer
        raise self._failed(call, verdict)

    def _failed(self, call: Call, verdict: Verdict) -> Unreadable:
        """A limit that was met by looking lets looks rest, and who writes only where the account has nothing left."""
        name, span = self._road.account, LEAST_REST
        if verdict.fate is Fate.LIMITED and verdict.answer is not None:
            headers = verdict.answer.headers
            span = limited(headers, 0, self._allowance.now())
            spent = headers.get("x-ratelimit-remaining") == "0"
            name = name if call.writes or spent else self._road.reads
        if verdict.fate in {Fate.LIMITED, Fate.LOCKED_OUT}:
            self._allowance.budget.rest(name, span, verdict.message)
        return Unreadable(verdict.message)

    def _read(self, read: Callable[[Answer], Found], answer: Answer) -> Found:
        try:
            return read(answer)
        except NoSense:
            raise Unreadable(no_sense(self._dialect.title, answer).message) from None

    def _names(self, call: Call) -> tuple[str, ...]:
        return self._road.names(call.project, (call.need,))
