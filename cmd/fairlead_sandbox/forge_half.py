"""The forge of a world: the repository on it, a person who merges there, and the account that Fairlead has."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from fairlead_sandbox.forge import Forge, Person
from fairlead_sandbox.forge.vendor import Name
from fairlead_sandbox.git_server import GitServer
from reconciler.ports import Clock

REPOSITORY = "sandbox/main"
MAY = {"contents": "read", "statuses": "write", "pull_requests": "write", "deployments": "write"}  # all that it needs
NO_LIMIT = 100_000  # writes: an Enterprise Server has no limits


class ForgeHalf:
    """Use it as a context manager. `person` is signed in as `ada`, whose token is `token`, and speaks GitHub's dialect.

    Fairlead signs in as `sign_in` says: as the user `fairlead`, or as the GitHub App `fairlead[bot]`.
    """

    def __init__(
        self,
        folder: Path,
        git: GitServer,
        clock: Clock,
        sign_in: Literal["token", "app"] = "token",
        dialect: Name = "github",
    ) -> None:
        self.folder = folder
        self._sign_in = sign_in
        self.forge = Forge(git, clock, dialect)
        self.forge.create(REPOSITORY)
        self.token = self.forge.identities.add_person("ada")
        self.person = Person(self.forge.addresses.api, REPOSITORY, self.token)
        self._auth = ""
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        self.secret.touch(mode=0o600)
        self._auth = self._as_user() if self._sign_in == "token" else self._as_app()
        self._parts.enter_context(self.forge)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._parts.close()

    @property
    def secret(self) -> Path:
        """What Fairlead signs in with: its token, or its App's private key."""
        return self.folder / "forge.secret"

    def _as_user(self) -> str:
        self.secret.write_text(f"{self.forge.identities.add_person('fairlead', MAY)}\n", encoding="utf-8")
        return f'{{mode = "token", token = "file:{self.secret}"}}'

    def _as_app(self) -> str:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        app = self.forge.identities.add_app(public.decode(), permissions=MAY)
        numbers = f'app_id = "{app.app_id}", installation_id = "{app.installation_id}"'
        return f'{{mode = "app", {numbers}, private_key = "file:{self.secret}"}}'

    @property
    def settings(self) -> list[str]:
        """Lines of fairlead.toml that belong to the repository."""
        return [
            "",
            "[repositories.forge]",
            f'type = "{self.forge.vendor.name}"',
            f'api = "{self.forge.addresses.api}"',
            f'repository = "{REPOSITORY}"',
            f"auth = {self._auth}",
            f"writes_per_minute = {NO_LIMIT}",
            f"writes_per_hour = {NO_LIMIT}",
        ]
