"""What a person does on the forge, over its REST API: merges pull requests, reads what is said on a commit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests

PATIENCE = 30.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A pull request that was merged."""

    number: int
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The newest status of a commit under one context. `at` is aware UTC in whole seconds."""

    state: str
    context: str
    description: str
    at: datetime


class Person:
    """Signed in by a token. `api` is the API's address, `repository` is `owner/name`.

    What the forge refuses raises `RuntimeError` with its words.
    """

    def __init__(self, api: str, repository: str, token: str) -> None:
        self.url = f"{api}/repos/{repository}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    def merge(self, branch: str, title: str, *, into: str = "main", method: str = "merge") -> Merged:
        """Open a pull request of a branch that was pushed, and merge it."""
        opened = self._ask("POST", "/pulls", {"head": branch, "base": into, "title": title})
        number, head = opened["number"], opened["head"]["sha"]
        merged = self._ask("PUT", f"/pulls/{number}/merge", {"merge_method": method, "sha": head})
        return Merged(number=number, commit=merged["sha"])

    def statuses(self, commit: str) -> list[Said]:
        """The newest of each context, newest first."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._ask("GET", f"/commits/{commit}/status?per_page=100&page={len(found) // 100 + 1}")
            found += page["statuses"]
            if not page["statuses"] or len(found) >= page["total_count"]:
                return [_said(each) for each in found]

    def add_webhook(self, url: str, secret: str) -> None:
        """Let pushes be told to an address, signed with that secret."""
        config = {"url": url, "content_type": "json", "secret": secret}
        self._ask("POST", "/hooks", {"name": "web", "events": ["push"], "config": config})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._session.request(method, self.url + path, json=body, timeout=PATIENCE)
        if not answer.ok:
            raise RuntimeError(f"the forge answers {answer.status_code} to {method} {path}: {answer.text[:300]}")
        return answer.json()


def _said(status: dict[str, Any]) -> Said:
    return Said(
        state=status["state"],
        context=status["context"],
        description=status["description"] or "",
        at=datetime.fromisoformat(status["updated_at"]),
    )
