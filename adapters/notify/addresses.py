"""Which addresses a channel may have: https, and no machine inside of the network that the settings do not name.

Whoever writes the settings chooses the address, but a name may lead anywhere: it is judged by the machine that
it really leads to, at each connection. The addresses of cloud metadata are never asked, whatever is named.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class BadAddress(ValueError):
    """An address that nothing is posted to; the message is a sentence that does not repeat it."""


def checked(url: str) -> str:
    """The host of an address that may be posted to. Raises `BadAddress`."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or not url.isascii() or not url.isprintable() or " " in url or "@" in parts.netloc or parts.fragment:
        raise BadAddress("the url is no address: write https://HOST/PATH, without a user")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        raise BadAddress("the url is not https: what is told would travel in clear")
    return host


def is_allowed(address: str, host: str, private_hosts: Collection[str]) -> bool:
    """Whether this machine may be spoken to, under the name `host` of the channel's address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    ip = _inner(ip)
    if ip.is_multicast or ip.is_unspecified or ip.is_link_local or str(ip) in _METADATA:
        return False
    if ip.is_global or host in private_hosts:
        return True
    return ip.is_loopback and host in LOOPBACK


def _inner(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one stands for: mapped, 6to4, Teredo, NAT64 (RFC 6052)."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    teredo = ip.teredo[1] if ip.teredo is not None else None
    translated = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
    return ip.ipv4_mapped or ip.sixtofour or teredo or translated or ip


_METADATA = frozenset({"fd00:ec2::254"})  # of EC2, by IPv6; by IPv4 it is link-local
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
