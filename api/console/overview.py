"""/console/: what waits for me, who needs help, whom to call, the last notices, and villages that cannot be reached."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, func, or_, select
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api.auth import form_of, me, signed_in
from api.reads import RELEASED, NoticeLine, VillageLine, notice_lines, village_lines
from api.state import runtime
from api.templating import page
from bot import calls, errands
from bot.calls import HelpCall
from bot.errands import Overdue
from bot.house import House
from bot.permissions import Actor, Duty, villages_for
from store.tables import Channel, EventState, InboundEvent, Notice, NoticeState, RoleName, Unit

LAST = 5


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice that wants something from me."""

    code: str
    what: str


@dataclass(frozen=True, slots=True)
class Overview:
    waiting: tuple[Waiting, ...]
    help_calls: tuple[HelpCall, ...]
    to_call: tuple[Overdue, ...]
    """Nobody of the village carried it: somebody of the commune calls."""
    last: tuple[NoticeLine, ...]
    troubled: tuple[VillageLine, ...]
    groupless: tuple[VillageLine, ...]
    villages: int
    broken: int
    aside: int


@signed_in
async def overview(request: Request) -> Response:
    house = runtime(request)
    found = await house.store.read(_overview, house.house, me(request), house.clock())
    return page(request, "console/overview.html", o=found)


def _overview(session: Session, house: House, actor: Actor, now: datetime) -> Overview:
    villages = village_lines(session, villages_for(session, actor, Duty.FIGURES))
    is_admin = actor.has(RoleName.ADMIN)
    return Overview(
        waiting=tuple(_waiting(session, actor)),
        help_calls=tuple(calls.help_calls(session, actor, now=now)),
        to_call=tuple(errands.overdue(session, house, actor, now=now)),
        last=tuple(notice_lines(session, actor, states=RELEASED, limit=LAST)),
        troubled=tuple(v for v in villages if v.troubled),
        groupless=tuple(v for v in villages if not v.groups and not v.troubled),
        villages=len(villages),
        broken=session.exec(select(func.count()).where(Channel.broken != "")).one() if is_admin else 0,
        aside=session.exec(select(func.count()).where(InboundEvent.state == EventState.ASIDE)).one() if is_admin else 0,
    )


def _waiting(session: Session, actor: Actor) -> list[Waiting]:
    waiting = []
    paths = actor.paths(Duty.APPROVE)
    if paths:
        below = or_(*(col(Unit.path).startswith(path, autoescape=True) for path in paths))
        for_me = (
            select(Notice.code)
            .join(Unit, col(Unit.id) == Notice.unit_id)
            .where(Notice.state == NoticeState.WAITING, Notice.author_id != actor.person_id, below)
            .order_by(col(Notice.id))
        )
        waiting += [Waiting(code, "chờ bạn duyệt") for code in session.exec(for_me)]
    mine = (
        select(Notice.code, Notice.state)
        .where(Notice.author_id == actor.person_id, col(Notice.state).in_((NoticeState.RETURNED, NoticeState.DRAFT)))
        .order_by(col(Notice.id).desc())
        .limit(10)
    )
    words = {NoticeState.RETURNED: "bị trả lại, cần sửa", NoticeState.DRAFT: "bản nháp chưa gửi"}
    return waiting + [Waiting(code, words[NoticeState(state)]) for code, state in session.exec(mine)]


@signed_in
async def called(request: Request) -> Response:
    """POST /console/errands/{id}/done: the official called, and it has been carried."""
    await form_of(request)
    house = runtime(request)
    await house.store.write(_called, house.house, me(request), request.path_params["id"], house.clock())
    house.nudge_sender()
    return RedirectResponse("/console/", 303)


def _called(session: Session, house: House, actor: Actor, outbox_id: int, now: datetime) -> None:
    errands.done(session, house, actor, outbox_id, at=now, now=now)


async def home(request: Request) -> Response:
    return RedirectResponse("/console/", 307)


routes = [
    Route("/console/", overview),
    Route("/console", home),
    Route("/console/errands/{id:int}/done", called, methods=["POST"]),
]
