"""What fleets were told before: which earlier commit a rollback goes back to."""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing

from desired_state.git_objects import GitTree
from desired_state.landing import COMMAND
from desired_state.layout import Kind, place
from desired_state.mirror import Mirror
from desired_state.model import Digest, FleetName, Revision, Setting, Sha
from desired_state.parser import Parser
from desired_state.setting_commits import setting_commits
from fairlead.exit_codes import ExitCode, Refused

LOOKBACK = 2000  # first-parent commits that are searched
_ID = re.compile(r"[0-9a-f]{7,40}")


class Past:
    """The first-parent history of a mirror up to a head that was just fetched. Its methods raise `GitError`."""

    def __init__(self, mirror: Mirror, parser: Parser, head: Revision, folder: str = "") -> None:
        self._mirror = mirror
        self._parser = parser
        self._head = head
        self._folder = folder.strip("/")

    def _tree(self, commit: Sha) -> GitTree:
        return self._mirror.tree(commit).under(self._folder)

    def setting(self, fleet: FleetName) -> Sha:
        """Where the fleet's present target came into force. Refuses a fleet that cannot be read at the head."""
        found = self._settings().get(fleet)
        if found is None:
            raise Refused(f"{fleet} cannot be read at {self._head.short}: name the state to go back to with --to")
        return found.commit

    def still_on(self, commit: Sha) -> list[FleetName]:
        """The fleets whose present target a commit set. Refuses where there is none, and nothing took it back."""
        fleets = sorted(name for name, setting in self._settings().items() if setting.commit == commit)
        if not fleets and not self.reverting(commit):
            raise Refused(f"no fleet is still on {commit[:7]}: nothing to roll back", ExitCode.FOUND)
        return fleets

    def reverting(self, commit: Sha) -> Sha:
        """The newest commit whose message says that it reverts this one; empty where none does."""
        found = self._mirror.messages(f"--grep=^This reverts commit {commit}", "--max-count=1", self._head.sha)
        return found[0].sha if found else ""

    def reverted(self, commit: Sha) -> list[FleetName]:
        """The fleets whose own files a commit of ours changed."""
        touched = next((change.former for change in self._mirror.changes(commit, limit=1)), {})
        prefix = f"{self._folder}/" if self._folder else ""
        places = [place(path.removeprefix(prefix)) for path in touched if path.startswith(prefix)]
        return sorted({f"{each.environment}/{each.name}" for each in places if each.kind is Kind.FLEET})

    def is_rollback(self, commit: Sha) -> bool:
        """Whether a rollback command made the commit, or what it merged."""
        parents = self._mirror.revision(commit).parents
        brought = self._mirror.messages(f"{parents[0]}..{commit}", "--max-count=50") if parents else []
        return any(f"\n{COMMAND}: rollback\n" in f"\n{each.body}\n" for each in brought)

    def parent(self, commit: Sha) -> Sha:
        """What was before a commit. Refuses the first one."""
        parents = self._mirror.revision(commit).parents
        if not parents:
            raise Refused(f"{commit[:7]} is the first commit: there is no earlier state to go back to")
        return parents[0]

    def before(self, fleet: FleetName, setting: Sha) -> Sha:
        """The newest commit before `setting` at which the fleet was told something sound and other. Refuses: none."""
        present = self._digest(fleet, setting)
        for commit, digest in self._targets(fleet, setting):
            if digest is not None and digest != present:
                return commit
        raise Refused(f"{fleet} was told nothing else before {setting[:7]}: there is no earlier state to go back to")

    def told(self, fleet: FleetName, wanted: str) -> Sha:
        """The newest commit at which the fleet was at the version `wanted`; or the commit of that id."""
        for commit, _ in self._targets(fleet, self._head.sha):
            if self._version(fleet, commit) == wanted:
                return commit
        if _ID.fullmatch(wanted):
            return self._mirror.revision(wanted).sha
        raise Refused(f"{fleet} never was at {wanted}: fairlead bump sets a version that is new")

    def _settings(self) -> Mapping[FleetName, Setting]:
        desired = self._parser.parse(self._tree(self._head.sha))
        return setting_commits(self._mirror, self._head.sha, desired, self._parser, folder=self._folder)

    def _targets(self, fleet: FleetName, head: Sha) -> Iterator[tuple[Sha, Digest | None]]:
        """From `head` back, newest first: itself, then what was under each commit that touched the fleet."""
        prefix = f"{self._folder}/" if self._folder else ""
        watched = {prefix + path for path in self._parser.inputs(self._tree(head), fleet)}
        look = True
        with closing(self._mirror.changes(head, limit=LOOKBACK)) as walk:
            for change in walk:
                if look:
                    yield change.revision.sha, self._digest(fleet, change.revision.sha)
                look = not watched.isdisjoint(change.former)

    def _digest(self, fleet: FleetName, commit: Sha) -> Digest | None:
        found = self._parser.target_digest(self._tree(commit), fleet)
        return found if isinstance(found, str) else None

    def _version(self, fleet: FleetName, commit: Sha) -> str | None:
        found = self._parser.parse(self._tree(commit)).fleets.get(fleet)
        return found.version if found else None
