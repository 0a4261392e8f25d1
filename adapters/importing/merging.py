"""Many fleets as one repository: what they share stands in a service, what differs in `in.<environment>`. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapters.importing.emitting import text_of
from adapters.importing.facts import Draft, LeftOut, Path, Rules
from adapters.importing.naming import NAME_AT_MOST, RANK, in_order, templated, twins

Leaves = dict[Path, Any]


# -- which environments there are ------------------------------------------------------------------------------------


def settled(drafts: Sequence[Draft]) -> tuple[list[Draft], list[LeftOut]]:
    """The drafts in environments that can be written: one account each, and the same regions for all fleets in it."""
    by_environment: dict[str, list[Draft]] = defaultdict(list)
    for draft in drafts:
        by_environment[draft.environment].append(draft)
    found, left = [], []
    for name, those in sorted(by_environment.items()):
        accounts = sorted({draft.account.id for draft in those})
        if len(accounts) > 1:
            why = f"{name} is found in the accounts {' and '.join(accounts)}: import each of them alone"
            left += [LeftOut(what=draft.fleet, why=why) for draft in those]
            continue
        found += _by_regions(name, those)
    even, uneven = _even(found)
    kept, twice = _distinct(_renamed(even))
    return kept, [*left, *uneven, *twice]


def _by_regions(name: str, drafts: Sequence[Draft]) -> list[Draft]:
    """A fleet is in all regions of its environment: what is in fewer gets an environment of its own."""
    fixed = Counter(draft.regions for draft in drafts if draft.kind == "spinnaker")
    everywhere = tuple(sorted({region for draft in drafts for region in draft.regions}))
    usual = max(fixed, key=lambda regions: (fixed[regions], len(regions), regions)) if fixed else everywhere
    return [_placed(draft, name, usual) for draft in drafts]


def _placed(draft: Draft, name: str, usual: tuple[str, ...]) -> Draft:
    fits = draft.regions == usual if draft.kind == "spinnaker" else set(draft.regions) <= set(usual)
    if fits:
        return replace(draft, regions=usual)
    return replace(draft, environment=f"{name}-{'-'.join(draft.regions)}"[:NAME_AT_MOST].rstrip("-"))


def _even(drafts: Sequence[Draft]) -> tuple[list[Draft], list[LeftOut]]:
    """Those that are in the regions of their environment: a name that was made for a few regions may be taken."""
    regions = {draft.environment: draft.regions for draft in reversed(drafts)}
    left = [
        LeftOut(what=draft.found, why=f"{draft.environment} has other regions: import these regions by themselves")
        for draft in drafts
        if draft.regions != regions[draft.environment]
    ]
    return [draft for draft in drafts if draft.regions == regions[draft.environment]], left


def _renamed(drafts: Sequence[Draft]) -> list[Draft]:
    """One service is deployed in one way: of a name that is both, images get another, as agents know theirs."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for draft in drafts:
        kinds[draft.service].add(draft.kind)
    both = {service for service, those in kinds.items() if len(those) > 1}
    return [
        replace(draft, service=f"{draft.service[: NAME_AT_MOST - 7]}-images")
        if draft.service in both and draft.kind == "spinnaker"
        else draft
        for draft in drafts
    ]


def _distinct(drafts: Sequence[Draft]) -> tuple[list[Draft], list[LeftOut]]:
    """Of several that would be one fleet none is guessed to be it."""
    named = Counter(draft.fleet for draft in drafts)
    left = [
        LeftOut(
            what=draft.found, why=f"{named[draft.fleet]} of these would be {draft.fleet}: tell them apart with --map"
        )
        for draft in drafts
        if named[draft.fleet] > 1
    ]
    return [draft for draft in drafts if named[draft.fleet] == 1], left


# -- their files -----------------------------------------------------------------------------------------------------


def files_of(drafts: Sequence[Draft], rules: Rules) -> dict[str, str]:
    """The repository but for its README, as path: text."""
    environments = in_order(draft.environment for draft in drafts)
    files = {"fairlead.yaml": _top(environments)}
    for name in environments:
        those = [draft for draft in drafts if draft.environment == name]
        files[f"environments/{name}/environment.yaml"] = _environment(name, those, rules)
        files.update((f"environments/{draft.fleet}.yaml", _fleet(draft)) for draft in those)
    for service in sorted({draft.service for draft in drafts}):
        files[f"services/{service}.yaml"] = _service([draft for draft in drafts if draft.service == service])
    return dict(sorted(files.items()))


