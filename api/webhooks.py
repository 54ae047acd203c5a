"""Webhooks: keep what the messenger says, then thank it. Understanding comes later (`scheduler.inbox`)."""

import logging
from collections.abc import Sequence
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from adapters.contract import Adapter, BadSignature, Inbound, RawEvent
from api.state import body_of, runtime
from store import events

logger = logging.getLogger(__name__)

THANKS = PlainTextResponse("ok")
FORBIDDEN = PlainTextResponse("forbidden", 403)
NOT_FOUND = PlainTextResponse("not found", 404)


async def receive(request: Request) -> Response:
    """POST /webhooks/{adapter}/{channel}: answered after the commit; the same event twice is kept once.

    A database that takes nothing is a 503 (`api.errors`), so that the messenger comes again. A body that nobody
    understands is kept and thanked for: an error would bring it back for ever, and the events behind it would wait.
    """
    house = runtime(request)
    channel = house.channels.get((request.path_params["adapter"], request.path_params["channel"]))
    if channel is None:
        return NOT_FOUND
    inbound = Inbound(dict(request.headers), await body_of(request, limit=channel.adapter.limits.body))
    try:
        channel.adapter.verify(inbound)
    except BadSignature:
        logger.info("webhook refused", extra={"channel": channel.id})
        return FORBIDDEN
    now = house.clock()
    rows = [
        events.row(
            channel.id,
            raw.event_id,
            house.vault.fingerprint("chat", str(channel.id), raw.chat) if raw.chat else "",
            house.vault.seal(raw.body),
            now=now,
        )
        for raw in _events(channel.adapter, inbound)
    ]
    if rows:
        await house.store.append(events.accept(house.store.dialect), rows)
        house.nudge_inbox()
    return THANKS


def _events(adapter: Adapter, inbound: Inbound) -> Sequence[RawEvent]:
    try:
        return adapter.identify(inbound)
    except Exception:  # a mistake of ours in one adapter must not make its messenger come again and again
        logger.exception("an adapter could not split a request", extra={"adapter": adapter.name})
        return [RawEvent(sha256(inbound.body).hexdigest(), "", inbound.body)]


routes = [Route("/webhooks/{adapter}/{channel}", receive, methods=["POST"])]
