"""Forges and their webhooks out of the settings."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog

from adapters.forges import gitea, gitlab
from adapters.forges.github import AppSignIn, GitHub, Hint, Place, Refused, Webhook
from adapters.forges.hosted import (
    Allowance,
    Allowed,
    BadAddress,
    Dialect,
    HostedForge,
    Road,
    SignIn,
    TokenSignIn,
    Transport,
    windows,
)
from fairlead.http.pushes import Heard, Receiver, Refusal
from fairlead.settings import ForgeSettings, RepositorySettings, SecretReference, Settings, SettingsError
from reconciler.ports import Budget, Clock, Unreadable

# By `forge.type`: what makes the dialect, given the branch that is watched, and the sign-in with a token.
DIALECTS: Mapping[str, Callable[[str], Dialect]] = {
    "github": lambda _: GitHub(),
    "gitlab": gitlab.GitLab,
    "gitea": lambda _: gitea.Gitea(),
}
SIGN_INS: Mapping[str, Callable[..., SignIn]] = {
    "github": TokenSignIn,
    "gitlab": gitlab.token_sign_in,
    "gitea": gitea.token_sign_in,
}


def hosted(settings: Settings, repository: RepositorySettings, clock: Clock) -> Callable[[Budget], HostedForge]:
    """The repository's forge, once there is a budget. Raises `SettingsError` for what could never work."""
    wanted = repository.forge
    road, name = hosted_road(settings, repository, clock)
    spent = windows(wanted.writes_per_minute, wanted.writes_per_hour)
    log = structlog.get_logger("fairlead")
    allowed = Allowed(deployments=wanted.deployments, sources=wanted.sources)
    return lambda budget: HostedForge(
        road, name, allowance=Allowance(budget=budget, windows=spent), log=log, allowed=allowed
    )


def hosted_road(settings: Settings, repository: RepositorySettings, clock: Clock) -> tuple[Road, str]:
    """The way to the repository's forge, and its name there. Raises `SettingsError`."""
    dialect = DIALECTS[repository.forge.type](repository.branch)
    name, transport, sign_in = _ends(settings, repository, clock, dialect)
    return Road(dialect, transport, sign_in), name


def github_road(settings: Settings, repository: RepositorySettings, clock: Clock) -> tuple[str, Transport, SignIn]:
    """The repository's `owner/name`, the way there, and who we are, for who only looks. Raises `SettingsError`."""
    return _ends(settings, repository, clock, GitHub())


def _ends(
    settings: Settings, repository: RepositorySettings, clock: Clock, dialect: Dialect
) -> tuple[str, Transport, SignIn]:
    wanted, seconds = repository.forge, settings.request_timeout.total_seconds()
    try:
        name = dialect.checked(wanted.repository)
        transport = Transport(
            wanted.address,
            title=dialect.title,
            example=dialect.example,
            headers=dialect.headers,
            timeout=seconds,
            monotonic=clock.monotonic,
        )
        return name, transport, _sign_in(wanted, name, transport, clock)
    except BadAddress as bad:
        raise SettingsError(f"repository {repository.name}: forge.{bad}") from None
    except (SettingsError, Unreadable) as bad:
        raise SettingsError(f"repository {repository.name}: forge.auth: {bad}") from None


def _sign_in(forge: ForgeSettings, repository: str, transport: Transport, clock: Clock) -> SignIn:
    auth = forge.auth
    if auth.mode != "token" and forge.type != "github":
        raise SettingsError(f'mode {auth.mode} is for GitHub alone: write mode = "token"')
    needed = ("token",) if auth.mode == "token" else ("app_id", "installation_id", "private_key")
    if missing := next((name for name in needed if not getattr(auth, name)), None):
        what = "the number that GitHub shows" if missing.endswith("_id") else "a reference, env:NAME or file:/path"
        raise SettingsError(f"{missing} is needed with mode {auth.mode}: write {what}")
    if auth.mode == "token":
        return SIGN_INS[forge.type](_revealed(SecretReference(auth.token).reveal_token), reference=str(auth.token))
    if not (auth.installation_id.isascii() and auth.installation_id.isdigit()):
        raise SettingsError("installation_id is a number: it ends the address of the installation's page")
    key = _revealed(SecretReference(auth.private_key).reveal)
    return AppSignIn(auth.app_id, auth.installation_id, key, repository=repository, transport=transport, clock=clock)


def _revealed(reveal: Callable[[], str]) -> Callable[[], str]:
    """The secret, read anew each time, for adapters, which know nothing of settings."""

    def now() -> str:
        try:
            return reveal()
        except SettingsError as missing:
            raise Unreadable(str(missing)) from None

    return now


def webhook(settings: Settings, clock: Clock) -> Webhook | None:
    """What answers at `/hooks/github`; None where no repository has webhook secrets. Raises `SettingsError`."""
    places = [
        Place(
            name=repository.name,
            url=repository.url,
            branch=repository.branch,
            repository=repository.forge.repository,
            secrets=tuple(SecretReference(secret).reveal() for secret in repository.forge.webhook_secrets),
        )
        for repository in settings.repositories
        if repository.forge.webhook_secrets
    ]
    try:
        return Webhook(places, clock) if places else None
    except ValueError as empty:
        raise SettingsError(str(empty)) from None


def hooks(settings: Settings, clock: Clock) -> Receiver | None:
    """The same as the server's route asks it. Raises `SettingsError`."""
    found = webhook(settings, clock)
    return None if found is None else _Hooks(found)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        raise Refusal(refused.status, str(refused)) from None


class _Hooks:
    """GitHub's webhook in the words of the server."""

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
        return Heard(names=said.names) if isinstance(said, Hint) else Heard(why=said.why)

    def forget(self, headers: Mapping[str, str]) -> None:
        """See `Receiver`."""
        self._hook.forget(headers)
