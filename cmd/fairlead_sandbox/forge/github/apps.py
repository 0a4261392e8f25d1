"""GitHub Apps: a JWT that the app's key signed gives a token for an hour (REST API, "Apps")."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import jwt

from fairlead_sandbox.forge.github.errors import not_found, refused
from fairlead_sandbox.forge.identities import App, Identities, Identity, token_of
from fairlead_sandbox.forge.wire import stamp

LONGEST_JWT = timedelta(minutes=10)
TOKEN_LASTS = timedelta(hours=1)


class Apps:
    """Those that the forge's accounts hold."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    def installation_token(
        self, app: App, installation: int, body: Mapping[str, Any], there_are: Collection[str], now: datetime
    ) -> dict[str, Any]:
        """A fresh token for an app's installation, as it is answered; `there_are` names of repositories.

        Raises `Refused`.
        """
        if app.installation_id != installation:
            raise not_found()
        until = now + TOKEN_LASTS
        permissions, names = _permissions(app, body.get("permissions")), body.get("repositories")
        if not set(names or ()) <= set(there_are):
            what = "does not exist or is not accessible to the parent installation"
            raise refused(422, f"There is at least one repository that {what}.")
        limited = frozenset(names) if names else None
        bot = Identity(login=f"{app.slug}[bot]", permissions=permissions, app=True, repositories=limited)
        return {
            "token": self._identities.issue("ghs_", bot, until),
            "expires_at": stamp(until),
            "permissions": permissions,
            "repository_selection": "selected" if names else "all",
        }

    def signer(self, authorization: str, now: datetime) -> App:
        """The app that signed a JWT. Raises `Refused` with GitHub's words for what is wrong with it."""
        token = token_of(authorization)
        undecoded = refused(401, "A JSON web token could not be decoded")
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise undecoded from None
        app = self._issuer(claims)
        try:  # the times are judged below, by the forge's own clock
            unjudged = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
            jwt.decode(token, app.key, algorithms=["RS256"], options=unjudged)  # type: ignore[arg-type]
        except jwt.PyJWTError:
            raise undecoded from None
        _check_times(claims, now.timestamp())
        return app

    def _issuer(self, claims: Mapping[str, Any]) -> App:
        issuer = str(claims.get("iss", ""))
        for app in self._identities.apps():
            if issuer in (str(app.app_id), app.client_id):
                return app
        raise refused(404, "Integration not found")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or issued > now:
        what = "must be an Integer representing the time that the assertion was issued"
        raise refused(401, f"'Issued at' claim ('iat') {what}")
    if not isinstance(expires, int) or expires <= now:
        what = "must be a numeric value representing the future time at which the assertion expires"
        raise refused(401, f"'Expiration time' claim ('exp') {what}")
    if expires > now + LONGEST_JWT.total_seconds():
        raise refused(401, "'Expiration time' claim ('exp') is too far in the future")


def _permissions(app: App, wanted: Mapping[str, str] | None) -> dict[str, str]:
    """Those that were asked for, or all of the app's. Raises `Refused` for more than it has."""
    if not wanted:
        return dict(app.permissions)
    for name, access in wanted.items():
        if app.permissions.get(name) not in (access, "write"):
            raise refused(422, "The permissions requested are not granted to this installation.")
    return dict(wanted)
