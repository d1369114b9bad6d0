"""Which names this server answers to: a page of a stranger whose name was made to point here (DNS rebinding) is none."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::(\d{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
OWN = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Hosts:
    """The names under which a server that listens on ``host`` is asked for; ``more``: further ones, of a proxy before it.

    The port is not looked at: a tunnel (ssh -L) has another, and a rebound name cannot be an address of this machine. A server
    that listens on all addresses answers to every IP address, which no name server can forge, and to the machine's names.
    """

    def __init__(self, host: str = "127.0.0.1", more: Iterable[str] = ()) -> None:
        self._names = set(OWN) | {bracketed(name.lower()) for name in (host, *more)}
        self._any_address = _is_address(host) and ipaddress.ip_address(host).is_unspecified
        if self._any_address:
            self._names |= {socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}

    def known(self, header: str) -> bool:
        """Whether a Host header names this server."""
        parts = split(header)
        if parts is None:
            return False
        return parts[0] in self._names or (self._any_address and _is_address(parts[0]))


def split(header: str) -> tuple[str, str | None] | None:
    """Name, in small letters, and port of a Host header; None where it is none."""
    found = _HOST.fullmatch(header.lower())
    return None if found is None else (found[1], found[2])


def is_same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header is that of pages of the host that was asked. The scheme is not looked at: a proxy may have
    taken it off."""
    scheme, colon, place = origin.partition("://")
    one, other = split(place), split(host)
    if not colon or scheme not in _DEFAULT_PORTS or one is None or other is None:
        return False
    default = _DEFAULT_PORTS[scheme]
    return one[0] == other[0] and (one[1] or default) == (other[1] or default)


def bracketed(host: str) -> str:
    """An address as it stands in a Host header: [::1]."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
