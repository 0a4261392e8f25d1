"""A forge as its dialect shows it, by the controller's own road and sign-in: the token is good, the repository is seen.

Whether statuses may be written is not told without writing one.
"""

from collections.abc import Iterator

from adapters.doctor.findings import About, Finding
from adapters.doctor.forge import trouble_of
from adapters.forges.hosted import Fate, NoSense, Road


class HostedLook:
    """One repository at GitLab, Gitea or Forgejo. `branch` is the one that is watched."""

    def __init__(self, name: str, repository: str, branch: str, road: Road) -> None:
        self._about = About(check="forge", name=name)
        self._repository, self._branch, self._road = repository, branch, road

    def check(self) -> Iterator[Finding]:
        """Everything that is to be said of it."""
        dialect = self._road.dialect
        seen = self._road.ask(dialect.pulls(self._repository, self._branch, is_open=True, page=1))
        if seen.fate is not Fate.DELIVERED or seen.answer is None:
            yield trouble_of(self._about, seen)
            return
        try:
            pulls = dialect.pulls_in(seen.answer)
        except NoSense:
            what = f"what answers for {self._repository} is not {dialect.title}"
            yield self._about.unreachable(what, "check `forge.api`")
            return
        open_ones = f"{len(pulls)} pull request{'' if len(pulls) == 1 else 's'} of its newest are open"
        yield self._about.ok(f"{self._repository} is seen, {open_ones}")
        yield self._account()

    def _account(self) -> Finding:
        dialect = self._road.dialect
        who = self._road.ask(dialect.whoami(self._repository))
        try:
            if who.fate is Fate.DELIVERED and who.answer is not None:
                return self._about.ok(f"we are {dialect.login_in(who.answer)} there")
        except NoSense:
            return self._about.warning("who we are there makes no sense", "check `forge.api`")
        seen, _, fix = who.message.rpartition("; ")
        return self._about.warning(f"comments on pull requests cannot be made: {seen}", fix)
