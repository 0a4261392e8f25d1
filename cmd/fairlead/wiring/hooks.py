"""Webhooks of each forge out of the settings, and their secrets, which may change while the controller runs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Lock, Thread

from adapters.forges.gitea.webhook import GiteaHooks
from adapters.forges.github.webhook import GitHubHooks
from adapters.forges.gitlab.webhook import GitLabHooks, checked_secret
from adapters.forges.hooks import Dialect, Hint, Place, Refused, Webhook
from fairlead.http.pushes import Heard, Receiver, Refusal
from fairlead.settings import RepositorySettings, SecretReference, Settings, SettingsError
from reconciler.ports import Clock

DIALECTS: tuple[Callable[[], Dialect], ...] = (GitHubHooks, GitLabHooks, GiteaHooks)
ANYWHERE = "git_notes"  # statuses in the repository itself say nothing of where that is hosted
STORED_FOR = 60.0  # seconds that a secret of AWS Secrets Manager is used before it is looked up again


def hooks(settings: Settings, clock: Clock) -> Mapping[str, Receiver]:
    """What answers at `/hooks/<forge>`, by forge: those that a repository has secrets for. Raises `SettingsError`."""
    return {name: _Hooks(found) for name, found in webhooks(settings, clock).items()}


def webhooks(settings: Settings, clock: Clock) -> Mapping[str, Webhook]:
    """The same in the words of the adapters."""
    places = [(each.forge.type, _place(each, clock)) for each in settings.repositories if each.forge.webhook_secrets]
    found = dict[str, Webhook]()
    for dialect in (make() for make in DIALECTS):
        own = [place for kind, place in places if kind in {dialect.name, ANYWHERE}]
        if own:
            found[dialect.name] = Webhook(dialect, own, clock)
    return found


def _place(repository: RepositorySettings, clock: Clock) -> Place:
    forge = repository.forge
    secrets = [_Secret(SecretReference(each), clock) for each in forge.webhook_secrets]
    for secret in secrets:
        _check(secret.now(), repository)
    return Place(
        name=repository.name,
        url=repository.url,
        branch=repository.branch,
        repository=forge.repository,
        plans=forge.plans and forge.type != ANYWHERE,
        secrets=lambda: tuple(_readable(secrets)),
    )


def _check(secret: str, repository: RepositorySettings) -> None:
    if not secret:
        raise SettingsError(f"repository {repository.name}: a webhook needs a secret that is not empty")
    try:
        if repository.forge.type == GitLabHooks.name:
            checked_secret(secret)
    except ValueError as bad:
        raise SettingsError(f"repository {repository.name}: forge.webhook_secrets: {bad}") from None


class _Secret:
    """A secret that is read anew: a file for each webhook, one that is stored elsewhere beside the webhooks."""

    def __init__(self, reference: SecretReference, clock: Clock) -> None:
        self._reference, self._clock = reference, clock
        self._lock = Lock()
        self._value, self._read_at = "", 0.0
        self._reader: Thread | None = None
        self._is_stored = reference.startswith("aws-sm:")
        if self._is_stored:
            self._read()

    def now(self) -> str:
        """Its value; a stored one as it was a moment ago. Raises `SettingsError`."""
        if not self._is_stored:
            return self._reference.reveal()
        with self._lock:
            reading = self._reader is not None and self._reader.is_alive()
            if not reading and self._clock.monotonic() - self._read_at >= STORED_FOR:
                self._read_at = self._clock.monotonic()
                self._reader = Thread(target=self._read_again, name="webhook-secret", daemon=True)
                self._reader.start()
            return self._value

    def _read_again(self) -> None:
        with suppress(SettingsError):  # the last one is good until there is another
            self._read()

    def _read(self) -> None:
        value = self._reference.reveal()
        with self._lock:
            self._value, self._read_at = value, self._clock.monotonic()


def _readable(secrets: Iterable[_Secret]) -> Iterator[str]:
    """What cannot be read signs nothing; the others do."""
    for secret in secrets:
        with suppress(SettingsError):
            yield secret.now()


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        raise Refusal(refused.status, str(refused)) from None


class _Hooks:
    """One forge's webhook in the words of the server."""

    def __init__(self, hook: Webhook) -> None:
        self._hook = hook

    def glance(self, headers: Mapping[str, str]) -> None:
        """See `Receiver`."""
        with _refusing():
            self._hook.glance(headers)

    def receive(self, body: bytes, headers: Mapping[str, str]) -> Heard:
        """See `Receiver`."""
        with _refusing():
            said = self._hook.receive(body, headers)
        return Heard(names=said.keys, mark=said.mark) if isinstance(said, Hint) else Heard(why=said.why)

    def forget(self, heard: Heard) -> None:
        """See `Receiver`."""
        self._hook.forget(heard.mark)
