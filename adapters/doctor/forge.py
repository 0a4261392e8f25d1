"""GitHub, by the controller's own road and sign-in: it sees the repository, may write statuses, our webhook is there.

Shapes: docs.github.com/rest, "Get a repository" (`permissions`), "List repository webhooks" (`last_response`). An App
asks for a token of this repository's statuses, as it does to write them: GitHub gives none (422) where it could not.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adapters.doctor.findings import About, Finding
from adapters.forges.github import AppSignIn
from adapters.forges.hosted import Answer, Call, Fate, Need, SignIn, Transport, Trouble, Verdict
from reconciler.ports import Unreadable

FEW = 500  # requests left of an hour's
_SCOPES = {Need.DEPLOYMENTS: {"repo", "repo_deployment"}, Need.COMMENTS: {"repo"}}
_RIGHTS = {Need.DEPLOYMENTS: "Deployments: write", Need.COMMENTS: "Pull requests: write"}
_MAY_WRITE = frozenset({"repo", "repo:status"})  # scopes of a classic token


class GitHubLook:
    """One repository at GitHub. `hook`: the address that GitHub is to call; empty: none. `further`: what is on beside
    statuses."""

    def __init__(
        self,
        name: str,
        repository: str,
        transport: Transport,
        sign_in: SignIn,
        hook: str,
        further: Sequence[Need] = (),
    ) -> None:
        self._about = About(check="forge", name=name)
        self._repository = repository
        self._transport = transport
        self._sign_in = sign_in
        self._hook = hook
        self._further = further

    def check(self) -> Iterator[Finding]:
        """Everything that is to be said of it."""
        try:
            yield from self._looked(self._sign_in.headers(self._repository, Need.STATUSES))
        except Trouble as trouble:
            yield trouble_of(self._about, trouble.verdict)
        except Unreadable as error:
            yield self._about.failed(error)

    def _got(self, rest: str, signed: Mapping[str, str]) -> Answer:
        path = f"/repos/{self._repository}{rest}"
        call = Call(method="GET", path=path, need=Need.STATUSES, project=self._repository)
        return self._transport.send(call, signed)

    def _looked(self, signed: Mapping[str, str]) -> Iterator[Finding]:
        answer = self._got("", signed)
        if answer.status == 404 and _scopes(answer) & _MAY_WRITE == {"repo:status"}:
            yield self._about.skipped("a token with the scope repo:status alone is not shown a private repository")
            return
        if answer.status != 200:
            yield self._about.trouble(
                f"GitHub answers {answer.status} for {self._repository}",
                "correct `forge.repository`, or give the token access to it",
            )
            return
        found = _json(answer)
        if not isinstance(found, Mapping):
            yield self._about.unreachable(
                f"what answers for {self._repository} is not GitHub: it is no repository", "check `forge.api`"
            )
            return
        yield self._writes(_scopes(answer), _mapping(found.get("permissions")))
        for need in self._further:
            yield from self._reads_pulls() if need is Need.PULLS else self._may(need, _scopes(answer))
        yield self._pace(answer)
        if self._hook:
            yield self._hooks(signed)

    def _writes(self, scopes: set[str], permissions: Mapping[str, Any]) -> Finding:
        if not scopes and not isinstance(self._sign_in, AppSignIn):
            return self._about.skipped(
                "the repository is seen; a fine-grained token does not tell whether it may write statuses",
                f"see in its settings that it has {', '.join(self._rights())}",
            )
        if isinstance(self._sign_in, AppSignIn) or (scopes & _MAY_WRITE and permissions.get("push") is True):
            return self._about.ok(f"{self._repository} is seen, and statuses may be written")
        return self._about.trouble(
            "statuses may not be written", "grant Commit statuses: write, or the scope repo:status"
        )

    def _rights(self) -> Iterator[str]:
        yield "Commit statuses: write"
        yield from (_RIGHTS[need] for need in self._further if need in _RIGHTS)

    def _reads_pulls(self) -> Iterator[Finding]:
        """Tried: a list of one."""
        try:
            answer = self._got("/pulls?per_page=1", self._sign_in.headers(self._repository, Need.PULLS))
        except Trouble as trouble:
            yield trouble_of(self._about, trouble.verdict)
            return
        if answer.status == 200:
            yield self._about.ok("pull requests may be read")
        else:
            seen = f"pull requests may not be read ({answer.status}): none is told what it would do"
            yield self._about.trouble(seen, "grant Pull requests: read and write, or set `forge.plans = false`")

    def _may(self, need: Need, scopes: set[str]) -> Iterator[Finding]:
        """Of a fine-grained token nothing is known, which was said of its statuses."""
        if isinstance(self._sign_in, AppSignIn):
            try:
                self._sign_in.headers(self._repository, need)
                yield self._about.ok(f"{need.value}: the App has the right to them")
            except Trouble as trouble:
                yield trouble_of(self._about, trouble.verdict)
        elif scopes & _SCOPES[need]:
            yield self._about.ok(f"{need.value}: the token has a scope for them")
        elif scopes:
            scope = " or ".join(sorted(_SCOPES[need]))
            yield self._about.trouble(f"{need.value}: the token has no scope for them", f"grant the scope {scope}")

    def _pace(self, answer: Answer) -> Finding:
        left, most = (answer.headers.get(f"x-ratelimit-{word}", "") for word in ("remaining", "limit"))
        if left.isdecimal() and int(left) < FEW:
            return self._about.warning(
                f"{left} of {most} requests are left of this hour", "see who else uses this token"
            )
        return self._about.ok(f"{left or 'an unknown number'} of {most or 'unknown'} requests are left of this hour")

    def _hooks(self, signed: Mapping[str, str]) -> Finding:
        answer = self._got("/hooks?per_page=100", signed)
        listed = _json(answer)
        if answer.status != 200 or not isinstance(listed, list):
            return self._about.skipped(
                f"its webhooks are not shown to us ({answer.status})", "look at them as an owner of the repository"
            )
        hooks = [_mapping(each) for each in listed]
        ours = [hook for hook in hooks if _mapping(hook.get("config")).get("url") == self._hook]
        if not ours:
            return self._about.warning(
                f"no webhook leads to {self._hook}", "add one for pushes, with the webhook secret"
            )
        return self._works(ours[0])

    def _works(self, hook: Mapping[str, Any]) -> Finding:
        events = hook.get("events")
        if not hook.get("active") or not isinstance(events, list) or not ("push" in events or "*" in events):
            return self._about.warning("our webhook is off, or not for pushes", "turn it on, for the event push")
        code = _mapping(hook.get("last_response")).get("code")
        if isinstance(code, int) and not 200 <= code < 300:
            return self._about.warning(
                f"our webhook's last delivery was answered with {code}", "see its Recent Deliveries"
            )
        return self._about.ok("our webhook is there" + (", and its last delivery was taken" if code else ""))


def trouble_of(about: About, verdict: Verdict) -> Finding:
    """The controller's sentence; of a road that leads nowhere it ends with what the controller does then."""
    seen, _, fix = verdict.message.rpartition("; ")
    if verdict.fate is Fate.AILING:
        return about.unreachable(seen, "check `forge.api` and the network")
    if verdict.fate is Fate.LIMITED:
        return about.trouble(verdict.message, "wait, and see who else uses this token")
    return about.trouble(seen, fix)


def _scopes(answer: Answer) -> set[str]:
    """Of a classic token; other kinds do not say."""
    return {scope.strip() for scope in answer.headers.get("x-oauth-scopes", "").split(",") if scope.strip()}


def _json(answer: Answer) -> Any:
    """None for what is no JSON."""
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    """The value, where it is a map; else an empty one."""
    return value if isinstance(value, Mapping) else {}
