"""Which commits of the branch a merged pull request became, so that its head answers for them too.

A merge commit names its head itself. A forge that squashes or rebases says one commit: the last. Of a rebase each one
stands in the branch again, with its author and its words; a squash has one commit of other words.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from desired_state.git_errors import GitError
from desired_state.model import Revision, Sha
from desired_state.pull_mirror import PullMirror
from reconciler.ports import Ledger
from reconciler.reviews import Head, Pull

MOST = 100  # commits of one pull request; of a longer one the last alone is known


class MergedPulls:
    """Records the heads of merged pull requests. `pull_ref` is the forge's, as in `Reviews`."""

    def __init__(self, ledger: Ledger, mirror: PullMirror, pull_ref: str) -> None:
        self._ledger, self._mirror, self._pull_ref = ledger, mirror, pull_ref

    def record(self, repository: str, merged: Mapping[Sha, Pull]) -> None:
        """`merged` is by the commit that each became. Raises `GitUnreachable`. Safe to repeat."""
        self._bring(merged)
        found: dict[Sha, Head] = {}
        for commit, pull in merged.items():
            head = Head(head=pull.head, pull=pull.number)
            found |= dict.fromkeys((*self._rebased(commit, pull), commit), head)
        self._ledger.record_heads(repository, found)

    def _bring(self, merged: Mapping[Sha, Pull]) -> None:
        several = {pull.head: pull.number for pull in merged.values() if 1 < pull.commits <= MOST}
        wanted = {several[head]: self._pull_ref.format(number=several[head]) for head in self._mirror.lacking(several)}
        if wanted:
            self._mirror.bring(wanted, keep=())

    def _rebased(self, commit: Sha, pull: Pull) -> Sequence[Sha]:
        """The commits of the branch that stand for those of the pull request; nothing where it was not rebased."""
        if not 1 < pull.commits <= MOST:
            return ()
        try:
            own = list(self._own(commit, pull))
            with_paths = islice(self._mirror.first_parents(commit, limit=pull.commits), pull.commits)
            landed = [revision for revision, _ in with_paths]
        except GitError:
            return ()  # the head, or the commit, is not to be had: the last commit alone is known
        same = len(own) == len(landed) == pull.commits and all(map(_is_same, own, landed))
        return [revision.sha for revision in landed] if same else ()

    def _own(self, commit: Sha, pull: Pull) -> Iterator[Revision]:
        left = self._mirror.left(commit, pull.head)
        changes = self._mirror.first_parents(pull.head, stop=left or None, limit=pull.commits)
        return (revision for revision, _ in changes)


def _is_same(one: Revision, other: Revision) -> bool:
    return (one.author, one.subject, one.body) == (other.author, other.subject, other.body)
