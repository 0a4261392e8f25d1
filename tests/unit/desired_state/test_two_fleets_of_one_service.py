"""`service:` lets two fleets share a service file: the placeholder tells their machines apart."""

from adapters.gate.settings import SpinnakerSettings
from desired_state.parser import Parser
from desired_state.trees import MemoryTree

FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\n",
    "environments/prod/environment.yaml": (
        'account: "123456789012"\nregions: [us-east-1]\nspinnaker: {url: "https://gate.example.com", account: prod}\n'
    ),
    "services/checkout.yaml": (
        "package: checkout\n"
        "deploy:\n"
        "  type: spinnaker\n"
        "  application: checkout\n"
        "  pipeline: deploy\n"
        "  parameters: {version: V, region: R, fairleadKey: K}\n"
        '  select: {cluster: "{service}-{environment}"}\n'
    ),
    "environments/prod/checkout.yaml": 'version: "1.4.1"\n',
    "environments/prod/bulk.yaml": 'service: checkout\nversion: "1.4.0"\n',
}


def test_two_fleets_of_one_service_select_different_machines() -> None:
    state = Parser({"spinnaker": SpinnakerSettings}).parse(MemoryTree(FILES))

    assert () == state.problems
    assert "checkout-prod" == state.fleets["prod/checkout"].deploy["select"]["cluster"]
    assert "bulk-prod" == state.fleets["prod/bulk"].deploy["select"]["cluster"]


def test_one_cluster_for_both_is_an_error_that_names_both() -> None:
    fixed = FILES["services/checkout.yaml"].replace("{service}", "checkout")
    state = Parser({"spinnaker": SpinnakerSettings}).parse(MemoryTree({**FILES, "services/checkout.yaml": fixed}))

    assert {"prod/bulk", "prod/checkout"} == set(state.broken)
    assert "prod/bulk" in state.problems[0].message + "".join(state.problems[0].fleets)
