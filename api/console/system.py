"""/console/system, for an admin: channels, what waits, events that nobody could handle, what a portal may show."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, func, select
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import feeds
from api.auth import me, signed_in
from api.state import runtime
from api.templating import page
from bot.errors import NotFound
from bot.permissions import NOT_FOUND, Actor, Duty
from store.tables import Channel, EventState, InboundEvent, Outbox, RoleName, State, Unit

SHOWN = 50


@dataclass(frozen=True, slots=True)
class Aside:
    """An event that was set aside; its body is for the machine's operator alone."""

    adapter: str
    received_at: datetime
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class System:
    channels: tuple[Channel, ...]
    states: dict[State, int]
    aside: tuple[Aside, ...]
    aside_count: int
    communes: tuple[Unit, ...]
    """Whose notices a portal may show."""


@signed_in
async def system(request: Request) -> Response:
    house = runtime(request)
    found = await house.store.read(_system, me(request))
    return page(request, "console/system.html", s=found, address=house.house.public_url)


def _system(session: Session, actor: Actor) -> System:
    if not actor.has(RoleName.ADMIN):
        raise NotFound(NOT_FOUND)
    open_states = (State.QUEUED, State.LEASED, State.SENDING, State.UNKNOWN, State.FAILED)
    states = select(Outbox.state, func.count()).where(col(Outbox.state).in_(open_states)).group_by(col(Outbox.state))
    aside = (
        select(Channel.adapter, InboundEvent.received_at, InboundEvent.attempts, InboundEvent.error)
        .join(Channel, col(Channel.id) == InboundEvent.channel_id)
        .where(InboundEvent.state == EventState.ASIDE)
        .order_by(col(InboundEvent.id).desc())
        .limit(SHOWN)
    )
    return System(
        tuple(session.exec(select(Channel).order_by(col(Channel.id))).all()),
        {State(state): count for state, count in session.exec(states)},
        tuple(Aside(*row) for row in session.exec(aside)),
        session.exec(select(func.count()).where(InboundEvent.state == EventState.ASIDE)).one(),
        tuple(unit for unit in feeds.communes(session) if actor.may(Duty.FIGURES, unit)),
    )


routes = [Route("/console/system", system)]
