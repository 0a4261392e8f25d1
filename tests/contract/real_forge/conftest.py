"""One real server for all tests of a run; where there is none they are skipped."""

from collections.abc import Iterator

import pytest

from tests.contract.real_forge.building import Missing, built
from tests.contract.real_forge.server import RealForge, running


@pytest.fixture(scope="session")
def real_forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealForge]:
    """A Gitea with one account."""
    try:
        program = built()
    except Missing as missing:
        pytest.skip(f"no real Gitea here: {missing}")
    with running(program, tmp_path_factory.mktemp("gitea")) as forge:
        yield forge
