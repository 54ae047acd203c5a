"""A village: its groups and head, the code that ties a group to it, households still missing, household cards."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, func, select
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api.auth import form_of, me, signed_in
from api.console.cards import NO_CARDS
from api.forms import household_ids
from api.reads import VillageLine, village_lines, visible_notice
from api.state import runtime
from api.templating import page
from bot import audiences, people, reach, relays
from bot.errors import Invalid, NotFound
from bot.house import House
from bot.permissions import NOT_FOUND, Actor, Duty, village_for, villages_for
from bot.reach import MissingHousehold
from bot.relays import RelayLine
from store.tables import (
    Audience,
    Channel,
    Chat,
    ChatKind,
    Household,
    Notice,
    NoticeTarget,
    Person,
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
    id: int
    title: str
    audience: str
    """'' for the village's own group."""
    adapter: str
    standing: Standing
    words: str
    members: int | None
    is_fine: bool
    may_go: bool
    """The reader may take it off the village."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who may carry notices into the village's own groups."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class AudienceLine:
    id: int
    name: str
    place: str


@dataclass(frozen=True, slots=True)
class VillagePage:
    village: Unit
    heads: tuple[str, ...]
    groups: tuple[GroupLine, ...]
    relay: tuple[RelayLine, ...]
    """Groups that people carry to."""
    candidates: tuple[Candidate, ...]
    audiences: tuple[AudienceLine, ...]
    commune: str
    """Where the reader may make an audience for all its villages; ''."""
    households: int
    without_phone: int
    may_enrol: bool
    may_register: bool
    may_manage: bool


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
    house = runtime(request)
    found = await house.store.read(_village, me(request), request.path_params["code"], house.clock())
    return _shown(request, found)


def _village(session: Session, actor: Actor, code: str, now: datetime) -> VillagePage:
    village = village_for(session, actor, code, Duty.FIGURES)
    commune = session.get(Unit, village.parent_id) if village.parent_id is not None else None
    may_enrol = actor.may(Duty.ENROL, village)
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
        select(Chat, Channel.adapter, Audience.name)
        .join(Channel, col(Channel.id) == Chat.channel_id)
        .outerjoin(Audience, col(Audience.id) == Chat.audience_id)
        .where(Chat.unit_id == village.id, Chat.kind == ChatKind.GROUP, col(Channel.hands_over).is_(False))
        .order_by(col(Chat.id))
    ).all()
    register = select(func.count()).where(Household.unit_id == village.id, col(Household.closed_at).is_(None))
    return VillagePage(
        village=village,
        heads=tuple(heads),
        groups=tuple(
            GroupLine(
                chat.id or 0,
                chat.title or "(không tên)",
                audience or "",
                adapter,
                chat.standing,
                STANDINGS[chat.standing],
                chat.members,
                chat.standing in (Standing.MEMBER, Standing.ADMIN),
                may_enrol and chat.bound_by_id is not None,
            )
            for chat, adapter, audience in groups
        ),
        relay=tuple(relays.of_village(session, village, now=now)),
        candidates=tuple(
            Candidate(person.id or 0, person.name)
            for person in (relays.candidates(session, village) if may_enrol else [])
        ),
        audiences=tuple(
            AudienceLine(audience.id or 0, audience.name, session.get_one(Unit, audience.unit_id).name)
            for audience in audiences.of_unit(session, village)
        ),
        commune=commune.name if commune and actor.may(Duty.ENROL, commune) else "",
        households=session.exec(register).one(),
        without_phone=session.exec(register.where(col(Household.no_smartphone))).one(),
        may_enrol=may_enrol,
        may_register=actor.may(Duty.REGISTER, village),
        may_manage=actor.may(Duty.MANAGE, village),
    )


# ---------------------------------------------------------------- groups and audiences


@signed_in
async def bind_code(request: Request) -> Response:
    """POST /console/villages/{code}/bind-code: shown once; asking again makes another. `audience`: of that audience."""
    form = await form_of(request)
    house = runtime(request)
    audience_id = _id_in(form, "audience")
    found, code = await house.store.write(
        _bind_code, house.house, me(request), request.path_params["code"], audience_id, house.clock()
    )
    links = [
        (messenger.adapter, messenger.link(code, True))
        for messenger in house.house.messengers.values()
        if messenger.link is not None and messenger.adapter != "webchat"
    ]
    audience = next((audience.name for audience in found.audiences if audience.id == audience_id), "")
    return _shown(request, found, code=code, links=links, code_for=audience)


def _shown(
    request: Request,
    found: VillagePage,
    *,
    code: str = "",
    links: Sequence[tuple[str, str]] = (),
    code_for: str = "",
) -> Response:
    has_address = bool(runtime(request).house.public_url)
    return page(
        request,
        "console/village.html",
        v=found,
        code=code,
        links=links,
        code_for=code_for,
        has_address=has_address,
        no_cards=NO_CARDS,
    )


def _bind_code(
    session: Session, house: House, actor: Actor, code: str, audience_id: int | None, now: datetime
) -> tuple[VillagePage, str]:
    village = village_for(session, actor, code, Duty.ENROL)
    if audience_id is not None and audience_id not in {audience.id for audience in audiences.of_unit(session, village)}:
        raise NotFound(NOT_FOUND)
    made = people.new_bind_code(session, house, actor, village, now=now, audience_id=audience_id)
    return _village(session, actor, code, now), made


@signed_in
async def unbind(request: Request) -> Response:
    """POST /console/villages/{code}/unbind: the group is the village's no longer."""
    form = await form_of(request)
    house = runtime(request)
    code, chat_id = request.path_params["code"], _id_in(form, "chat")
    await house.store.write(_unbind, me(request), code, chat_id, house.clock())
    return RedirectResponse(f"/console/villages/{code}", 303)


