"""What every answer says to a browser, and how large a request may be. Pure ASGI: streams pass untouched."""

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY: Mapping[str, str] = {
    # Our pages hold no inline script or style and load nothing from another host.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), payment=()",
}
HSTS = "max-age=31536000"

BODY = 1 << 20
BODIES: Mapping[str, int] = {"/console/notices/new": 24 << 20, "/chat/": 24 << 20}
"""Bytes by prefix of the path, where files are sent; webhooks are read with a limit of their channel's own."""


class SecureHeaders:
    """Adds the security headers that an answer does not set itself; HSTS over https."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # Who may frame it is said twice, for old browsers; an answer that says so itself has said all of it.
                says_itself = "frame-ancestors" in headers.get("content-security-policy", "")
                for name, value in SECURITY.items():
                    if not (says_itself and name == "x-frame-options"):
                        headers.setdefault(name, value)
                if scope["scheme"] == "https":
                    headers.setdefault("strict-transport-security", HSTS)
            await send(message)

        await self.app(scope, receive, secured)


class BodyLimit:
    """Refuses a request body that is too large (413), while it arrives."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD") or scope["path"].startswith("/webhooks/"):
            await self.app(scope, receive, send)
            return
        limit = next((size for prefix, size in BODIES.items() if scope["path"].startswith(prefix)), BODY)
        told = Headers(scope=scope).get("content-length", "0")
        too_large = not told.isdecimal() or int(told) > limit
        size = 0

        async def counted() -> Message:
            # Raised where the endpoint reads, so that it becomes an answer like any other refusal.
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if too_large or size > limit:
                raise HTTPException(413)
            return message

        await self.app(scope, counted, send)
