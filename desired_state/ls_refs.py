"""Asking a host for one branch's head in one round trip: protocol v2 `ls-refs`, by hand over a kept-alive connection.

`git ls-remote` would start processes and shake hands each time (54 ms against 14 ms, measured); a poll that finds
nothing new must cost one request. The format is that of git's own gitprotocol-v2 and gitprotocol-http documents.
"""

from collections.abc import Iterator

import requests

from desired_state.git_command import GitAuth
from desired_state.git_errors import GitRefused, GitUnreachable
from desired_state.model import Sha

_MOST = 64 << 20  # bytes of an answer; a server that ignores the prefix sends all its refs
_FLUSH, _DELIMITER = b"0000", b"0001"


class LsRefs:
    """One repository over HTTP. Not for several threads at once."""

    def __init__(self, url: str, auth: GitAuth, timeout: float) -> None:
        self.url = url.rstrip("/")
        self._auth = auth
        self._timeout = timeout
        self._session = requests.Session()
        self._session.auth = self._sign
        self._session.headers.update({"Git-Protocol": "version=2", "User-Agent": "git/2.40 (fairlead)"})
        self._capabilities: frozenset[str] | None = None  # of the server; empty: it does not speak version 2

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def head(self, branch: str) -> Sha | None:
        """The commit of `refs/heads/<branch>`; None when there is no such branch. Raises `GitError`."""
        ref = f"refs/heads/{branch}"
        if self._capabilities is None:
            advertised = self._advertised()
            self._capabilities = _capabilities(advertised)
            if not self._capabilities:
                return _find(advertised, ref)
        if not self._capabilities:
            return _find(self._advertised(), ref)
        return _find(_packets(self._ask(ref)), ref)

    def _advertised(self) -> list[bytes]:
        answer = self._request("GET", f"{self.url}/info/refs?service=git-upload-pack")
        return list(_packets(answer))

    def _ask(self, ref: str) -> bytes:
        lines = [b"command=ls-refs\n"]
        lines += [b"object-format=sha1\n"] if "object-format=sha1" in (self._capabilities or ()) else []
        body = b"".join(map(_packet, lines)) + _DELIMITER + _packet(f"ref-prefix {ref}\n".encode()) + _FLUSH
        return self._request("POST", f"{self.url}/git-upload-pack", body)

    def _request(self, method: str, address: str, body: bytes | None = None) -> bytes:
        headers = {"Accept": "application/x-git-upload-pack-result, application/x-git-upload-pack-advertisement"}
        if body is not None:
            headers["Content-Type"] = "application/x-git-upload-pack-request"
        try:
            return self._read(method, address, body, headers)
        except requests.exceptions.SSLError:
            raise GitUnreachable(
                f"{self.url} has a certificate that is not trusted here: add its authority to SSL_CERT_FILE"
            ) from None
        except requests.Timeout:
            raise GitUnreachable(
                f"{self.url} did not answer in {self._timeout:g} s: check the network, or wait"
            ) from None
        except requests.RequestException as error:
            raise GitUnreachable(
                f"{self.url} cannot be reached ({type(error).__name__}): check the address and the network, or wait"
            ) from None
        except ValueError:  # of http.client, which repeats the header
            raise GitRefused(f"the secret for {self.url} does not fit into a header: check its `auth`") from None

    def _read(self, method: str, address: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        with self._session.request(
            method, address, data=body, headers=headers, timeout=self._timeout, allow_redirects=False, stream=True
        ) as answer:
            self._check(answer)
            data = bytearray()
            for chunk in answer.iter_content(1 << 16):
                data += chunk
                if len(data) > _MOST:
                    raise GitRefused(
                        f"{self.url} sends more than {_MOST >> 20} MiB of refs: that is no repository for us"
                    )
            return bytes(data)

    def _check(self, answer: requests.Response) -> None:
        status = answer.status_code
        if status in {401, 403}:
            raise GitRefused(f"{self.url} does not let us in (HTTP {status}): check the repository's `auth`")
        if status in {404, 410}:
            raise GitRefused(f"there is no repository at {self.url} that we may see: check `url` and `auth`")
        if 300 <= status < 400:
            raise GitRefused(f"{self.url} points elsewhere (HTTP {status}): write the new address into the settings")
        if status != 200:
            raise GitUnreachable(f"{self.url} answered HTTP {status}: its host has trouble; wait, or look at its logs")
        if "x-git-upload-pack" not in answer.headers.get("Content-Type", ""):
            raise GitRefused(
                f"{self.url} does not speak git over HTTP: check that it is the address used for `git clone`"
            )

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Our own header or none: without this, requests would look into a `.netrc`."""
        if self._auth.header:
            request.headers["Authorization"] = self._auth.header
        return request


def _packet(line: bytes) -> bytes:
    return f"{len(line) + 4:04x}".encode() + line


def _packets(data: bytes) -> Iterator[bytes]:
    """The lines of a pkt-line stream; flush, delimiter and end packets are left out."""
    place = 0
    while place + 4 <= len(data):
        try:
            size = int(data[place : place + 4], 16)
        except ValueError:
            raise GitRefused("the host's answer is not git's protocol: is a proxy in between?") from None
        if size > 4:
            yield data[place + 4 : place + size].rstrip(b"\n")
        place += max(size, 4)


def _capabilities(lines: list[bytes]) -> frozenset[str]:
    """What a version-2 server offers; empty for an older one."""
    if b"version 2" not in lines:
        return frozenset()
    return frozenset(line.decode(errors="replace") for line in lines)


def _find(lines: "Iterator[bytes] | list[bytes]", ref: str) -> Sha | None:
    """The id beside exactly `ref`; in an old advertisement, capabilities follow the first name after a NUL."""
    for line in lines:
        sha, _, name = line.partition(b"\0")[0].partition(b" ")
        if name.decode(errors="replace") == ref:
            return sha.decode()
    return None