def _top(environments: Sequence[str]) -> str:
    tree = {"apiVersion": "fairlead/v1", "environments": list(environments), "defaults": {"adopt": "ask"}}
    asked = []
    if len(environments) > 1:
        strange = [name for name in environments if name.partition("-")[0] not in RANK]
        guess = (
            f" {', '.join(strange)} {'is' if len(strange) == 1 else 'are'} guessed to come before production."
            if strange
            else ""
        )
        asked.append(f"is this the order in which a version travels, from the first to the last?{guess}")
    asked += [f"do {' and '.join(names)} mean the same? Then import again with --map." for names in twins(environments)]
    return text_of(tree, {("environments",): asked})


def _environment(name: str, drafts: Sequence[Draft], rules: Rules) -> str:
    account = drafts[0].account
    tree: dict[str, Any] = {"account": account.id, "regions": list(drafts[0].regions)}
    asked: dict[Path, list[str]] = {}
    if account.role:
        tree["role"] = account.role
    if any(draft.kind == "spinnaker" for draft in drafts):
        told = Counter(draft.spinnaker_account for draft in drafts if draft.spinnaker_account)
        called = max(told, key=lambda each: (told[each], each), default=name)
        tree["spinnaker"] = {"url": rules.gate, "account": called}
        if len(told) != 1:
            asked["spinnaker",] = [f"what does Spinnaker call the account {account.id}?" + _named(told)]
    if any(draft.kind == "trigger" for draft in drafts):
        tree["trigger"] = {"bucket": rules.bucket.replace("{environment}", name)}
    if name not in RANK and name.partition("-")[0] in RANK:
        asked["regions",] = [
            f"these fleets are in fewer regions than others of {name.partition('-')[0]}. Is that meant?"
        ]
    return text_of(tree, asked)


def _named(told: Iterable[str]) -> str:
    return f" Pipelines say {' and '.join(sorted(told))}." if told else ""


def _fleet(draft: Draft) -> str:
    single = len(draft.versions) == 1
    tree: dict[str, Any] = (
        {"version": next(iter(draft.versions.values()))} if single else {"versions": dict(draft.versions)}
    )
    if draft.sha256:
        tree["sha256"] = dict(draft.sha256)
    asked = _asked(question for question in draft.questions if question.in_fleet)
    return text_of(tree, asked, [f"Imported from {draft.found}."])


def _service(drafts: Sequence[Draft]) -> str:
    base, differing = _shared({draft.environment: _leaves(_generalized(draft)) for draft in drafts})
    tree = _tree(base)
    if differing:
        tree["in"] = {name: _tree(those) for name, those in differing.items()}
    return text_of(tree, _asked(question for draft in drafts for question in draft.questions if not question.in_fleet))


def _generalized(draft: Draft) -> dict[str, Any]:
    """What a service's file says for one environment, with its name as a placeholder."""
    tree: dict[str, Any] = {}
    if draft.kind == "spinnaker":
        tree["package"] = next(iter(draft.packages))
    else:
        tree["packages"] = {name: dict(how) for name, how in draft.packages.items()}
    if draft.zero_units:
        tree["zero_units"] = "allowed"
    tree["deploy"] = {**draft.deploy, **_with_placeholder(draft)}
    return tree


def _with_placeholder(draft: Draft) -> dict[str, Any]:
    def general(text: str) -> str:
        return templated(text, draft.environment)

    if draft.kind == "spinnaker":
        pipeline, select = draft.deploy["pipeline"], draft.deploy["select"]
        return {"pipeline": general(pipeline), "select": {"cluster": general(select["cluster"])}}
    tags = draft.deploy["select"]["tags"]
    return {
        "select": {
            "tags": {key: general(value) if value == draft.environment else value for key, value in tags.items()}
        }
    }


def _leaves(tree: Mapping[str, Any], at: Path = ()) -> Leaves:
    found: Leaves = {}
    for key, value in tree.items():
        inner = _leaves(value, (*at, key)) if isinstance(value, Mapping) and value else {(*at, key): value}
        found.update(inner)
    return found


def _shared(by_environment: Mapping[str, Leaves]) -> tuple[Leaves, dict[str, Leaves]]:
    """What most say, and by environment what it says otherwise; null takes away what it does not have."""
    paths = list(dict.fromkeys(path for leaves in by_environment.values() for path in leaves))
    base: Leaves = {}
    for path in paths:
        said = [leaves[path] for leaves in by_environment.values() if path in leaves]
        base[path] = max(said, key=lambda value: (said.count(value), -said.index(value)))
    differing = {
        name: {path: leaves.get(path) for path in paths if leaves.get(path) != base[path]}
        for name, leaves in by_environment.items()
    }
    return base, {name: those for name, those in differing.items() if those}


def _tree(leaves: Leaves) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path, value in leaves.items():
        node = root
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value
    return root


def _asked(questions: Iterable[Any]) -> dict[Path, list[str]]:
    asked: dict[Path, list[str]] = defaultdict(list)
    for question in questions:
        if question.text not in asked[question.path]:
            asked[question.path].append(question.text)
    return asked
