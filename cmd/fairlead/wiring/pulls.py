"""Plans of pull requests out of the settings: for every repository whose forge has pull requests."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from adapters.feeds.merged_pulls import MergedPulls
from adapters.feeds.pull_plans import Merging, Onlooker
from adapters.feeds.pulls import Pulls, Watched
from adapters.feeds.repositories import Source
from desired_state.pull_mirror import PullMirror
from fairlead.settings import Settings
from fairlead.wiring.mirrors import mirror_at
from reconciler.compare_links import source_links
from reconciler.plan_images import Look
from reconciler.ports import Forge, Ledger
from reconciler.reviews import Reviews
from reconciler.world import World

LEAST = timedelta(seconds=3)  # between two looks, whatever webhooks ask for


def pull_plans(
    settings: Settings, world: World, forges: Mapping[str, Forge], sources: Mapping[str, Source], look: Look
) -> Pulls:
    """The feed of pull requests. `look` asks for a fleet's images. Raises `SettingsError`."""
    onlooker = Onlooker(world.ledger, world.deployers, look, world.clock, watches=world.observe_only)
    watched = dict(_watched(settings, forges, sources, world.ledger))
    return Pulls(
        world.ledger, watched, onlooker, world.clock, settings.poll_interval, settings.sweep_interval, least=LEAST
    )


def _watched(
    settings: Settings, forges: Mapping[str, Forge], sources: Mapping[str, Source], ledger: Ledger
) -> Iterator[tuple[str, Watched]]:
    for repository in settings.repositories:
        forge, source = forges[repository.name], sources[repository.name]
        if repository.forge.plans and isinstance(forge, Reviews):
            mirror = mirror_at(PullMirror, settings, repository, f"{repository.name}.pulls.git")
            merging = Merging(mirror=mirror, parser=source.parser, folder=source.folder)
            merged = MergedPulls(ledger, mirror, forge.pull_ref)
            heads = merged.record if repository.forge.answer_on != "merge" else None
            yield (
                repository.name,
                Watched(
                    reviews=forge, merging=merging, compared=source_links(repository.forge.repository), heads=heads
                ),
            )
