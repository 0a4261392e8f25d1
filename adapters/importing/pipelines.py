"""Which pipeline deploys a cluster, and which of its parameters means what. Pure.

The shapes are Spinnaker's own: a pipeline has `stages`, a deploy stage has `clusters`, each with `account`,
`application`, `stack`, `freeFormDetails` (or a `moniker`) and `availabilityZones` by region; `parameterConfig` lists
what it may be told. Any text in it may be an expression, `${...}`, which nobody but Spinnaker can fill in.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.aws.names import cluster_name
from adapters.importing.facts import Path, Pipeline, Question

UNNAMED = "name-me"  # no pipeline: a start of it is refused, and nothing else is run by mistake
_OUR_KEY = "FAIRLEAD_KEY"
_MEANT = {  # Fairlead's word: the pipeline's, without case and punctuation, likeliest first
    "version": ("PKGVERSION", "PACKAGEVERSION", "VERSION", "APPVERSION", "BUILDVERSION", "RELEASEVERSION"),
    "region": ("REGION", "AWSREGION", "DEPLOYREGION", "TARGETREGION"),
    "fairleadKey": ("FAIRLEADKEY",),
}
_NEARLY = {"version": "VERSION", "region": "REGION"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What `deploy` says of the pipeline."""

    pipeline: str
    parameters: Mapping[str, str]
    account: str = ""  # Spinnaker's name of the AWS account
    packages: tuple[str, ...] = ()  # that its bake stages name
    questions: tuple[Question, ...] = ()


def choose(pipelines: Sequence[Pipeline], application: str, cluster: str, regions: Iterable[str]) -> Choice:
    """The pipeline that deploys the cluster in these regions, and its parameters."""
    wanted = set(regions)
    known = sorted((one for one in pipelines if isinstance(one.get("name"), str)), key=lambda one: str(one["name"]))
    live = [one for one in known if not one.get("disabled")]
    found = [one for one in live if any(_is_of(target, cluster, wanted) for target in _targets(one))]
    if not found:
        return _unknown(application, cluster, live)
    best = max(found, key=lambda one: (_covered(one, cluster) & wanted == wanted, bool(_version_names(one))))
    parameters, asked = _parameters(best)
    if len(found) > 1:
        named = ", ".join(str(one["name"]) for one in found)
        asked = [
            _ask("pipeline", f"several pipelines deploy {cluster}: {named}. Is {best['name']} the right one?"),
            *asked,
        ]
    return Choice(
        pipeline=str(("/" in best["name"] and best.get("id")) or best["name"]),  # Gate starts no name with a slash
        parameters=parameters,
        account=next((str(one.get("account") or "") for one in _targets(best) if _is_of(one, cluster, wanted)), ""),
        packages=tuple(_baked(best)),
        questions=tuple(asked),
    )


def _unknown(application: str, cluster: str, pipelines: Sequence[Pipeline]) -> Choice:
    named = ", ".join(str(one["name"]) for one in pipelines[:10])
    there = f"The pipelines of {application} are: {named}." if named else f"Gate shows no pipeline of {application}."
    text = (
        f"which pipeline deploys {cluster}? No deploy stage names it in plain text. {there} "
        f"Until it is answered a deploy is refused, and what runs is left alone."
    )
    parameters = {"version": "VERSION", "fairleadKey": _OUR_KEY}
    asked = (_ask("pipeline", text), _ask("parameters", "what does that pipeline call its parameters?"))
    return Choice(pipeline=UNNAMED, parameters=parameters, questions=asked)


# -- deploy stages ---------------------------------------------------------------------------------------------------


def _stages(pipeline: Pipeline, kind: str) -> Iterator[Mapping[str, Any]]:
    for stage in pipeline.get("stages") or ():
        if isinstance(stage, Mapping) and stage.get("type") == kind:
            yield stage


def _targets(pipeline: Pipeline) -> Iterator[Mapping[str, Any]]:
    for stage in _stages(pipeline, "deploy"):
        yield from (one for one in stage.get("clusters") or () if isinstance(one, Mapping))


