"""The webhook route without a store: the same app server, framework, check and peek; nothing is sealed or kept.

Its port is its first line.
"""

import socket

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from adapters import registry
from adapters.contract import Inbound, Opening
from api.state import body_of
from bench.words import HOOK, token_of

THANKS = PlainTextResponse("ok")


def main() -> None:
    settings = registry.configure("telegram", {"bot_token": token_of(1), "webhook_secret": HOOK})
    adapter = registry.open_channel("telegram", settings, Opening(channel="b1", public_url="", rooms=None, hands=None))  # type: ignore[arg-type]

    async def receive(request: Request) -> Response:
        inbound = Inbound(dict(request.headers), await body_of(request, limit=adapter.limits.body))
        adapter.verify(inbound)
        assert adapter.identify(inbound)
        return THANKS

    app = Starlette(routes=[Route("/webhooks/{adapter}/{channel}", receive, methods=["POST"])])
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="critical")).run(sockets=[listener])


if __name__ == "__main__":
    main()
