"""What adapters over HTTP share: one TLS context, secrets kept out of texts, and what an outcome says about a send."""

import ssl
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from urllib.parse import quote

import certifi
import httpx

from adapters.contract import AdapterBroken, NotSent, OutcomeUnknown, Rejected, SendFailure, Throttled

NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class NeverLeft(Exception):
    """The connection was not made, so no byte of the request left us. Carries no address and no secret."""


@cache
def tls() -> ssl.SSLContext:
    """The one context of the process: a context of its own costs each client about 1 MiB and 20 ms (measured).

    Trusts what the machine trusts, and the public authorities too, for machines that come without any.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def redact(text: str, *secrets: str) -> str:
    """`text` without `secrets`, in clear or as they look inside an address."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
    return text


def failure_of(outcome: httpx.Response | httpx.HTTPError, *, now: datetime | None = None) -> SendFailure:
    """What an answer that is no success, or no answer at all, says about the send.

    Only what HTTP itself promises; a vendor's own codes come first and are the caller's. The reason names no address.
    """
    if isinstance(outcome, NEVER_LEFT):
        return NotSent(type(outcome).__name__)
    if isinstance(outcome, httpx.HTTPError):
        return OutcomeUnknown(type(outcome).__name__)
    reason = f"HTTP {outcome.status_code}"
    match outcome.status_code:
        case 429:
            return Throttled(_wait(outcome.headers.get("retry-after", ""), now or datetime.now(UTC)), reason)
        case 401:
            return AdapterBroken(reason)
        case 408:
            return OutcomeUnknown(reason)
        case status if 300 <= status < 400:
            return NotSent(reason)
        case status if 400 <= status < 500:
            return Rejected(reason)
        case _:
            return OutcomeUnknown(reason)


def _wait(header: str, now: datetime) -> timedelta | None:
    """Retry-After is a number of seconds or a date (RFC 9110 §10.2.3); None when it is neither."""
    if header.strip().isascii() and header.strip().isdigit():
        return timedelta(seconds=min(int(header), 86_400))
    try:
        return max(parsedate_to_datetime(header) - now, timedelta(0))
    except (ValueError, TypeError):
        return None