def _name_of(target: Mapping[str, Any]) -> str:
    moniker = target.get("moniker")
    if isinstance(moniker, Mapping) and moniker.get("cluster"):
        return str(moniker["cluster"])
    app, stack, detail = (str(target.get(key) or "") for key in ("application", "stack", "freeFormDetails"))
    return cluster_name(app, stack, detail)


def _regions_of(target: Mapping[str, Any]) -> set[str]:
    zones = target.get("availabilityZones")
    return {str(region) for region in zones} if isinstance(zones, Mapping) else set()


def _is_of(target: Mapping[str, Any], cluster: str, regions: set[str]) -> bool:
    named = _regions_of(target)
    return _name_of(target) == cluster and (not named or bool(named & regions) or any("${" in one for one in named))


def _covered(pipeline: Pipeline, cluster: str) -> set[str]:
    return {region for one in _targets(pipeline) if _name_of(one) == cluster for region in _regions_of(one)}


def _baked(pipeline: Pipeline) -> Iterator[str]:
    """The package of each bake stage, before its version: `checkout_${parameters.VERSION}_all`."""
    for stage in _stages(pipeline, "bake"):
        for word in str(stage.get("package") or "").split():
            if name := re.split(r"[_$]", word)[0]:
                yield name


# -- parameters ------------------------------------------------------------------------------------------------------


def _given(pipeline: Pipeline) -> list[Mapping[str, Any]]:
    listed = pipeline.get("parameterConfig") or ()
    return [one for one in listed if isinstance(one, Mapping) and isinstance(one.get("name"), str)]


def _bare(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name.upper())


def _candidates(pipeline: Pipeline, word: str) -> list[str]:
    """The pipeline's own names that may mean our word, likeliest first."""
    names = [str(one["name"]) for one in _given(pipeline)]
    sure = [name for meant in _MEANT[word] for name in names if _bare(name) == meant]
    near = [name for name in names if word in _NEARLY and _NEARLY[word] in _bare(name) and name not in sure]
    return sure + near


def _version_names(pipeline: Pipeline) -> list[str]:
    return _candidates(pipeline, "version")


def _parameters(pipeline: Pipeline) -> tuple[dict[str, str], list[Question]]:
    found: dict[str, str] = {}
    asked: list[Question] = []
    for word in _MEANT:
        candidates = _candidates(pipeline, word)
        if candidates:
            found[word] = candidates[0]
            asked += _doubts(word, candidates)
    if "version" not in found:
        found = {"version": "VERSION", **found}
        asked.append(_ask("parameters", f"which parameter of {pipeline['name']} takes the version?", "version"))
    if "fairleadKey" not in found:
        found["fairleadKey"] = _OUR_KEY
        asked.append(_ask("parameters", f"will you add a parameter {_OUR_KEY} to {pipeline['name']}?", "fairleadKey"))
    return found, asked + _unfilled(pipeline, found)


def _doubts(word: str, candidates: Sequence[str]) -> Iterator[Question]:
    sure = [name for name in candidates if _bare(name) in _MEANT[word]]
    if len(candidates) > 1:
        yield _ask("parameters", f"which of {', '.join(candidates)} takes the {word}?", word)
    elif not sure:
        yield _ask("parameters", f"is {candidates[0]} the parameter that takes the {word}?", word)


def _unfilled(pipeline: Pipeline, found: Mapping[str, str]) -> list[Question]:
    needed = [str(one["name"]) for one in _given(pipeline) if one.get("required") and not one.get("default")]
    left = [name for name in needed if name not in found.values()]
    said = f"{pipeline['name']} requires {', '.join(left)}: give it a default, or it is refused?"
    return [_ask("parameters", said)] if left else []


def _ask(key: str, text: str, *inner: str) -> Question:
    path: Path = ("deploy", key, *inner)
    return Question(text=text, path=path)
