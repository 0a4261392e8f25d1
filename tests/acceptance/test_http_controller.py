"""Controller processes and their HTTP server: from the port that is bound to the last answer before the end."""

import hashlib
import hmac
import json
import re
import signal
import socket
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
import requests

from adapters.ledger.store import Store
from fairlead_sandbox.world import REPOSITORY, World

SECRET = "a secret that forges share with us"
LISTENING = re.compile(r'"address": "([^"]+)", "event": "http server listening"')
MakeWorld = Callable[..., World]
Start = Callable[..., Any]
WaitUntil = Callable[..., Any]


@pytest.fixture
def make_served(make_world: MakeWorld) -> Callable[..., World]:
    """`make_served(**durations)`: a world whose controllers listen and take webhooks."""

    def make(**durations: str) -> World:
        world = make_world(listen="127.0.0.1:0", **durations)
        with world.config.open("a") as config:
            config.write('\n[repositories.forge]\nrepository = "example/desired"\nwebhook_secrets = ["env:SECRET"]\n')
        return world

    return make


@pytest.fixture
def serve(start: Start, wait_until: WaitUntil) -> Callable[[World], tuple[Any, str]]:
    """`serve(world)`: a controller process, and its URL once it listens."""

    def begin(world: World) -> tuple[Any, str]:
        controller = start(world, SECRET=SECRET)
        found = wait_until(lambda: LISTENING.search(controller.said()), "the server listens", 90)
        return controller, f"http://{found[1]}"

    return begin


@pytest.fixture
def ended(wait_until: WaitUntil) -> Callable[[Any], int]:
    """`ended(controller)`: its exit code, once there is one."""

    def wait(controller: Any) -> int:
        wait_until(lambda: controller.exit_code is not None, "the controller has ended", 60)
        return int(controller.exit_code)

    return wait


def get(url: str) -> requests.Response:
    return requests.get(url, timeout=10)


def push(url: str, said: Any = None, ref: str = "refs/heads/main") -> requests.Response:
    payload = {"repository": {"full_name": "example/desired"}, "ref": ref, "said": said}
    body = json.dumps(payload).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": signature, "Content-Type": "application/json"}
    return requests.post(f"{url}/hooks/github", body, headers=headers, timeout=10)


def bump(world: World) -> None:
    world.checkout.commit("bump", {"environments/prod/checkout.yaml": "version: 1.4.1\n"})
    world.checkout.push()


def is_free(store: Store, key: str) -> bool:
    """Nobody holds the name: it can be claimed once it is due."""
    store.add([key])
    return key in [due.key for due in store.claim(key.partition(":")[0], 50, timedelta(seconds=1))]


def is_claimed(world: World, key: str) -> bool:
    """Somebody works on the name now. Statuses go to the same git server, and hang there as well."""
    with closing(sqlite3.connect(world.state / "ledger.db")) as ledger:
        return ledger.execute("SELECT owner FROM queue WHERE key = ?", [key]).fetchone()[0] is not None


def test_a_controller_becomes_ready_and_says_what_it_does(
    make_served: Callable[..., World], serve: Any, wait_until: WaitUntil
) -> None:
    controller, url = serve(make_served())

    wait_until(lambda: get(f"{url}/readyz").status_code == 200, "ready")
    assert 200 == get(f"{url}/healthz").status_code
    text = wait_until(
        lambda: (said := get(f"{url}/metrics").text) and 'state="Ready"} 1.0' in said and said, "one fleet is ready"
    )
    assert "fairlead_ledger_up 1.0" in text
    assert re.search(r'fairlead_pass_duration_seconds_count\{family="fleet",outcome="done"\} [1-9]', text)
    assert f'fairlead_feed_trouble{{feed="repository/{REPOSITORY}"}} 0.0' in text
    assert 'fairlead_feed_trouble{feed="inventory/123456789012/us-east-1"} 0.0' in text
    assert SECRET not in text + controller.said()
    assert 0 == controller.terminate()


