"""The calls that read and save pipeline configurations.

Source: Gate's `PipelineController`. A save is an Orca task that Gate waits half a minute for: a 400 afterwards does not
mean that nothing is saved, and a 200 brings nothing back. Read again, always. `staleCheck` is asked for, and not relied
on: Front50 compares only where it reads the `updateTs` of what is sent, which not every version does.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from adapters.gate.errors import GateRefused, GateTrouble, ailing
from adapters.gate.transport import Question, Transport

SAVED_WITHIN = 45.0  # seconds until a save is answered, or Gate gives up on it
_STILL_RUNNING = "(status: "  # in Gate's words for a task that did not end in its time, or not well


class Configs:
    """The pipeline configurations of one Gate."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def of(self, application: str) -> list[Mapping[str, Any]]:
        """All of an application; none where Gate knows no such application. Raises `GateTrouble`."""
        what = f"show the pipelines of {application}"
        path = f"/applications/{quote(application, safe='')}/pipelineConfigs"
        try:
            answer = self._transport.exchange(Question(method="GET", path=path, what=what))
        except GateRefused as refused:
            if refused.status == 404:
                return []
            raise
        if not isinstance(answer, list) or not all(isinstance(one, Mapping) for one in answer):
            raise GateTrouble(ailing(what, "its answer is empty or no list of pipelines"))
        return answer

    def save(self, config: Mapping[str, Any]) -> None:
        """Add or replace a configuration by its id. Raises `GateRefused` and `GateTrouble`."""
        what = f"save the pipeline {config['name']} of {config['application']}"
        ask = Question(method="POST", path="/pipelines", what=what, params={"staleCheck": "true"}, body=config)
        try:
            self._transport.exchange(ask)
        except GateRefused as refused:
            if refused.status != 403:
                raise
            said = str(refused).rpartition(";")[0]  # a start needs EXECUTE, and a save needs more
            raise GateRefused(403, f"{said}; sign in as somebody who has WRITE on the application") from None


def is_final(trouble: GateTrouble) -> bool:
    """Whether a save that ended so saves nothing later: refused by Front50's rules, or for want of permission."""
    return isinstance(trouble, GateRefused) and _STILL_RUNNING not in str(trouble)
