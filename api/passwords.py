"""Passwords: argon2id with the library's parameters (RFC 9106, low memory), and one answer time for every wrong try."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 10
CHECKERS = ThreadPoolExecutor(2, "password")
"""A check takes 64 MiB and a core: a flood of sign-ins must not take the machine."""

_hasher = PasswordHasher()


def hashed(password: str) -> str:
    """What is kept instead of the password. Raises ValueError, in words, for one that is too short."""
    if len(password) < SHORTEST:
        raise ValueError(f"Mật khẩu phải có ít nhất {SHORTEST} ký tự.")
    return _hasher.hash(password)


async def hashed_aside(password: str) -> str:
    """As `hashed`, while the loop goes on."""
    return await asyncio.get_running_loop().run_in_executor(CHECKERS, hashed, password)


async def matches(password_hash: str | None, password: str) -> bool:
    """Whether the password fits. Takes as long without a hash (nobody of that name) as with one."""
    checking = asyncio.get_running_loop().run_in_executor(CHECKERS, _matches, password_hash, password)
    return await checking


def _matches(password_hash: str | None, password: str) -> bool:
    try:
        return _hasher.verify(password_hash or nobodys(), password) and bool(password_hash)
    except (VerificationError, InvalidHashError):
        return False


@cache
def nobodys() -> str:
    """The hash that stands in for nobody's. Made at start, so that the first stranger waits no longer than others."""
    return _hasher.hash("nobody has this password")