def test_a_port_that_is_taken_is_one_sentence_and_an_exit_code(
    make_world: MakeWorld, start: Start, ended: Callable[[Any], int]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "{}:{}".format(*taken.getsockname())
        controller = start(make_world(listen=address))

        assert 3 == ended(controller)

    last = controller.said().splitlines()[-1]
    assert f"fairlead: listen: {address} cannot be listened on: Address already in use; name another" == last


def test_what_is_no_address_is_a_wrong_setting(
    make_world: MakeWorld, start: Start, ended: Callable[[Any], int]
) -> None:
    controller = start(make_world(listen="8080"))

    assert 2 == ended(controller)
    assert "Traceback" not in controller.said()


def test_a_push_is_read_long_before_the_next_poll(
    make_served: Callable[..., World], serve: Any, wait_until: WaitUntil, ledger_of: Callable[[World], Store]
) -> None:
    world = make_served(poll_interval="1h")
    _, url = serve(world)
    wait_until(lambda: get(f"{url}/readyz").status_code == 200, "ready")
    before = ledger_of(world).heads()[REPOSITORY]
    bump(world)

    wait_until(lambda: push(url).status_code == 202, "the push is taken: a busy controller says 503")
    wait_until(lambda: ledger_of(world).heads()[REPOSITORY] != before, "the new head is read")


def test_no_flood_of_webhooks_stops_the_loop(
    make_served: Callable[..., World], serve: Any, wait_until: WaitUntil
) -> None:
    world = make_served()
    controller, url = serve(world)
    wait_until(lambda: get(f"{url}/readyz").status_code == 200, "ready")

    def hostile(number: int) -> int:
        if number % 2:
            return push(url, number).status_code
        return requests.post(f"{url}/hooks/github", b"{" * number, timeout=10).status_code

    with ThreadPoolExecutor(20) as many:
        codes = set(many.map(hostile, range(200)))
    assert codes <= {202, 401, 503}
    wait_until(lambda: get(f"{url}/healthz").status_code == 200, "alive")
    bump(world)
    wait_until(lambda: world.versions("checkout-prod", "us-east-1") == {"1.4.1"}, "the next version runs", 90)
    assert "Traceback" not in controller.said()


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pass_under_way_is_let_finish_and_its_lease_given_back(
    make_served: Callable[..., World],
    serve: Any,
    wait_until: WaitUntil,
    ledger_of: Callable[[World], Store],
    ended: Callable[[Any], int],
) -> None:
    world = make_served(request_timeout="20s")
    world.gate.faults.on("hold_before_accepting")
    controller, url = serve(world)
    wait_until(lambda: 'state="Ready"} 1.0' in get(f"{url}/metrics").text, "the fleet is at its version")
    bump(world)
    assert world.gate.faults.wait_until_held(60)

    controller.send(signal.SIGTERM)
    wait_until(lambda: "the controller is shutting down" in get(f"{url}/readyz").text, "not ready any more")
    assert 503 == push(url).status_code
    assert 200 == get(f"{url}/healthz").status_code
    world.gate.faults.clear()

    assert 0 == ended(controller)
    store = ledger_of(world)
    assert 1 == len(world.gate.access_log.starts())
    assert [True] == [bool(outcome.ticket) for outcome in store.work_in_flight()]
    assert is_free(store, "fleet:prod/checkout")


def test_a_pass_that_hangs_keeps_the_process_for_a_stated_time_only(
    make_served: Callable[..., World],
    serve: Any,
    wait_until: WaitUntil,
    ledger_of: Callable[[World], Store],
    ended: Callable[[Any], int],
) -> None:
    world = make_served(lease="2s", request_timeout="1s", poll_interval="1h")
    controller, url = serve(world)
    wait_until(lambda: get(f"{url}/readyz").status_code == 200, "ready")
    world.git.faults.stall = True
    ledger = ledger_of(world)

    def hangs() -> bool:
        ledger.add(["repository:main"])  # again and again: each look gives up after a second
        return bool(world.git.waiting) and is_claimed(world, "repository:main")

    wait_until(hangs, "the repository hangs")

    controller.send(signal.SIGTERM)

    assert 4 == ended(controller)
    last = json.loads(controller.said().splitlines()[-1])
    assert "ended with passes under way" == last["event"]
    assert "repository:main" in last["under_way"]
    wait_until(lambda: is_free(ledger_of(world), "repository:main"), "its lease runs out by itself")


def test_the_second_signal_ends_it_at_once(
    make_served: Callable[..., World], serve: Any, wait_until: WaitUntil, ended: Callable[[Any], int]
) -> None:
    world = make_served()
    world.git.faults.stall = True
    controller, url = serve(world)
    wait_until(lambda: world.git.waiting, "the repository hangs")

    controller.send(signal.SIGTERM)
    wait_until(lambda: "shutting down" in get(f"{url}/readyz").text, "it heard the first")
    controller.send(signal.SIGTERM)

    assert -signal.SIGTERM == ended(controller)
