"""Who we are at a forge, and the headers that say so."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from adapters.forges.hosted.asking import Need

Reveal = Callable[[], str]  # gives a secret, read anew so that it may be replaced; raises `Unreadable`


class SignIn(Protocol):
    """`account` names whom the forge counts our writes for; it holds no secret."""

    @property
    def account(self) -> str: ...
    def headers(self, project: str, need: Need) -> Mapping[str, str]:
        """What a request for this repository signs in with.

        Raises `Trouble`, and `Unreadable` where a secret is not to be had.
        """
        ...

    def forget(self) -> None:
        """The forge did not accept it: what was kept is not used again."""
        ...

    def secrets(self) -> Iterable[str]:
        """What must not be repeated, whoever sends it back to us."""
        ...

    def login(self) -> str:
        """The account's name at the forge; empty where the forge is to be asked with these headers.

        Raises `Trouble` and `Unreadable`.
        """
        ...


class TokenSignIn:
    """A token of a user whose words these are. Raises `Unreadable`.

    `header` makes the header's name and value of a token. `reference` says where the token is. The account is named
    after it, because it stays when the token is replaced: replicas that began with different ones share their budget
    all the same.
    """

    def __init__(
        self,
        token: Reveal,
        *,
        reference: str,
        header: Callable[[str], tuple[str, str]] = lambda token: ("Authorization", f"Bearer {token}"),
    ) -> None:
        self._token, self._header = token, header
        self._last = token()
        self.account = f"token {reference}"

    def headers(self, project: str, need: Need) -> Mapping[str, str]:
        """The token as it is now: a replaced one needs no restart."""
        self._last = self._token()
        return dict([self._header(self._last)])

    def forget(self) -> None:
        """It is read anew each time."""

    def secrets(self) -> Iterable[str]:
        """The token."""
        return (self._last,)

    def login(self) -> str:
        """A token does not say whose it is."""
        return ""
