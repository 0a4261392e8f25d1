"""What writes Spinnaker's pipelines."""

from adapters.clock import SystemClock
from adapters.pipelines.writing import Writer
from fairlead.settings import Settings
from fairlead.wiring import gates


def writer(settings: Settings) -> Writer:
    """One for every Gate that fleets name, each with the credentials of its own URL. Raises `SettingsError`."""
    known = gates(settings)
    return Writer(lambda url: known.at(url).configs, SystemClock())
