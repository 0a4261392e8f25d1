"""Every request in the order of its arrival: the witness of the crash tests."""

import json
from collections.abc import Mapping
from pathlib import Path
from threading import Condition
from typing import Any


class AccessLog:
    """Entries `{number, at, method, path, query, body, user, status, execution, started}`.

    An entry is there from the request's arrival; `status` is None until it is answered, and "dropped" when the
    connection ended without an answer. `started` is true when the request brought a new execution into being.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._changed = Condition()
        self._entries: list[dict[str, Any]] = []

    def arrived(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write down a request that has just been read."""
        with self._changed:
            entry = {"number": len(self._entries) + 1, **facts, "status": None, "execution": None, "started": False}
            self._entries.append(entry)
            self._changed.notify_all()
            return entry

    def took_effect(self, entry: dict[str, Any], execution: str, *, started: bool) -> None:
        """The request started an execution, or was given one that ran already; its answer may still fail to arrive."""
        with self._changed:
            entry.update(execution=execution, started=started)
            self._changed.notify_all()

    def answered(self, entry: dict[str, Any], status: int | str) -> None:
        """The request has its answer, or was "dropped". Now the entry is on disk too."""
        with self._changed:
            entry["status"] = status
            if self._file is not None:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(entry) + "\n")
            self._changed.notify_all()

    def __iter__(self) -> Any:
        return iter(self.entries())

    def __len__(self) -> int:
        return len(self.entries())

    def entries(self, *, method: str = "", path_prefix: str = "") -> list[dict[str, Any]]:
        """Copies of the entries, oldest first, of one method and under one path where these are given."""
        with self._changed:
            return [
                dict(entry)
                for entry in self._entries
                if entry["method"].startswith(method) and entry["path"].startswith(path_prefix)
            ]

    def triggers(self) -> list[dict[str, Any]]:
        """The requests to start a pipeline."""
        return self.entries(method="POST", path_prefix="/pipelines/")

    def starts(self) -> list[dict[str, Any]]:
        """The requests that brought a new execution into being."""
        return [entry for entry in self.triggers() if entry["started"]]

    def wait_for(self, condition: Any, timeout: float = 10.0) -> bool:
        """True as soon as `condition(entries)` holds, False when it did not within `timeout` seconds."""
        with self._changed:
            return bool(self._changed.wait_for(lambda: condition([dict(each) for each in self._entries]), timeout))
