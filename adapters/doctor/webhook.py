"""The HTTP server as it is seen from here: where it listens, and through its public address."""

from collections.abc import Iterator

import requests

from adapters.doctor.findings import About, Finding

ABOUT = About(check="webhook", name="server")
WITHIN = 5.0  # seconds


def check_webhook(listen: str, public_url: str, forges: list[tuple[str, int]]) -> Iterator[Finding]:
    """`forges`: repositories whose forge sends webhooks, and how many secrets each has."""
    if not listen:
        yield ABOUT.skipped("`listen` is not set: pushes are seen by polling, and there are no metrics")
        return
    address = _local(listen)
    if _answers(f"http://{address}/healthz"):
        yield ABOUT.ok(f"{listen} answers")
    else:
        yield ABOUT.warning(
            f"nothing answers at {listen}", "start the controller on this host; that is where it listens"
        )
    for name, secrets in forges:
        if not secrets:
            yield ABOUT.warning(
                f"repository {name} has no webhook secret: its webhooks are refused", "set `forge.webhook_secrets`"
            )
    yield _public(public_url.rstrip("/"))


def _public(url: str) -> Finding:
    if not url:
        return ABOUT.warning("`public_url` is not set: statuses carry no link", "set it to the address people use")
    if _answers(f"{url}/healthz"):
        return ABOUT.ok(f"{url} leads to it")
    return ABOUT.warning(
        f"{url}/healthz does not answer from here",
        "ask it from outside too: a firewall may be meant; the forge must reach /hooks",
    )


def _local(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    return f"{'127.0.0.1' if host in {'', '0.0.0.0'} else '[::1]' if host in {'[::]', '::'} else host}:{port}"  # noqa: S104


def _answers(url: str) -> bool:
    try:
        with requests.get(url, timeout=WITHIN, allow_redirects=False, stream=True) as answer:
            return answer.status_code < 500
    except (requests.RequestException, OSError):
        return False
