"""Passwords: argon2id with the library's parameters (RFC 9106, low memory), and one answer time for every wrong try."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 10
CHECKERS = ThreadPoolExecutor(2, "password")
"""A check takes 64 MiB and a core: a flood of sign-ins must not take the machine."""


def hashed(password: str, hasher: PasswordHasher | None = None) -> str:
    """What is kept instead of the password. Raises ValueError, in words, for one that is too short."""
    if len(password) < SHORTEST:
        raise ValueError(f"Mật khẩu phải có ít nhất {SHORTEST} ký tự.")
    return (hasher or PasswordHasher()).hash(password)


class Passwords:
    """Makes and checks what is kept, while the loop goes on."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        """`hasher` says what a check costs; without one, what RFC 9106 asks for."""
        self._hasher = hasher or PasswordHasher()
        self._nobodys = self._hasher.hash("nobody has this password")
        """Stands in for nobody's. Made at start, so that the first stranger waits no longer than others."""

    async def hashed(self, password: str) -> str:
        """As the function `hashed`."""
        return await asyncio.get_running_loop().run_in_executor(CHECKERS, hashed, password, self._hasher)

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether the password fits. Takes as long without a hash (nobody of that name) as with one."""
        checking = asyncio.get_running_loop().run_in_executor(CHECKERS, self._matches, password_hash, password)
        return await checking

    def _matches(self, password_hash: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash or self._nobodys, password) and bool(password_hash)
        except (VerificationError, InvalidHashError):
            return False
