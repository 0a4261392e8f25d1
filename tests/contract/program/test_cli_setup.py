"""setup --print: over the example repository behind a real git server, and against deploy/terraform/iam."""

import json
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fairlead.cli import app
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.git_server import GitServer

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "deploy" / "example"
POLICIES = ROOT / "deploy" / "terraform" / "iam" / "policies"
ADOPTING = ROOT / "docs" / "adopting.md"
SECRET = 'database: {$secret: "aws-sm:prod/mm/db#password", version: "7"}\n'
GITHUB = '[repositories.forge]\ntype = "github"\nrepository = "acme/desired"\nauth = {token = "env:GITHUB"}\n'


@pytest.fixture
def config(tmp_path: Path, desired: Any) -> Iterator[Path]:
    """The example of deploy/, with a secret in a configuration, instead of the small one."""
    files = {str(path.relative_to(EXAMPLE)): path.read_text() for path in EXAMPLE.rglob("*.yaml")}
    files["environments/prod/matchmaker.config.yaml"] = SECRET
    checkout = files["services/checkout.yaml"].replace(
        "{version: PKG_VERSION,", "{config: CONFIG, version: PKG_VERSION,"
    )
    files["services/checkout.yaml"] = f"{checkout}config: {{to: checkout.yaml, format: yaml}}\n"
    files["environments/prod/checkout.config.yaml"] = "color: blue\n"
    with GitServer(tmp_path / "example") as server:
        url = server.create("desired")
        clone = type(desired.clone)(tmp_path / "another", url)
        clone.commit("the example", files)
        file = tmp_path / "fairlead.toml"
        file.write_text(f'state = "{tmp_path / "state"}"\n[[repositories]]\nurl = "{url}"\n')
        yield file


def setup(config: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["setup", "--config", str(config), *args])


@pytest.fixture
def needed(config: Path) -> dict[str, Any]:
    done = setup(config, "--print", "-o", "json")
    assert 0 == done.exit_code, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def actions(*policies: Any) -> set[str]:
    return {action for policy in policies if policy for one in policy["Statement"] for action in listed(one["Action"])}


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def of_template(name: str) -> set[str]:
    """Every action of a template; names of actions hold nothing that Terraform fills in."""
    return set(
        re.findall(
            r'"((?:autoscaling|ec2|elasticloadbalancing|iam|s3|secretsmanager|sns|sqs):\w+)"',
            (POLICIES / name).read_text(),
        )
    )


def test_both_tiers_together_are_the_policy_of_terraform(needed: dict[str, Any]) -> None:
    tiers = [each[tier] for each in needed["accounts"] for tier in ("read_only", "acting")]

    assert of_template("controller.json.tftpl") == actions(*tiers)


def pairs(policy: Any) -> set[tuple[str, str]]:
    """Every action with each thing that it is allowed on."""
    return {
        (action, resource)
        for one in policy["Statement"]
        for action in listed(one["Action"])
        for resource in listed(one["Resource"])
    }


def of_environment(name: str, artifacts: list[str]) -> set[tuple[str, str]]:
    """The controller's template, as Terraform fills it in for one environment."""
    values = {
        "partition": "aws",
        "account": "123456789012",
        "environment": name,
        "bucket": f"example-fairlead-{name}",
        "jsonencode(artifacts)": json.dumps(artifacts),
    }
    text = (POLICIES / "controller.json.tftpl").read_text()
    return pairs(json.loads(re.sub(r"\$\{([^}]*)\}", lambda found: values[found[1]], text)))


def allows(policy: set[tuple[str, str]], action: str, resource: str) -> bool:
    return any(action == allowed and fnmatchcase(resource, pattern) for allowed, pattern in policy)


def test_everything_that_the_tiers_allow_terraform_allows_on_the_same_things(needed: dict[str, Any]) -> None:
    """An action alone says little: `s3:PutObject` on orders does not put a configuration."""
    tiers = [each[tier] for each in needed["accounts"] for tier in ("read_only", "acting")]
    printed = {pair for policy in tiers for pair in pairs(policy)}
    artifacts = sorted({resource for _, resource in printed if "example-builds" in resource})
    modules = of_environment("prod", artifacts) | of_environment("staging", artifacts)

    assert ("s3:PutObject", "arn:aws:s3:::example-fairlead-prod/config/checkout/*") in printed
    assert [] == sorted(pair for pair in printed if not allows(modules, *pair))
    spoken_of = {
        pair for pair in modules if not any(pair[0] == action and fnmatchcase(at, pair[1]) for action, at in printed)
    }
    unused = {("s3:PutObject", "arn:aws:s3:::example-fairlead-staging/config/*")}
    assert unused == spoken_of


