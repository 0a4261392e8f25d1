"""Who hears of fleets beside the setting commits, out of the settings: sources, deployments, channels."""

from collections.abc import Callable, Mapping
from functools import partial

import structlog

from adapters.notify.addresses import BadAddress, checked
from adapters.notify.exchange import Exchange
from adapters.notify.notifier import Notifier, Voice
from adapters.notify.slack import Slack
from adapters.notify.webhook import Webhook
from fairlead.settings import CHANNEL, NotifySettings, SecretReference, Settings, SettingsError
from reconciler.audience import Audience
from reconciler.notices import Channel
from reconciler.ports import Budget, Clock, Unreadable


def audience(settings: Settings) -> Audience:
    """Who is wanted to hear of fleets. A repository without a forge has nobody beside it."""
    hosted = [each for each in settings.repositories if each.forge.type != "git_notes"]
    channels = (Channel(name=each.name, owners=each.owners, environments=each.environments) for each in settings.notify)
    return Audience(
        sources={each.name: each.forge.sources for each in hosted if each.forge.sources},
        deployments=frozenset(each.name for each in hosted if each.forge.deployments),
        channels=tuple(channels),
    )


def notifiers(settings: Settings, budget: Budget, clock: Clock) -> Mapping[str, Notifier]:
    """The channels by the names under which the outbox knows them. Raises `SettingsError`."""
    return {f"{CHANNEL}{each.name}": notifier(settings, each, budget, clock) for each in settings.notify}


def notifier(settings: Settings, channel: NotifySettings, budget: Budget, clock: Clock) -> Notifier:
    """One channel. Raises `SettingsError` for an address that could never be used; it is not repeated."""
    url = partial(_revealed, str(channel.url))
    try:
        checked(url())
    except (BadAddress, Unreadable) as bad:
        raise SettingsError(f"notify {channel.name}: {bad}") from None
    return Notifier(
        channel.name,
        url=url,
        voice=_voice(channel),
        exchange=_exchange(settings, channel, clock),
        budget=budget,
        log=structlog.get_logger("fairlead"),
    )


def reach(settings: Settings, channel: NotifySettings, clock: Clock) -> Callable[[], str]:
    """What connects to a channel and posts nothing; see `Exchange.reach`. It raises `Unreadable` too."""
    exchange = _exchange(settings, channel, clock)
    return lambda: exchange.reach(_revealed(str(channel.url)))


def _exchange(settings: Settings, channel: NotifySettings, clock: Clock) -> Exchange:
    seconds = settings.request_timeout.total_seconds()
    return Exchange(timeout=seconds, monotonic=clock.monotonic, private_hosts=channel.private_hosts)


def _voice(channel: NotifySettings) -> Voice:
    if channel.kind == "slack":
        return Slack()
    secret: Callable[[], str] = partial(_revealed, str(channel.secret)) if channel.secret else str
    return Webhook(secret)


def _revealed(reference: str) -> str:
    """The secret, read anew each time. Raises `Unreadable`."""
    try:
        return SecretReference(reference).reveal()
    except SettingsError as missing:
        raise Unreadable(str(missing)) from None
