"""A village: its groups and head, the code that ties a group to it, households still missing, household cards."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, func, select
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api import qr
from api.auth import form_of, me, signed_in
from api.errors import answer
from api.reads import VillageLine, village_lines, visible_notice
from api.state import runtime
from api.templating import page
from bot import people, reach
from bot.errors import Invalid
from bot.house import House
from bot.households import card_token
from bot.permissions import Actor, Duty, village_for, villages_for
from bot.reach import MissingHousehold
from store.tables import (
    Channel,
    Chat,
    ChatKind,
    Grade,
    Household,
    Notice,
    Person,
    Receipt,
    ReceiptKind,
    Role,
    RoleName,
    Standing,
    Unit,
)

STANDINGS: dict[Standing, str] = {
    Standing.MEMBER: "hoạt động",
    Standing.ADMIN: "hoạt động, bot là quản trị nhóm",
    Standing.MUTED: "nhóm không cho bot viết",
    Standing.GONE: "bot không còn trong nhóm",
}


@dataclass(frozen=True, slots=True)
class GroupLine:
    title: str
    adapter: str
    standing: Standing
    words: str
    members: int | None
    is_fine: bool


@dataclass(frozen=True, slots=True)
class VillagePage:
    village: Unit
    heads: tuple[str, ...]
    groups: tuple[GroupLine, ...]
    households: int
    without_phone: int
    may_enrol: bool
    may_register: bool


@signed_in
async def listed(request: Request) -> Response:
    """GET /console/villages"""
    lines = await runtime(request).store.read(_listed, me(request))
    return page(request, "console/villages.html", villages=lines)


def _listed(session: Session, actor: Actor) -> list[VillageLine]:
    return village_lines(session, villages_for(session, actor, Duty.FIGURES))


@signed_in
async def show(request: Request) -> Response:
    """GET /console/villages/{code}"""
    found = await runtime(request).store.read(_village, me(request), request.path_params["code"])
    return page(request, "console/village.html", v=found, code="", links=[])


def _village(session: Session, actor: Actor, code: str) -> VillagePage:
    village = village_for(session, actor, code, Duty.FIGURES)
    heads = session.exec(
        select(Person.name)
        .join(Role, col(Role.person_id) == Person.id)
        .where(
            Role.unit_id == village.id,
            Role.role == RoleName.VILLAGE_HEAD,
            col(Role.revoked_at).is_(None),
            Person.is_active,
        )
    ).all()
    groups = session.exec(
        select(Chat, Channel.adapter)
        .join(Channel, col(Channel.id) == Chat.channel_id)
        .where(Chat.unit_id == village.id, Chat.kind == ChatKind.GROUP)
        .order_by(col(Chat.id))
    ).all()
    register = select(func.count()).where(Household.unit_id == village.id, col(Household.closed_at).is_(None))
    return VillagePage(
        village=village,
        heads=tuple(heads),
        groups=tuple(
            GroupLine(
                chat.title or "(không tên)",
                adapter,
                chat.standing,
                STANDINGS[chat.standing],
                chat.members,
                chat.standing in (Standing.MEMBER, Standing.ADMIN),
            )
            for chat, adapter in groups
        ),
        households=session.exec(register).one(),
        without_phone=session.exec(register.where(col(Household.no_smartphone))).one(),
        may_enrol=actor.may(Duty.ENROL, village),
        may_register=actor.may(Duty.REGISTER, village),
    )


@signed_in
async def bind_code(request: Request) -> Response:
    """POST /console/villages/{code}/bind-code: shown once; asking again makes another."""
    await form_of(request)
    house = runtime(request)
    found, code = await house.store.write(
        _bind_code, house.house, me(request), request.path_params["code"], house.clock()
    )
    links = [
        (messenger.adapter, messenger.link(code, True))
        for messenger in house.house.messengers.values()
        if messenger.link is not None and messenger.adapter != "webchat"
    ]
    return page(request, "console/village.html", v=found, code=code, links=links)


def _bind_code(session: Session, house: House, actor: Actor, code: str, now: datetime) -> tuple[VillagePage, str]:
    village = village_for(session, actor, code, Duty.ENROL)
    return _village(session, actor, code), people.new_bind_code(session, house, actor, village, now=now)


# ---------------------------------------------------------------- who is missing


@dataclass(frozen=True, slots=True)
class Ticked:
    """A household that the head recorded."""

    id: int
    number: int
    label: str


@dataclass(frozen=True, slots=True)
class MissingPage:
    village: Unit
    notice: Notice
    missing: tuple[MissingHousehold, ...]
    ticked: tuple[Ticked, ...]
    households: int


@signed_in
async def missing(request: Request) -> Response:
    """GET /console/villages/{code}/missing/{notice}: for the head alone."""
    house = runtime(request)
    found = await house.store.read(
        _missing, house.house, me(request), request.path_params["code"], request.path_params["notice"]
    )
    return page(request, "console/missing.html", m=found)


def _missing(session: Session, house: House, actor: Actor, code: str, notice_code: str) -> MissingPage:
    village, notice = _village_and_notice(session, actor, code, notice_code)
    recorded = session.exec(
        select(Household)
        .join(Receipt, col(Receipt.household_id) == Household.id)
        .where(
            Receipt.notice_id == notice.id,
            Receipt.unit_id == village.id,
            Receipt.kind == ReceiptKind.ACKNOWLEDGED,
            Receipt.grade == Grade.HEAD,
        )
        .order_by(col(Household.number))
    ).all()
    households = select(func.count()).where(Household.unit_id == village.id, col(Household.closed_at).is_(None))
    return MissingPage(
        village,
        notice,
        tuple(reach.missing(session, house, actor, notice, village)),
        tuple(Ticked(h.id or 0, h.number, _label(house, h)) for h in recorded),
        session.exec(households).one(),
    )


def _label(house: House, household: Household) -> str:
    """What the head calls the house."""
    return house.vault.open_text(household.sealed_label) if household.sealed_label else ""


@signed_in
async def tick(request: Request) -> Response:
    """POST the same: `told` are households told in person, `untold` ticks to take back."""
    form = await form_of(request)
    house = runtime(request)
    code, notice = request.path_params["code"], request.path_params["notice"]
    await house.store.write(_tick, me(request), code, notice, _ids(form, "told"), _ids(form, "untold"), house.clock())
    house.nudge_sender()
    return RedirectResponse(f"/console/villages/{code}/missing/{notice.upper()}", 303)


def _tick(
    session: Session, actor: Actor, code: str, notice_code: str, told: list[int], untold: list[int], now: datetime
) -> None:
    village, notice = _village_and_notice(session, actor, code, notice_code)
    if told:
        reach.tick(session, actor, notice, village, told, now=now)
    if untold:
        reach.untick(session, actor, notice, village, untold, now=now)


def _village_and_notice(session: Session, actor: Actor, code: str, notice_code: str) -> tuple[Unit, Notice]:
    return (
        village_for(session, actor, code, Duty.REGISTER),
        visible_notice(session, actor, notice_code, Duty.REGISTER),
    )


def _ids(form: FormData, field: str) -> list[int]:
    values = [value for value in form.getlist(field) if isinstance(value, str)]
    if not all(value.isdecimal() and len(value) < 18 for value in values):
        raise Invalid("Hộ này không có trong sổ của bản.", field)
    return [int(value) for value in values]


# ---------------------------------------------------------------- household cards


@dataclass(frozen=True, slots=True)
class Card:
    number: int
    label: str
    qr: str


@signed_in
async def cards(request: Request) -> Response:
    """GET /console/villages/{code}/cards: a sheet to print and cut. Labels only for the head."""
    house = runtime(request)
    village, found = await house.store.read(_cards, house.house, me(request), request.path_params["code"])
    if not house.house.public_url:
        return answer(
            request,
            409,
            "Chưa in được thẻ hộ: chưa có địa chỉ công khai (LOA_PUBLIC_URL) nên không ai mở được mã QR.",
        )
    return page(request, "console/cards.html", village=village, cards=found, address=house.house.public_url)


def _cards(session: Session, house: House, actor: Actor, code: str) -> tuple[Unit, list[Card]]:
    village = village_for(session, actor, code, Duty.ENROL)
    shows_labels = actor.may(Duty.REGISTER, village)
    register = select(Household).where(Household.unit_id == village.id, col(Household.closed_at).is_(None))
    return village, [
        Card(
            household.number,
            _label(house, household) if shows_labels else "",
            qr.svg(f"{house.public_url}/h/{card_token(house, household)}") if house.public_url else "",
        )
        for household in session.exec(register.order_by(col(Household.number)))
    ]


routes = [
    Route("/console/villages", listed),
    Route("/console/villages/{code}", show),
    Route("/console/villages/{code}/bind-code", bind_code, methods=["POST"]),
    Route("/console/villages/{code}/missing/{notice}", missing, methods=["GET"]),
    Route("/console/villages/{code}/missing/{notice}", tick, methods=["POST"]),
    Route("/console/villages/{code}/cards", cards),
]
