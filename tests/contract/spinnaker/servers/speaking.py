"""A server that is asked, and the words in which the cases ask it: Gate's HTTP, in Gate's shape."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import requests

from adapters.gate.client import Gate

PATIENCE = 60.0  # seconds
COMPLETE = {"SUCCEEDED", "FAILED_CONTINUE", "TERMINAL", "CANCELED", "STOPPED", "SKIPPED"}
HOLD = {"type": "wait", "name": "Hold", "waitTime": 3600}


class Held:
    """A lease that nobody takes."""

    key = "contract"

    def check(self) -> None:
        """It is still ours."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """Where the server's pipelines are kept (Front50's part): how to save, replace and forget one."""

    save: Callable[[dict[str, Any]], str]  # gives the id
    forget: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A saved pipeline."""

    id: str
    name: str


@dataclass(kw_only=True)
class Server:
    """One server: the sandbox's Gate, Orca's engine behind a shim, or a Gate that somebody runs."""

    name: str
    version: str
    url: str
    store: Store
    application: str = "contract"
    saved: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def gate(self) -> Gate:
        """The client that Fairlead has."""
        return Gate(self.url)

    @property
    def lease(self) -> Held:
        """For the changes that it makes."""
        return Held()

    def pipeline(self, *stages: Mapping[str, Any], **fields: Any) -> Pipeline:
        """A new pipeline of these stages, one after the other where they name no order."""
        name = f"case-{uuid4().hex[:12]}"
        ordered = [
            {"refId": str(number), "requisiteStageRefIds": [str(number - 1)] if number > 1 else [], **stage}
            for number, stage in enumerate(stages, 1)
        ]
        config = {"application": self.application, "name": name, "spelEvaluator": "v4", "stages": ordered, **fields}
        config_id = self.store.save(config)
        self.saved[config_id] = config
        return Pipeline(id=config_id, name=name)

    def change(self, pipeline: Pipeline, **fields: Any) -> None:
        """Save it again with other top-level fields."""
        self.saved[pipeline.id] = {**self.saved[pipeline.id], **fields}
        self.store.save({**self.saved[pipeline.id], "id": pipeline.id})

    def forget(self, pipeline: Pipeline) -> None:
        """Delete it."""
        self.store.forget(pipeline.id)
        self.saved.pop(pipeline.id, None)

    # -- HTTP ------------------------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> requests.Response:
        """One plain request."""
        return requests.request(method, self.url + path, json=body, params=query, timeout=30, allow_redirects=False)

    def get(self, path: str, **query: Any) -> requests.Response:
        """A plain GET."""
        return self.ask("GET", path, **query)

    def put(self, path: str, body: Any = None, **query: Any) -> requests.Response:
        """A plain PUT."""
        return self.ask("PUT", path, body, **query)

    def post(self, pipeline: Pipeline | str, **body: Any) -> requests.Response:
        """The v1 trigger; the body is the trigger."""
        name = pipeline.name if isinstance(pipeline, Pipeline) else pipeline
        return self.ask("POST", f"/pipelines/{self.application}/{name}", body)

    def start(self, pipeline: Pipeline, **body: Any) -> str:
        """The id of the execution that a trigger gives."""
        answer = self.post(pipeline, **body)
        assert answer.status_code == 202, answer.text
        return ref_of(answer)

    def read(self, execution: str) -> dict[str, Any]:
        """An execution as it is now."""
        answer = self.get(f"/pipelines/{execution}")
        assert answer.status_code == 200, answer.text
        seen: dict[str, Any] = answer.json()
        return seen

    def search(self, pipeline: Pipeline, **query: Any) -> list[str]:
        """Ids of what a search of one pipeline finds: over many executions a Redis store does not come to an end."""
        path = f"/applications/{self.application}/executions/search"
        answer = self.get(path, pipelineName=pipeline.name, **query)
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()]

    # -- waiting ---------------------------------------------------------------------------------------------------

    def until(self, execution: str, is_so: Callable[[dict[str, Any]], Any], what: str) -> dict[str, Any]:
        """The execution, once something is so of it."""
        end = time.monotonic() + PATIENCE
        while not is_so(seen := self.read(execution)):
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not within {PATIENCE:g} s; {seen}")
            time.sleep(0.01)
        return seen

    def ended(self, execution: str) -> dict[str, Any]:
        """The execution, once it is complete."""
        return self.until(execution, lambda seen: seen["status"] in COMPLETE, "the end")

    def running(self, execution: str) -> dict[str, Any]:
        """The execution, once one of its stages has a running task."""
        return self.until(
            execution,
            lambda seen: any(task["status"] == "RUNNING" for stage in seen["stages"] for task in stage["tasks"]),
            "a running task",
        )

    def let_go(self, execution: str) -> None:
        """End every `HOLD` that runs."""
        for stage in self.read(execution)["stages"]:
            if stage["type"] == "wait" and stage["status"] == "RUNNING":
                self.ask("PATCH", f"/pipelines/{execution}/stages/{stage['id']}", {"skipRemainingWait": True})

    @contextmanager
    def held(self, pipeline: Pipeline, **body: Any) -> Iterator[str]:
        """An execution in its `HOLD`, ended at the end."""
        execution = self.start(pipeline, **body)
        self.running(execution)
        yield execution
        self.put(f"/pipelines/{execution}/cancel")
        self.ended(execution)


def ref_of(answer: requests.Response) -> str:
    """The execution's id in the answer to a trigger."""
    return str(answer.json()["ref"]).removeprefix("/pipelines/")


def statuses(execution: Mapping[str, Any]) -> dict[str, str]:
    """Top-level stages by name, with their statuses."""
    return {each["name"]: each["status"] for each in execution["stages"] if each.get("parentStageId") is None}
