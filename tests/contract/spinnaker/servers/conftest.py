"""The servers that the one suite asks: the sandbox's Gate, Orca's engine, and a Gate that settings name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate import Gate, GateSettings
from tests.contract.spinnaker.servers import engine
from tests.contract.spinnaker.servers.cases import SQL
from tests.contract.spinnaker.servers.shim import Shim
from tests.contract.spinnaker.servers.speaking import Server, Store

REAL = "FAIRLEAD_REAL_GATE"  # its URL
APPLICATION = "FAIRLEAD_REAL_GATE_APPLICATION"  # an application there whose pipelines may come and go
STORE = "FAIRLEAD_REAL_GATE_STORE"  # what its Orca keeps executions in: "sql", or "redis", which sorts nothing


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each case once a server; a case that the engine cannot answer is not asked of it."""
    if "server" not in metafunc.fixturenames:
        return
    servers = [pytest.param("sandbox")]
    marker = metafunc.definition.get_closest_marker("unverified")
    if marker is None:
        servers.append(pytest.param("orca", marks=pytest.mark.spinnaker))
    sorts = os.environ.get(STORE, "sql") == "sql"
    if os.environ.get(REAL) and (sorts or marker is None or SQL not in marker.args):
        servers.append(pytest.param("real", marks=pytest.mark.spinnaker))
    metafunc.parametrize("server", servers, indirect=True, scope="module")


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server for the cases of a file: each case has pipelines of its own."""
    if request.param == "orca":
        yield request.getfixturevalue("orca")
        return
    with {"sandbox": _sandbox, "real": _real}[request.param]() as running:
        yield running
        for config_id in list(running.saved):
            running.store.forget(config_id)


@pytest.fixture(scope="session")
def orca() -> Iterator[Server]:
    """Orca's engine behind the shim, started once."""
    try:
        with engine.running() as url:
            shim = Shim(url)
            store = Store(save=shim.save, forget=shim.forget)
            try:
                yield Server(name="orca", version=engine.version(), url=shim.url, store=store)
            finally:
                shim.stop()
    except engine.Missing as missing:
        pytest.skip(f"no real Orca here: {missing}")


@contextmanager
def _sandbox() -> Iterator[Server]:
    settings = GateSettings(tick_seconds=0.002)
    with Aws() as aws, Gate(aws, settings) as gate:
        store = Store(save=gate.pipelines.save, forget=gate.pipelines.delete)
        yield Server(name="sandbox", version="this one", url=gate.url, store=store)


@contextmanager
def _real() -> Iterator[Server]:
    url, application = os.environ[REAL].rstrip("/"), os.environ[APPLICATION]
    store = _GateStore(url, application)
    yield Server(
        name="real",
        version=f"at {url}",
        url=url,
        store=Store(save=store.save, forget=store.forget),
        application=application,
    )


class _GateStore:
    """Pipelines saved through Gate."""

    def __init__(self, url: str, application: str) -> None:
        self._url = url
        self._application = application
        self._names: dict[str, str] = {}

    def save(self, config: dict[str, Any]) -> str:
        requests.post(f"{self._url}/pipelines", json=config, timeout=60).raise_for_status()
        path = f"/applications/{self._application}/pipelineConfigs/{config['name']}"
        saved = requests.get(self._url + path, timeout=60).json()
        self._names[saved["id"]] = config["name"]
        return str(saved["id"])

    def forget(self, config_id: str) -> None:
        name = self._names.pop(config_id)
        requests.delete(f"{self._url}/pipelines/{self._application}/{name}", timeout=60).raise_for_status()
