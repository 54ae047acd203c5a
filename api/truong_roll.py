"""Điểm danh: whom the head, or the helpers who went from house to house, know to have taken note of a notice."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from api.errors import FormTooOld
from api.forms import household_ids
from api.reads import title_of
from api.state import runtime
from api.truong_door import (
    HOME,
    NO_STORE,
    at_the_phone,
    carrier,
    form_of,
    inner_page,
    refusal_of,
    refused_json,
    wants_json,
)
from bot import notices, reach, texts
from bot.codes import notice_typed
from bot.errors import Invalid, NotFound, Refused
from bot.house import House
from bot.permissions import NOT_FOUND, Actor, Duty, villages_for
from store.tables import (
    Household,
    Notice,
    NoticeState,
    NoticeTarget,
    Reach,
    Unit,
)

RECENT = timedelta(days=14)
MOST_LINES = 30
NO_NUMBER = "Số người phải là một số, ví dụ 45."


@dataclass(frozen=True, slots=True)
class RollLine:
    """A notice of one village that people can still be ticked off for."""

    code: str
    title: str
    village: str
    village_code: str
    published_at: datetime
    households: int
    missing: int


@dataclass(frozen=True, slots=True)
class RollHousehold:
    id: int
    number: int
    label: str
    """'' for a helper: the head's words are the head's."""
    is_ticked: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Roll:
    code: str
    title: str
    village: str
    village_code: str
    is_head: bool
    households: tuple[RollHousehold, ...]
    """Those without evidence yet and those that this duty ticked."""
    confirmed: int
    """Households that took note without a tick of this duty."""
    told_count: int | None


def roll_lines(session: Session, actor: Actor, *, now: datetime) -> list[RollLine]:
    """Notices of the last two weeks in the actor's villages, the newest first."""
    villages = {village.id or 0: village for village in _villages(session, actor)}
    if not villages:
        return []
    rows = session.exec(
        select(Notice, NoticeTarget.unit_id)
        .join(NoticeTarget, col(NoticeTarget.notice_id) == Notice.id)
        .where(
            col(NoticeTarget.unit_id).in_(list(villages)),
            Notice.state == NoticeState.PUBLISHED,
            col(Notice.published_at) > now - RECENT,
        )
        .order_by(col(Notice.published_at).desc(), col(Notice.id).desc(), col(NoticeTarget.unit_id))
        .limit(MOST_LINES)
    ).all()
    figures = {
        (row.notice_id, row.unit_id): row
        for row in session.exec(
            select(Reach).where(
                col(Reach.notice_id).in_([notice.id for notice, _ in rows]), col(Reach.unit_id).in_(list(villages))
            )
        )
    }
    return [
        _line(session, notice, villages[unit_id], figures.get((notice.id or 0, unit_id))) for notice, unit_id in rows
    ]


def _line(session: Session, notice: Notice, village: Unit, figures: Reach | None) -> RollLine:
    took = figures.card + figures.number + figures.head + figures.visit if figures else 0
    households = figures.households if figures else 0
    assert notice.published_at is not None
    return RollLine(
        notice.code,
        title_of(notices.body_of(session, notice)),
        village.name,
        village.code,
        notice.published_at,
        households,
        max(households - took, 0),
    )


def _villages(session: Session, actor: Actor) -> list[Unit]:
    found = {
        village.id: village for duty in (Duty.REGISTER, Duty.VISIT) for village in villages_for(session, actor, duty)
    }
    return list(found.values())


def _found(session: Session, actor: Actor, code: str, village_code: str) -> tuple[Notice, Unit]:
    """The notice and the village, where the actor ticks households of it. Raises NotFound."""
    village = next((unit for unit in _villages(session, actor) if unit.code == village_code), None)
    notice = session.exec(select(Notice).where(Notice.code == notice_typed(code))).first()
    if village is None or notice is None or session.get(NoticeTarget, (notice.id, village.id)) is None:
        raise NotFound(NOT_FOUND)
    return notice, village


