"""This host's clock against those of the servers it speaks to, by the `Date` of any answer of theirs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import requests

from adapters.doctor.findings import About, Finding
from reconciler.ports import Clock

WARNED = timedelta(seconds=5)  # `Date` counts whole seconds, and an answer takes its time
REFUSED = timedelta(seconds=60)
WITHIN = 5.0  # seconds for an answer
MEND = "run a time service (chrony) on this host: signatures and orders go by the clock"


def check_clock(name: str, url: str, clock: Clock) -> Iterator[Finding]:
    """Any answer serves, also a refusal. A server that does not answer is another check's trouble."""
    about = About(check="clock", name=name)
    before = clock.now()
    try:
        with requests.get(url, auth=nobody, timeout=WITHIN, allow_redirects=False, stream=True) as answer:
            told = _moment(answer.headers.get("Date", ""))
    except (requests.RequestException, OSError):
        yield about.skipped("it did not answer")
        return
    after = clock.now()
    if told is None:
        yield about.skipped("its answer carries no date")
        return
    yield judged(about, before + (after - before) / 2 - told)


def nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Signs in as nobody. Being there at all keeps requests from taking credentials out of a .netrc."""
    return request


def judged(about: About, skew: timedelta) -> Finding:
    """How far this host is ahead (negative: behind)."""
    seconds = abs(skew.total_seconds())
    said = f"this host is {seconds:.0f} s {'ahead' if skew > timedelta(0) else 'behind'}"
    if abs(skew) > REFUSED:
        return about.trouble(said, MEND)
    return about.warning(said, MEND) if abs(skew) > WARNED else about.ok("the clocks agree")


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
