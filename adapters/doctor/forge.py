"""GitHub, by a few GETs: the token sees the repository, may write statuses, has requests left; our webhook is there.

Shapes: docs.github.com/rest, "Get a repository" (`permissions`), "List repository webhooks" (`last_response`),
"Create an installation access token for an app" (`permissions`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
import requests

from adapters.doctor.findings import About, Finding
from reconciler.ports import Clock

WITHIN = 10.0  # seconds
FEW = 500  # requests left of an hour's
_MAY_WRITE = frozenset({"repo", "repo:status"})  # scopes of a classic token


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubSignIn:
    """A token, or an App with its installation and the PEM of its key."""

    token: str = field(default="", repr=False)
    app_id: str = ""
    installation_id: str = ""
    private_key: str = field(default="", repr=False)


class GitHubLook:
    """One repository at GitHub."""

    def __init__(self, name: str, api: str, repository: str, sign_in: GitHubSignIn, hook: str, clock: Clock) -> None:
        self._about = About(check="forge", name=name)
        self._api = api.rstrip("/")
        self._repository = repository
        self._sign_in = sign_in
        self._hook = hook  # the address that GitHub is to call; empty: none
        self._clock = clock

    def check(self) -> Iterator[Finding]:
        """Everything that is to be said of it."""
        try:
            token, granted = self._token()
            yield from self._looked(token, granted)
        except requests.RequestException as error:
            yield self._about.unreachable(
                f"{self._api} could not be asked ({type(error).__name__})", "check `api` and the network"
            )
        except (jwt.PyJWTError, ValueError):
            yield self._about.trouble(
                "the App's private key is no PEM of an RSA key, or GitHub's answer makes no sense",
                "check `forge.auth.private_key` and `forge.api`",
            )

    def _token(self) -> tuple[str, Mapping[str, str] | None]:
        """A token and what it is granted, where GitHub says so."""
        if not self._sign_in.app_id:
            return self._sign_in.token, None
        now = int(self._clock.now().timestamp())
        claims = {"iat": now - 60, "exp": now + 300, "iss": self._sign_in.app_id}
        signed = jwt.encode(claims, self._sign_in.private_key, algorithm="RS256")
        path = f"/app/installations/{self._sign_in.installation_id}/access_tokens"
        answer = requests.post(f"{self._api}{path}", headers=_headers(signed), timeout=WITHIN, allow_redirects=False)
        body = answer.json() if answer.status_code == 201 else {}
        return str(body.get("token", "")), body.get("permissions", {})

    def _get(self, path: str, token: str) -> requests.Response:
        return requests.get(f"{self._api}{path}", headers=_headers(token), timeout=WITHIN, allow_redirects=False)

    def _looked(self, token: str, granted: Mapping[str, str] | None) -> Iterator[Finding]:
        if not token:
            yield self._about.trouble("we are not signed in", "check `forge.auth` and that the App is installed")
            return
        answer = self._get(f"/repos/{self._repository}", token)
        if answer.status_code == 404 and _scopes(answer) & _MAY_WRITE == {"repo:status"}:
            yield self._about.skipped("a token with the scope repo:status alone is not shown a private repository")
            return
        if answer.status_code != 200:
            yield self._about.trouble(
                f"GitHub answers {answer.status_code} for {self._repository}",
                "correct `forge.repository`, or give the token access to it",
            )
            return
        yield from self._writes(answer, granted)
        yield self._pace(answer)
        if self._hook:
            yield self._hooks(token)

    def _writes(self, answer: requests.Response, granted: Mapping[str, str] | None) -> Iterator[Finding]:
        scopes = _scopes(answer)
        if granted is not None:
            writes = granted.get("statuses") == "write"
        elif scopes:
            writes = bool(scopes & _MAY_WRITE) and bool(answer.json().get("permissions", {}).get("push"))
        else:
            yield self._about.skipped(
                "the repository is seen; a fine-grained token does not tell whether it may write statuses",
                "see in its settings that it has Commit statuses: write",
            )
            return
        if writes:
            yield self._about.ok(f"{self._repository} is seen, and statuses may be written")
        else:
            yield self._about.trouble(
                "statuses may not be written", "grant Commit statuses: write, or the scope repo:status"
            )

    def _pace(self, answer: requests.Response) -> Finding:
        left, most = (answer.headers.get(f"X-RateLimit-{word}", "") for word in ("Remaining", "Limit"))
        if left.isdigit() and int(left) < FEW:
            return self._about.warning(
                f"{left} of {most} requests are left of this hour", "see who else uses this token"
            )
        return self._about.ok(f"{left or 'an unknown number'} of {most or 'unknown'} requests are left of this hour")

    def _hooks(self, token: str) -> Finding:
        answer = self._get(f"/repos/{self._repository}/hooks?per_page=100", token)
        if answer.status_code != 200:
            return self._about.skipped(
                f"its webhooks are not shown to us ({answer.status_code})", "look at them as an owner of the repository"
            )
        ours = [hook for hook in answer.json() if hook.get("config", {}).get("url") == self._hook]
        if not ours:
            return self._about.warning(
                f"no webhook leads to {self._hook}", "add one for pushes, with the webhook secret"
            )
        hook: Mapping[str, Any] = ours[0]
        last = hook.get("last_response") or {}
        if not hook.get("active") or not {"push", "*"} & set(hook.get("events", [])):
            return self._about.warning("our webhook is off, or not for pushes", "turn it on, for the event push")
        code = last.get("code")
        if code is not None and not 200 <= code < 300:
            return self._about.warning(
                f"our webhook's last delivery was answered with {code}", "see its Recent Deliveries"
            )
        return self._about.ok("our webhook is there" + (", and its last delivery was taken" if code else ""))


def _scopes(answer: requests.Response) -> set[str]:
    """Of a classic token; other kinds do not say."""
    return {scope.strip() for scope in answer.headers.get("X-OAuth-Scopes", "").split(",") if scope.strip()}


def _headers(token: str) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
        "User-Agent": "fairlead",
    }
