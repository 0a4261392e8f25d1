"""What was said about fleets, each on the commit that set what it is told to run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from desired_state.model import FleetName, Setting, Sha
from fairlead.commands.desk import Desk
from reconciler.record import CommitStatus
from reconciler.reviews import Pull

if TYPE_CHECKING:
    from fairlead.wiring.writing_back import Words


class Hearing:
    """Reads words, and finds where they stand. Its methods raise `Unreadable` and `GitError`."""

    def __init__(self, found: Desk, words: "Words") -> None:
        self._desk, self._words = found, words
        self._known: tuple[Sha, Mapping[FleetName, Setting]] | None = None
        self._heads: dict[Sha, Sha] = {}  # by commit; empty: it came by no pull request that is known
        self._merged: Mapping[Sha, Sha] | None = None  # by what pull requests became lately: their heads

    def settings(self, at: Sha) -> Mapping[FleetName, Sha]:
        """By fleet, the commit that set what it was told at a commit of the branch."""
        from desired_state.setting_commits import setting_commits

        if self._known is None or self._known[0] != at:
            before, known = self._known or (None, None)
            desk = self._desk
            found = setting_commits(
                desk.mirror,
                at,
                desk.parser.parse(desk.tree(at)),
                desk.parser,
                folder=desk.folder,
                known_head=before,
                known=known,
            )
            self._known = at, found
        return {fleet: setting.commit for fleet, setting in self._known[1].items()}

    def merged(self, pull: Pull) -> None:
        """Note what a pull request became."""
        self._heads[pull.merged_as] = pull.head

    def said(self, commit: Sha) -> Mapping[str, CommitStatus]:
        """By context; where only heads of pull requests were told, with what stands there."""
        said = {status.context: status for status in self._words.read(commit)}
        head = self._head(commit) if self._words.on_heads else ""
        if head and head != commit:
            said |= {status.context: status for status in self._words.read(head)}
        return said

    def _head(self, commit: Sha) -> Sha:
        if commit not in self._heads:
            parents = self._desk.mirror.revision(commit).parents
            self._heads[commit] = parents[1] if len(parents) == 2 else self._lately().get(commit, "")
        return self._heads[commit]

    def _lately(self) -> Mapping[Sha, Sha]:
        """A squash or a rebase does not say what it was: the forge is asked, once."""
        if self._merged is None:
            reviews = self._desk.reviews()
            pulls = reviews.pulls(self._desk.mirror.branch) if reviews else ()
            self._merged = {pull.merged_as: pull.head for pull in pulls if pull.merged_as}
        return self._merged