def test_the_doctors_policy_is_that_of_terraform(needed: dict[str, Any]) -> None:
    assert of_template("doctor.json.tftpl") == actions(*(each["doctor"] for each in needed["accounts"]))


def test_the_policy_of_an_import_is_that_of_terraform_and_of_the_page(needed: dict[str, Any]) -> None:
    said = actions(*(each["importing"] for each in needed["accounts"]))
    (table,) = re.findall(r"^It needs these permissions.*?(?=^What it)", ADOPTING.read_text(), re.M | re.S)

    assert of_template("import.json.tftpl") == said
    assert {each for each in re.findall(r"`(\w+:\w+)`", table) if each != "sts:GetCallerIdentity"} == said
    assert "sqs:DeleteMessage" not in said


def test_the_hosts_policy_is_that_of_terraform(needed: dict[str, Any]) -> None:
    names = ("host", "host-queue-by-name", "host-target-groups", "host-secrets")
    expected = {action for name in names for action in of_template(f"{name}.json.tftpl")}

    assert expected == actions(*(each["policy"] for each in needed["hosts"]))


def test_the_read_only_tier_writes_nothing(needed: dict[str, Any]) -> None:
    (account,) = needed["accounts"]
    reading = ("Describe", "Get", "List", "ReceiveMessage", "DeleteMessage")  # a report that was read goes

    assert [] == [action for action in actions(account["read_only"]) if not action.split(":")[1].startswith(reading)]
    assert {"s3:PutObject", "sns:Publish"} <= actions(account["acting"])


def test_policies_are_about_these_accounts_and_names(needed: dict[str, Any]) -> None:
    (account,) = needed["accounts"]
    resources = {one["Sid"]: one["Resource"] for one in account["acting"]["Statement"]}

    assert "arn:aws:s3:::example-fairlead-prod/orders/prod/*" in resources["Orders"]
    assert "arn:aws:sns:eu-west-1:123456789012:fairlead-prod_*" in resources["Hints"]
    assert "arn:aws:s3:::example-builds/matchmaker/*" in resources["ArtifactsForTheirChecksums"]
    (prod,) = [each for each in needed["hosts"] if each["environment"] == "prod"]
    (secrets,) = [one for one in prod["policy"]["Statement"] if one["Sid"].startswith("Secrets")]
    assert "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/mm/db-??????" in secrets["Resource"]
    assert "staging" not in json.dumps(prod["policy"])


def test_no_statement_is_about_nothing(needed: dict[str, Any]) -> None:
    policies = [policy for each in needed["accounts"] for policy in each.values() if isinstance(policy, dict)]

    assert [] == [one for policy in policies for one in policy["Statement"] if one.get("Resource") == []]


def test_the_role_trusts_the_controller_and_the_controller_may_become_it(config: Path) -> None:
    own = "arn:aws:iam::123456789012:role/controller"

    found = json.loads(setup(config, "--print", "--controller", own, "-o", "json").stdout)

    (account,) = found["accounts"]
    (trust,), (assumes,) = account["trust"]["Statement"], found["controller"]["Statement"]
    assert {"AWS": own} == trust["Principal"]
    assert [account["identity"]] == assumes["Resource"]


def test_gates_are_named_with_the_applications_that_are_called(needed: dict[str, Any]) -> None:
    (gate,) = needed["gates"]

    assert ["READ", "EXECUTE"] == gate["permissions"]
    assert {"catalog", "checkout", "payments", "sessions"} == set(gate["applications"])
    pipelines = ["deploy-prod", "deploy-staging", "rollback-prod", "rollback-staging"]
    assert pipelines == gate["applications"]["checkout"]


