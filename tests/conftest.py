"""What holds for every test: nothing talks to another machine."""

import sys
from ipaddress import ip_address
from typing import Any

LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname"}
SENDS = {"socket.connect", "socket.sendto", "socket.sendmsg"}


class Blocked(RuntimeError):
    """A test wanted another machine. Not an OSError, so that nothing takes it for a failure of the network."""


def _is_here(host: Any) -> bool:
    """This machine itself. No host at all is a socket's own wildcard or an already connected socket."""
    if isinstance(host, bytes | bytearray):
        host = host.decode()
    if not host or host == "localhost":
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    # An audit hook sees every library's sockets, whoever made them, and replaces no class of theirs.
    if event in SENDS:
        address = arguments[1]
        if isinstance(address, tuple) and not _is_here(address[0]):  # a unix socket's address is a string
            raise Blocked(f"tests reach this machine only, not {address[0]}")
    elif event in LOOKUPS and not _is_here(arguments[0]):
        raise Blocked(f"tests look up no name: {arguments[0]}")


sys.addaudithook(_guard)