def _unbind(session: Session, actor: Actor, code: str, chat_id: int | None, now: datetime) -> None:
    village = village_for(session, actor, code, Duty.ENROL)
    chat = session.get(Chat, chat_id) if chat_id is not None else None
    if chat is None or chat.unit_id != village.id:
        raise NotFound(NOT_FOUND)
    audiences.unbind(session, actor, chat, now)


@signed_in
async def new_audience(request: Request) -> Response:
    """POST /console/villages/{code}/audiences: a new one, of the village or (`wide`) of its commune."""
    form = await form_of(request)
    house = runtime(request)
    code, name = request.path_params["code"], str(form.get("name", ""))
    await house.store.write(_new_audience, me(request), code, name, bool(form.get("wide")), house.clock())
    return RedirectResponse(f"/console/villages/{code}", 303)


def _new_audience(session: Session, actor: Actor, code: str, name: str, is_wide: bool, now: datetime) -> None:
    place = village_for(session, actor, code, Duty.ENROL)
    if is_wide and place.parent_id is not None:
        place = session.get_one(Unit, place.parent_id)
    audiences.create(session, actor, place, name, now)


# ---------------------------------------------------------------- the group that exists already


@signed_in
async def relay(request: Request) -> Response:
    """POST /console/villages/{code}/relay: note a group that people carry to, or change what is known of `chat`."""
    form = await form_of(request)
    house = runtime(request)
    code = request.path_params["code"]
    await house.store.write(_relay, house.house, me(request), code, form, house.clock())
    return RedirectResponse(f"/console/villages/{code}", 303)


def _relay(session: Session, house: House, actor: Actor, code: str, form: FormData, now: datetime) -> None:
    village = village_for(session, actor, code, Duty.ENROL)
    chat_id = _id_in(form, "chat")
    known = session.get(Chat, chat_id) if chat_id is not None else None
    members = str(form.get("members", "")).strip()
    if members and (not members.isdecimal() or len(members) > 6):
        raise Invalid("Số người trong nhóm phải là số, hoặc để trống.", "members")
    relays.put(
        session,
        house,
        actor,
        village,
        title=str(form.get("title", "")),
        members=int(members) if members else None,
        carrier_id=_id_in(form, "carrier"),
        backup_id=_id_in(form, "backup"),
        now=now,
        chat_id=chat_id,
        # Whose group it is stays: what was sent to it was meant for them.
        audience_id=known.audience_id if known else _id_in(form, "audience"),
    )


@signed_in
async def close_relay(request: Request) -> Response:
    """POST /console/villages/{code}/relay/close: nobody carries to this group any more."""
    form = await form_of(request)
    house = runtime(request)
    code, chat_id = request.path_params["code"], _id_in(form, "chat")
    await house.store.write(_close_relay, me(request), code, chat_id, house.clock())
    return RedirectResponse(f"/console/villages/{code}", 303)