def roll_of(session: Session, house: House, actor: Actor, code: str, village_code: str) -> Roll:
    notice, village = _found(session, actor, code, village_code)
    is_head = actor.may(Duty.REGISTER, village)
    missing = [
        RollHousehold(
            found.id,
            found.number,
            found.label if is_head else "",
            is_ticked=False,
            note=f"nhờ hộ {found.told_by} báo" if found.told_by is not None else "",
        )
        for found in reach.missing(session, house, actor, notice, village)
    ]
    ticked = [
        RollHousehold(
            household.id or 0,
            household.number,
            house.vault.open_text(household.sealed_label) if is_head and household.sealed_label else "",
            is_ticked=True,
        )
        for household in reach.ticked(session, actor, notice, village)
    ]
    target = session.get_one(NoticeTarget, (notice.id, village.id))
    in_register = len(
        session.exec(
            select(Household.id).where(Household.unit_id == village.id, col(Household.closed_at).is_(None))
        ).all()
    )
    return Roll(
        code=notice.code,
        title=title_of(notices.body_of(session, notice)),
        village=village.name,
        village_code=village.code,
        is_head=is_head,
        households=tuple(sorted([*missing, *ticked], key=lambda household: household.number)),
        confirmed=max(in_register - len(missing) - len(ticked), 0),
        told_count=target.told_count,
    )


# ---------------------------------------------------------------- pages


@at_the_phone
async def show(request: Request) -> Response:
    """GET /truong/diem-danh/{code}/{village}"""
    return await _page(request)


async def _page(request: Request, *, status: int = 200, error: str = "") -> Response:
    house = runtime(request)
    code, village = request.path_params["code"], request.path_params["village"]
    roll = await house.store.read(roll_of, house.house, carrier(request), code, village)
    return inner_page(request, "truong_roll", status=status, error=error, roll=roll)


@at_the_phone
async def tick(request: Request) -> Response:
    """POST the same: `told` are the households that took note, `was` those that the sender saw ticked before."""
    return await _recorded(request, _tick)


def _tick(session: Session, actor: Actor, code: str, village_code: str, form: FormData, now: datetime) -> None:
    notice, village = _found(session, actor, code, village_code)
    told, was = household_ids(form, "told"), household_ids(form, "was")
    if new := [found for found in told if found not in was]:
        reach.tick(session, actor, notice, village, new, now=now)
    if gone := [found for found in was if found not in told]:
        reach.untick(session, actor, notice, village, gone, now=now)


@at_the_phone
async def count(request: Request) -> Response:
    """POST …/so-nguoi: a bare number of people, kept apart from households; nothing takes it back."""
    return await _recorded(request, _count)


def _count(session: Session, actor: Actor, code: str, village_code: str, form: FormData, now: datetime) -> None:
    notice, village = _found(session, actor, code, village_code)
    typed = str(form.get("count", "")).strip()
    if typed and not (typed.isdecimal() and len(typed) < 9):
        raise Invalid(NO_NUMBER, "count")
    reach.tell_count(session, actor, notice, village, int(typed) if typed else None, now=now)


Record = Callable[[Session, Actor, str, str, FormData, datetime], None]


async def _recorded(request: Request, work: Record) -> Response:
    house = runtime(request)
    code, village = request.path_params["code"], request.path_params["village"]
    try:
        form = await form_of(request)
        now = house.clock()
        await house.store.write(work, carrier(request), code, village, form, now)
    except (Refused, FormTooOld) as error:
        if wants_json(request):
            return refused_json(error)
        if isinstance(error, NotFound):
            raise
        status, words = refusal_of(error)
        return await _page(request, status=status, error=words)
    house.nudge_sender()
    if wants_json(request):
        return JSONResponse({"words": f"Đã báo lúc {texts.moment(house.house.local(now))}"}, headers=NO_STORE)
    return RedirectResponse(f"{HOME}/diem-danh/{code}/{village}", 303)


ROLL = f"{HOME}/diem-danh/{{code}}/{{village}}"
routes = [
    Route(ROLL, show, methods=["GET"]),
    Route(ROLL, tick, methods=["POST"]),
    Route(f"{ROLL}/so-nguoi", count, methods=["POST"]),
]