def test_every_road_is_named(needed: dict[str, Any]) -> None:
    roads = {(row["from"], row["to"]) for row in needed["network"]}

    assert ("controller", "gate.example.com:443") in roads
    assert ("controller", "autoscaling.us-east-1.amazonaws.com:443") in roads
    assert ("hosts", "sqs.eu-west-1.amazonaws.com:443") in roads
    assert ("hosts", "secretsmanager.us-east-1.amazonaws.com:443") in roads
    assert not any(to.startswith("sns.") for where, to in roads if where == "hosts")


def test_a_repository_at_github_needs_statuses_and_one_without_a_forge_a_push_of_notes(config: Path) -> None:
    (notes,) = json.loads(setup(config, "--print", "-o", "json").stdout)["repositories"]
    config.write_text(config.read_text() + GITHUB)
    found = json.loads(setup(config, "--print", "-o", "json").stdout)

    assert any("refs/notes/fairlead" in each for each in notes["permissions"])
    assert any("Commit statuses: read and write" in each for each in found["repositories"][0]["permissions"])
    assert ("controller", "api.github.com:443") in {(row["from"], row["to"]) for row in found["network"]}
    assert any("GITHUB=..." in row["why"] for row in found["files"])


def test_an_environment_of_pull_requests_needs_a_push_of_branches(config: Path) -> None:
    clone = Checkout(config.parent / "mine", tomllib.loads(config.read_text())["repositories"][0]["url"])
    config.write_text(config.read_text() + GITHUB)
    path = "environments/prod/environment.yaml"
    said = (clone.folder / path).read_text()

    def branches() -> list[str]:
        (found,) = json.loads(setup(config, "--print", "-o", "json").stdout)["repositories"]
        return [each for each in found["permissions"] if "branches fairlead/*" in each]

    assert [] == branches()
    clone.commit("by pull request", {path: f"{said}changes: {{how: pull-request}}\n"})
    clone.push()
    (told,) = branches()
    assert told.endswith("runs commands for prod")


def test_postgresql_is_told_with_its_grants_and_never_with_its_password(config: Path) -> None:
    config.write_text(f'ledger = "postgresql+psycopg://boat:hunter2@db.example.com/rope"\n{config.read_text()}')

    done = setup(config, "--print")

    assert 'GRANT CONNECT ON DATABASE "rope" TO "boat";' in done.stdout
    assert "db.example.com:5432" in done.stdout
    assert "hunter2" not in done.output


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("u:hunter#2@db.example.com:6432/x", {"db.example.com:6432"}),
        ("u:hunter2@/x?host=h1:5432&host=h2:5432&target_session_attrs=read-write", {"h1:5432", "h2:5432"}),
        ("u:hunter2@/x?host=h1&host=h2", {"h1:5432", "h2:5432"}),
        ("u:hunter2@/x?host=/run/postgresql", set()),
    ],
)
def test_every_host_of_the_ledger_is_a_road(config: Path, url: str, hosts: set[str]) -> None:
    config.write_text(f'ledger = "postgresql+psycopg://{url}"\n{config.read_text()}')

    done = setup(config, "--print", "-o", "json")

    assert hosts == {row["to"] for row in json.loads(done.stdout)["network"] if row["why"] == "ledger"}
    assert "hunter" not in done.output


def test_a_ledger_that_cannot_be_read_is_one_sentence(config: Path) -> None:
    config.write_text(f'ledger = "postgresql+psycopg://u:hunter2@h1:1,h2:2/x"\n{config.read_text()}')

    done = setup(config, "--print")

    assert (3, 1) == (done.exit_code, done.stderr.count("\n"))
    assert "?host=HOST1:5432&host=HOST2:5432" in done.stderr
    assert "hunter2" not in done.output


def test_it_makes_nothing_on_the_controllers_side(config: Path) -> None:
    setup(config, "--print")

    assert not (config.parent / "state").exists()


def test_it_wants_to_be_told_to_print(config: Path) -> None:
    done = setup(config)

    assert (2, "") == (done.exit_code, done.stdout)
    assert "say --print" in done.stderr


def test_the_text_has_both_tiers_and_every_part(config: Path) -> None:
    done = setup(config, "--print")

    for heading in (
        "read-only tier",
        "acting tier",
        "== Gate",
        "== Repositories",
        "== Ledger",
        "== Network",
        "== Files",
    ):
        assert heading in done.stdout
