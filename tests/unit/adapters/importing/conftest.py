"""A made-up account: server groups, hosts, pipelines and reports, and what is concluded of them."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest

from adapters.aws.hosts import Hosts
from adapters.aws.instances import GROUP_TAG
from adapters.aws.inventory import Inventory
from adapters.aws.names import cluster_of
from adapters.importing.facts import Account, Rules, Site, Told
from adapters.importing.repository import Imported, conclude
from fairlead import wiring

EAST, WEST = "us-east-1", "eu-west-1"
RULES: dict[str, Any] = {"gate": "https://gate.example.com", "bucket": "orders-{environment}"}


class Made:
    """Filled by a test, then concluded of."""

    def __init__(self) -> None:
        self.account = Account(id="123456789012", regions=(EAST, WEST))
        self.groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.images: dict[str, dict[str, Any]] = {}
        self.found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.pipelines: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.reports: list[Told] = []
        self.notes: tuple[str, ...] = ()

    def image(self, **tags: str) -> str:
        name = f"ami-{len(self.images):08d}"
        self.images[name] = {"name": name, "tags": tags}
        return name

    def baked(self, package: str, version: str) -> str:
        return self.image(**{f"fairlead:package/{package}": version, "appversion": f"{package}-{version}-h1.abc"})

    def group(self, name: str, image: str, count: int = 2, region: str = EAST, *, enabled: bool = True) -> None:
        number = sum(map(len, self.groups.values()))
        instances = [
            {"id": f"i-{number}-{place}", "image": image, "lifecycle": "InService", "health": "Healthy"}
            for place in range(count)
        ]
        described = {
            "name": name,
            "region": region,
            "created": f"2026-01-{number + 1:02d}",
            "enabled": enabled,
            "capacity": {"min": 0, "max": 9, "desired": count},
            "tags": {},
            "launch_image": image,
            "instances": instances,
        }
        self.groups[region].append(described)
        self.found[region] += [self._host(one["id"], **{GROUP_TAG: name}) for one in instances]

    def host(self, name: str, region: str = EAST, **tags: str) -> None:
        self.found[region].append(self._host(name, **tags))

    def _host(self, name: str, **tags: str) -> dict[str, Any]:
        return {"id": name, "state": "running", "zone": "a", "launched": "2026-01-01", "tags": tags}

    def told(self, host: str, fleet: str, **packages: str) -> None:
        components = {f"package/{name}": version for name, version in packages.items()}
        self.reports.append(Told(fleet=fleet, host=host, components=components))

    def pipeline(self, name: str, cluster: Mapping[str, Any], *parameters: str, **more: Any) -> None:
        given = [{"name": each, "required": False, "default": ""} for each in parameters]
        stage = {"type": "deploy", "clusters": [{"account": "main", "availabilityZones": {EAST: []}, **cluster}]}
        self.pipelines[str(cluster["application"])].append(
            {"name": name, "parameterConfig": given, "stages": [stage], **more}
        )

    @property
    def site(self) -> Site:
        return Site(
            account=self.account,
            inventories={region: self._inventory(region) for region in self.account.regions},
            pipelines=self.pipelines,
            reports=self.reports,
            notes=self.notes,
        )

    def _inventory(self, region: str) -> Inventory:
        clusters: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for group in self.groups[region]:
            clusters[cluster_of(group["name"])].append(group)
        ordered = {name: tuple(those) for name, those in clusters.items()}
        return Inventory(clusters=ordered, images=self.images, hosts=Hosts(self.found[region]))

    def conclude(self, **rules: Any) -> Imported:
        return conclude([self.site], Rules(**{**RULES, **rules}), wiring.parser())


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
def make() -> type[Made]:
    """For a test that needs a new account for each example."""
    return Made


@pytest.fixture
def shop(made: Made) -> Made:
    """shop-prod in one region at 1.4.0, and a pipeline for it."""
    made.group("shop-prod-v003", made.baked("shop", "1.4.0"))
    made.pipeline("Deploy prod", {"application": "shop", "stack": "prod"}, "VERSION", "REGION", "FAIRLEAD_KEY")
    return made


@pytest.fixture
def games(made: Made) -> Made:
    """Two hosts of matchmaker in prod, whose agents tell 2.3.1."""
    for host in ("i-a", "i-b"):
        made.host(host, service="matchmaker", environment="prod")
        made.told(host, "prod/matchmaker", matchmaker="2.3.1")
    return made
