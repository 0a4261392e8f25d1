"""The HTTP server as it is seen from here: where it listens, and through its public address."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import requests

from adapters.doctor.clocks import nobody
from adapters.doctor.findings import About, Finding

ABOUT = About(check="webhook", name="server")
WITHIN = 5.0  # seconds
REFUSING = frozenset({301, 302, 303, 307, 308, 401, 403})  # a proxy that asks who we are, or sends us to a log-in


def check_webhook(listen: str, public_url: str, forges: Sequence[tuple[str, int]]) -> Iterator[Finding]:
    """`forges`: repositories whose forge sends webhooks, and how many secrets each has."""
    if not listen:
        yield ABOUT.skipped("`listen` is not set: pushes are seen by polling, and there are no metrics")
        return
    yield _local(listen)
    for name, secrets in forges:
        if not secrets:
            yield ABOUT.warning(
                f"repository {name} has no webhook secret: pushes are seen by polling", "set `forge.webhook_secrets`"
            )
    yield _public(public_url.rstrip("/"))


def _local(listen: str) -> Finding:
    address = f"http://{_reached_at(listen)}"
    alive, said = _asked(f"{address}/healthz")
    why = _why(said)
    if alive == 200:
        ready, said = _asked(f"{address}/readyz")
        why = _why(said)
        if ready == 200:
            return ABOUT.ok(f"{listen} answers, and is ready")
        return ABOUT.warning(f"{listen} answers, and is not ready: {why or ready}", "see the log of the controller")
    if alive is None:
        return ABOUT.warning(f"nothing answers at {listen}", "start the controller on this host: it listens there")
    return ABOUT.warning(f"{listen} answers {alive}: {why or 'it does not say why'}", "restart the controller")


def _public(url: str) -> Finding:
    if not url:
        return ABOUT.warning("`public_url` is not set: statuses carry no link", "set it to the address people use")
    status, said = _asked(f"{url}/healthz")
    if status is None:
        return ABOUT.warning(
            f"{url}/healthz does not answer from here",
            "ask it from outside too: a firewall may be meant; the forge must reach /hooks",
        )
    if status == 200 and said.get("alive") is True:
        return ABOUT.ok(f"{url} leads to a controller that is well")
    if status in REFUSING:
        return ABOUT.warning(
            f"{url}/healthz answers {status}: it wants a sign-in before Fairlead is asked",
            "let /hooks through to Fairlead without one: a forge has none, its webhook is signed",
        )
    return ABOUT.warning(
        f"{url}/healthz answers {status}" + (f": {why}" if (why := _why(said)) else ", and not as a controller does"),
        "make the address lead to `listen` of a controller: webhooks and the links of statuses go there",
    )


def _reached_at(listen: str) -> str:
    """Where a server that listens there is met on this host."""
    host, _, port = listen.rpartition(":")
    own = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104
    return f"{own.get(host, host)}:{port}"


def _asked(url: str) -> tuple[int | None, Mapping[str, Any]]:
    """The status, and the JSON of the answer; no status where there is no answer."""
    try:
        answer = requests.get(url, auth=nobody, timeout=WITHIN, allow_redirects=False)
    except (requests.RequestException, OSError, ValueError):
        return None, {}
    try:
        body = answer.json()
    except ValueError:
        body = None
    return answer.status_code, body if isinstance(body, dict) else {}


def _why(said: Mapping[str, Any]) -> str:
    return str(said.get("why", ""))[:200]
