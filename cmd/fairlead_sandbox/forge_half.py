"""The forge of a world: the repository on it, a person who merges there, and the account that Fairlead has."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from fairlead_sandbox.forge import Forge, Person
from fairlead_sandbox.git_server import GitServer
from reconciler.ports import Clock

REPOSITORY = "sandbox/main"
MAY = {"contents": "read", "statuses": "write"}  # all that Fairlead needs
NO_LIMIT = 100_000  # writes: an Enterprise Server has no limits


class ForgeHalf:
    """Use it as a context manager. `person` is signed in as `ada`, whose token is `token`."""

    def __init__(self, folder: Path, git: GitServer, clock: Clock) -> None:
        self.folder = folder
        self.forge = Forge(git, clock)
        self.forge.create(REPOSITORY)
        self.token = self.forge.identities.add_person("ada")
        self.person = Person(self.forge.addresses.api, REPOSITORY, self.token)
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        self.token_file.write_text(f"{self.forge.identities.add_person('fairlead', MAY)}\n", encoding="utf-8")
        self.token_file.chmod(0o600)
        self._parts.enter_context(self.forge)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._parts.close()

    @property
    def token_file(self) -> Path:
        """Fairlead's own token."""
        return self.folder / "forge.token"

    @property
    def settings(self) -> list[str]:
        """Lines of fairlead.toml that belong to the repository."""
        return [
            "",
            "[repositories.forge]",
            'type = "github"',
            f'api = "{self.forge.addresses.api}"',
            f'repository = "{REPOSITORY}"',
            f'auth = {{mode = "token", token = "file:{self.token_file}"}}',
            f"writes_per_minute = {NO_LIMIT}",
            f"writes_per_hour = {NO_LIMIT}",
        ]