def _close_relay(session: Session, actor: Actor, code: str, chat_id: int | None, now: datetime) -> None:
    village = village_for(session, actor, code, Duty.ENROL)
    known = {line.chat_id for line in relays.of_village(session, village, now=now)}
    if chat_id is None or chat_id not in known:
        raise NotFound(NOT_FOUND)
    relays.close(session, actor, session.get_one(Chat, chat_id), now=now)


def _id_in(form: FormData, field: str) -> int | None:
    value = form.get(field, "")
    if not value:
        return None
    if not isinstance(value, str) or not value.isdecimal() or len(value) > 17:
        raise NotFound(NOT_FOUND)
    return int(value)


# ---------------------------------------------------------------- who is missing


@dataclass(frozen=True, slots=True)
class Ticked:
    """A household that the reader recorded, or somebody else with the same duty."""

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
    is_head: bool
    """Sees labels and may enter a bare number."""
    told_count: int | None


@signed_in
async def missing(request: Request) -> Response:
    """GET /console/villages/{code}/missing/{notice}: for the head, and for who calls at houses there."""
    house = runtime(request)
    found = await house.store.read(
        _missing, house.house, me(request), request.path_params["code"], request.path_params["notice"]
    )
    return page(request, "console/missing.html", m=found)


def _missing(session: Session, house: House, actor: Actor, code: str, notice_code: str) -> MissingPage:
    village, notice = _village_and_notice(session, actor, code, notice_code)
    is_head = actor.may(Duty.REGISTER, village)
    target = session.get(NoticeTarget, (notice.id, village.id))
    households = select(func.count()).where(Household.unit_id == village.id, col(Household.closed_at).is_(None))
    return MissingPage(
        village,
        notice,
        tuple(reach.missing(session, house, actor, notice, village)),
        tuple(
            Ticked(h.id or 0, h.number, _label(house, h) if is_head else "")
            for h in reach.ticked(session, actor, notice, village)
        ),
        session.exec(households).one(),
        is_head,
        target.told_count if target else None,
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
    told, untold = household_ids(form, "told"), household_ids(form, "untold")
    await house.store.write(_tick, me(request), code, notice, told, untold, house.clock())
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


@signed_in
async def count(request: Request) -> Response:
    """POST /console/villages/{code}/count/{notice}: how many people the head counted; empty takes it back."""
    form = await form_of(request)
    house = runtime(request)
    code, notice = request.path_params["code"], request.path_params["notice"]
    typed = str(form.get("count", "")).strip()
    if typed and (not typed.isdecimal() or len(typed) > 6):
        raise Invalid("Số người phải là số, hoặc để trống.", "count")
    await house.store.write(_count, me(request), code, notice, int(typed) if typed else None, house.clock())
    return RedirectResponse(f"/console/villages/{code}/missing/{notice.upper()}", 303)


def _count(session: Session, actor: Actor, code: str, notice_code: str, told: int | None, now: datetime) -> None:
    village, notice = _village_and_notice(session, actor, code, notice_code)
    reach.tell_count(session, actor, notice, village, told, now=now)


def _village_and_notice(session: Session, actor: Actor, code: str, notice_code: str) -> tuple[Unit, Notice]:
    # `bot.reach` asks for the duty itself: the head's, or that of who calls at houses.
    return village_for(session, actor, code, Duty.FIGURES), visible_notice(session, actor, notice_code)


routes = [
    Route("/console/villages", listed),
    Route("/console/villages/{code}", show),
    Route("/console/villages/{code}/bind-code", bind_code, methods=["POST"]),
    Route("/console/villages/{code}/missing/{notice}", missing, methods=["GET"]),
    Route("/console/villages/{code}/missing/{notice}", tick, methods=["POST"]),
    Route("/console/villages/{code}/count/{notice}", count, methods=["POST"]),
    Route("/console/villages/{code}/relay", relay, methods=["POST"]),
    Route("/console/villages/{code}/relay/close", close_relay, methods=["POST"]),
    Route("/console/villages/{code}/unbind", unbind, methods=["POST"]),
    Route("/console/villages/{code}/audiences", new_audience, methods=["POST"]),
]
