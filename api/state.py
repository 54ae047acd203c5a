"""What a request may reach: the running house, and what it carries itself."""

from ipaddress import ip_address

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from api.passwords import Passwords
from scheduler.runtime import Runtime


def runtime(request: HTTPConnection) -> Runtime:
    """The running house."""
    running: Runtime = request.app.state.runtime
    return running


def passwords(request: HTTPConnection) -> Passwords:
    """What makes and checks passwords."""
    made: Passwords = request.app.state.passwords
    return made


async def body_of(request: Request, *, limit: int) -> bytes:
    """The request's body. Raises 413 as soon as it is larger than `limit` bytes, whatever it said of itself."""
    told = request.headers.get("content-length", "0")
    if not told.isdecimal() or int(told) > limit:
        raise HTTPException(413)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise HTTPException(413)
        chunks.append(chunk)
    return b"".join(chunks)


def address_of(request: HTTPConnection) -> str:
    """The caller's address. An IPv6 caller owns a whole /64, so all of it counts as one."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 6:
        return address.exploded[:19]
    return str(address)


def is_from_here(request: HTTPConnection) -> bool:
    """The caller sits at this very machine, and its browser knows it: a foreign name that points here is refused."""
    named = request.url.hostname in {"localhost", "127.0.0.1", "::1"}
    try:
        return named and request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False
