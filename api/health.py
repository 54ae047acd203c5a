"""Whether we live (/healthz), whether we can work (/readyz), and figures for a monitor (/metrics)."""

import asyncio
import logging
import math
from datetime import datetime
from time import monotonic

from sqlmodel import Session, col, func, select
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from api.auth import bearer
from api.state import is_from_here, runtime
from bot.errors import NotAllowed
from scheduler.runtime import Runtime
from store.store import StoreError
from store.tables import Attempt, Channel, EventState, InboundEvent, Outbox, RoleName, State

logger = logging.getLogger(__name__)

PROBE_EVERY = 2.0


async def healthz(request: Request) -> Response:
    """The process answers: nothing else is looked at, so that a slow database restarts nobody."""
    return JSONResponse({"ok": True})


async def readyz(request: Request) -> Response:
    """The database takes a write and no channel is broken; 503 names what is wrong."""
    house = runtime(request)
    probe: Probe = request.app.state.probe
    try:
        await probe.write(house)
        broken = await house.store.read(_broken_channels)
    except StoreError as error:
        logger.exception("the database takes no write")
        return JSONResponse({"ok": False, "database": type(error).__name__, "channels": {}}, 503)
    ok = len(broken) < max(len(house.channels), 1)
    return JSONResponse({"ok": ok, "database": "ok", "channels": broken}, 200 if ok else 503)


class Probe:
    """Whether the database takes a write, asked at most once in a while: strangers may ask us ever so often."""

    def __init__(self) -> None:
        self._asked_at = -math.inf
        self._error: StoreError | None = None
        self._one_at_a_time = asyncio.Lock()

    async def write(self, house: Runtime) -> None:
        """Raises what the latest write raised."""
        async with self._one_at_a_time:
            if monotonic() - self._asked_at >= PROBE_EVERY:
                self._error = None
                try:
                    await house.store.write(_write_something, house.clock())
                except StoreError as error:
                    self._error = error
                self._asked_at = monotonic()
        if self._error is not None:
            raise self._error


def _write_something(session: Session, now: datetime) -> None:
    session.merge(Attempt(key="readyz", first_at=now))


def _broken_channels(session: Session) -> dict[str, str]:
    broken = select(Channel.adapter, Channel.name).where(Channel.broken != "")
    return {f"{adapter}/{name}": "broken" for adapter, name in session.exec(broken)}


async def metrics(request: Request) -> Response:
    """Prometheus text: how much waits, how much could not be sent. Figures of the house, of no village or person.

    For this very machine, and for whoever has an admin's bearer token. Raises TokenWanted, NotAllowed.
    """
    if not is_from_here(request) and not (await bearer(request)).has(RoleName.ADMIN):
        raise NotAllowed("Số liệu này dành cho quản trị.")
    waiting, aside, broken = await runtime(request).store.read(_figures)
    lines = [
        "# HELP loa_outbox_rows Platform calls that are not over, by state.",
        "# TYPE loa_outbox_rows gauge",
        *(f'loa_outbox_rows{{state="{state}"}} {count}' for state, count in waiting.items()),
        "# HELP loa_events_aside Inbound events that nobody could handle.",
        "# TYPE loa_events_aside gauge",
        f"loa_events_aside {aside}",
        "# HELP loa_channels_broken Channels on which nothing can be sent.",
        "# TYPE loa_channels_broken gauge",
        f"loa_channels_broken {broken}",
    ]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


OPEN = (State.QUEUED, State.LEASED, State.SENDING, State.UNKNOWN, State.FAILED)


def _figures(session: Session) -> tuple[dict[str, int], int, int]:
    counted = select(Outbox.state, func.count()).where(col(Outbox.state).in_(OPEN)).group_by(col(Outbox.state))
    found = dict(session.exec(counted).all())
    aside = session.exec(select(func.count()).where(InboundEvent.state == EventState.ASIDE)).one()
    broken = session.exec(select(func.count()).where(Channel.broken != "")).one()
    return {state.value: found.get(state, 0) for state in OPEN}, aside, broken


routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
