"""Runs a printed `aws ...` line against an AWS API, as the AWS command line would read it.

An option is a member of the operation's input in small letters and hyphens; a structure is JSON or `Key=Value,...`.
Source: the AWS CLI's `argprocess` and `shorthand`, as far as our own lines need them.
"""

import json
import shlex
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from botocore import xform_name
from botocore.model import Shape

GLOBAL = frozenset({"region", "query", "output"})


def run_line(client: Callable[[str, str], Any], line: str) -> Any:
    """The answer. `client` gives one for a service and a region. Raises ValueError for what no `aws` would take."""
    program, service, command, *words = shlex.split(line)
    if program != "aws":
        raise ValueError(f"{program} is not aws")
    options = dict(_options(words))
    caller = client(service, options.get("region", [""])[0])
    operation = caller.meta.service_model.operation_model(_operation(caller, command))
    members = {xform_name(name, "-"): (name, shape) for name, shape in operation.input_shape.members.items()}
    unknown = options.keys() - members.keys() - GLOBAL
    if unknown:
        raise ValueError(f"{service} {command} takes no --{sorted(unknown)[0]}")
    ours = {option: said for option, said in options.items() if option not in GLOBAL}
    given = {members[option][0]: _value(members[option][1], said) for option, said in ours.items()}
    return getattr(caller, command.replace("-", "_"))(**given)


def _operation(caller: Any, command: str) -> str:
    found = caller.meta.method_to_api_mapping.get(command.replace("-", "_"))
    if found is None:
        raise ValueError(f"there is no {command}")
    return str(found)


def _options(words: list[str]) -> list[tuple[str, list[str]]]:
    found = []
    while words:
        option, *rest = words
        if not option.startswith("--"):
            raise ValueError(f"{option} belongs to no option")
        said = list(takewhile(lambda word: not word.startswith("--"), rest))
        found.append((option.removeprefix("--"), said))
        words = rest[len(said) :]
    return found


def _value(shape: Shape, said: list[str]) -> Any:
    if shape.type_name == "list":
        whole = json.loads(said[0]) if len(said) == 1 and said[0].startswith("[") else None
        return whole if whole is not None else [_one(shape.member, word) for word in said]
    if len(said) != 1:
        raise ValueError(f"{shape.name} takes one value")
    return _one(shape, said[0])


def _one(shape: Shape, word: str) -> Any:
    if shape.type_name == "structure":
        if word.startswith("{"):
            return json.loads(word)
        if "=" not in word:
            return {next(iter(shape.members)): word}  # a structure of one member may be said by its value
        pairs = (pair.partition("=") for pair in word.split(","))
        return {name: _one(shape.members[name], value) for name, _, value in pairs}
    if shape.type_name in {"integer", "long"}:
        return int(word)
    return word == "true" if shape.type_name == "boolean" else word
