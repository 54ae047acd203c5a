"""What only we may read or say: sealed data, fingerprints that name without telling, signed values.

Every key comes from `LOA_SECRET_KEY`. Losing it makes sealed data unreadable for ever; changing it also makes every
fingerprint miss and every signed link void.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from hashlib import blake2b
from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

SHORTEST_SECRET = 32
VERSION = b"\x01"
NONCE_BYTES = 12
"""Random; one key is good for 2^32 seals with that (NIST SP 800-38D, 8.3), far more than a province sends."""
TAG_BYTES = 16
FINGERPRINT_BYTES = 16
MAC_BYTES = 15
"""A multiple of three: base64 without padding and with one spelling only. 20 characters in a link."""
URL_SAFE = re.compile(r"[A-Za-z0-9_.~-]+")


class VaultError(Exception):
    """Sealed with another key or for another purpose, or changed since: there is nothing to read."""


class Vault:
    """Seals, names and signs with keys derived from one secret. Safe to share between threads.

    `purpose` says what something is for; what was made for one purpose is void for every other.
    """

    def __init__(self, secret: SecretStr | str) -> None:
        """Raise ValueError, in words, when the secret is too short to protect anything."""
        plain = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
        if len(plain) < SHORTEST_SECRET:
            raise ValueError(
                f"LOA_SECRET_KEY phải dài ít nhất {SHORTEST_SECRET} ký tự (hiện có {len(plain)}). "
                'Tạo khóa mới bằng lệnh: python -c "import secrets; print(secrets.token_urlsafe(48))"'
            )
        self._cipher = AESGCM(_derived(plain, "seal"))
        self._naming = _derived(plain, "fingerprint")
        self._signing = _derived(plain, "sign")

    def seal(self, data: bytes | str, *, purpose: str = "") -> bytes:
        """Encrypt; the same data twice gives different bytes."""
        plain = data.encode() if isinstance(data, str) else data
        nonce = token_bytes(NONCE_BYTES)
        return VERSION + nonce + self._cipher.encrypt(nonce, plain, VERSION + purpose.encode())

    def open(self, sealed: bytes, *, purpose: str = "") -> bytes:
        """What was sealed. Raises VaultError."""
        if len(sealed) < len(VERSION) + NONCE_BYTES + TAG_BYTES or not sealed.startswith(VERSION):
            raise VaultError("not sealed by this program, or cut short")
        nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, rest, VERSION + purpose.encode())
        except InvalidTag as error:
            raise VaultError("another key, another purpose, or changed data") from error

    def open_text(self, sealed: bytes, *, purpose: str = "") -> str:
        """What was sealed, as text. Raises VaultError."""
        try:
            return self.open(sealed, purpose=purpose).decode()
        except UnicodeDecodeError as error:
            raise VaultError("sealed bytes are not text") from error

    def fingerprint(self, purpose: str, *parts: str) -> str:
        """32 hex characters that always name the same parts and tell nothing about them without the key."""
        return _keyed(self._naming, FINGERPRINT_BYTES, purpose, *parts).hex()

    def sign(self, purpose: str, value: str) -> str:
        """`value.mac`, fit for a URL. Raises ValueError for a value that is not."""
        if URL_SAFE.fullmatch(value) is None:
            raise ValueError("only letters, digits and _ . ~ - can be signed")
        return f"{value}.{self._mac(purpose, value)}"

    def unsign(self, purpose: str, token: str) -> str | None:
        """The value that we signed for this purpose; None for anything else."""
        value, _, mac = token.rpartition(".")
        # As bytes: compare_digest refuses other letters in a str, and a stranger may send any.
        good = hmac.compare_digest(self._mac(purpose, value).encode(), mac.encode(errors="replace"))
        return value if good else None

    def _mac(self, purpose: str, value: str) -> str:
        return urlsafe_b64encode(_keyed(self._signing, MAC_BYTES, purpose, value)).decode()


def _derived(secret: str, use: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=b"loa-ban", info=use.encode()).derive(secret.encode())


def _keyed(key: bytes, size: int, *parts: str) -> bytes:
    mac = blake2b(key=key, digest_size=size)
    for part in parts:
        # With its length before it, so that ("ab", "c") is not ("a", "bc"). What strangers send may hold any character.
        data = part.encode(errors="surrogatepass")
        mac.update(len(data).to_bytes(8, "big") + data)
    return mac.digest()
