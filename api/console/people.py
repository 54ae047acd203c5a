"""People below me: their duties and numbers, a new code to link an account, handing an office over."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, func, select
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api.auth import form_of, me, signed_in
from api.state import runtime
from api.templating import page
from bot import people, phones
from bot.errors import Invalid, NotFound
from bot.house import House
from bot.permissions import NOT_FOUND, Actor, Duty
from store import audit
from store.tables import Account, Audit, Notice, NoticeState, Person, Role, RoleName, Unit


@dataclass(frozen=True, slots=True)
class Held:
    role: RoleName
    place: str


@dataclass(frozen=True, slots=True)
class PersonLine:
    id: int
    name: str
    username: str
    roles: tuple[Held, ...]
    accounts: int
    """Chat accounts that are tied to the person."""
    is_mine: bool
    """The reader manages every duty that the person holds."""
    phone: str
    """'' when none is known."""
    may_phone: bool
    """The reader may read and change the number (`bot.people.may_phone`)."""


@dataclass(frozen=True, slots=True)
class Move:
    """An office about to go from one person to another."""

    leaving: PersonLine
    coming: PersonLine
    unfinished: int
    """Notices that move too: drafts, returned ones, those that wait for approval."""


@signed_in
async def listed(request: Request) -> Response:
    """GET /console/people"""
    found = await runtime(request).store.read(_listed, runtime(request).house, me(request))
    return page(request, "console/people.html", people=found, shown=None, code="", handed_to="")


def _listed(session: Session, house: House, actor: Actor) -> list[PersonLine]:
    """Persons with a duty below the reader's, and those who hold none now but held one there, as heirs of an office."""
    paths = sorted({*actor.paths(Duty.MANAGE), *actor.paths(Duty.APPROVE)})
    if not paths:
        raise NotFound(NOT_FOUND)
    ever = session.exec(
        select(Role.person_id, Role.role, Role.revoked_at, Unit)
        .join(Unit, col(Unit.id) == Role.unit_id)
        .order_by(col(Unit.path), col(Role.id))
    ).all()
    roles: dict[int, list[tuple[RoleName, Unit]]] = {}
    for person_id, role, revoked_at, unit in ever:
        if revoked_at is None:
            roles.setdefault(person_id, []).append((RoleName(role), unit))
    below = {p for p, its in roles.items() if any(unit.path.startswith(path) for _, unit in its for path in paths)}
    idle = {p for p, _, _, unit in ever if p not in roles and actor.may(Duty.MANAGE, unit)}
    idle |= {p for p in _added_by(session, actor) if p not in roles}
    wanted = col(Person.id).in_(below | idle)
    accounts = dict(
        session.exec(
            select(Account.person_id, func.count())
            .where(col(Account.person_id).is_not(None))
            .group_by(col(Account.person_id))
        ).all()
    )
    found = session.exec(select(Person).where(wanted, Person.is_active).order_by(col(Person.name))).all()
    return [_line(house, actor, person, roles.get(person.id or 0, []), accounts.get(person.id, 0)) for person in found]


def _line(
    house: House, actor: Actor, person: Person, held: Sequence[tuple[RoleName, Unit]], accounts: int
) -> PersonLine:
    is_mine = bool(actor.paths(Duty.MANAGE)) and all(actor.may(Duty.MANAGE, unit) for _, unit in held)
    may_phone = people.may_phone(actor, person.id or 0, [unit for _, unit in held])
    return PersonLine(
        person.id or 0,
        person.name,
        person.username or "",
        tuple(Held(role, unit.name) for role, unit in held),
        accounts,
        is_mine,
        phones.of(house, person) if may_phone else "",
        may_phone,
    )


def _added_by(session: Session, actor: Actor) -> set[int]:
    """Persons whom the reader added."""
    added = select(Audit.subject).where(Audit.person_id == actor.person_id, Audit.action == "person added")
    return {int(subject.removeprefix("person:")) for subject in session.exec(added)}


@signed_in
async def link_code(request: Request) -> Response:
    """POST /console/people/{id}/link-code: shown once."""
    await form_of(request)
    house = runtime(request)
    found, code = await house.store.write(
        _link_code, house.house, me(request), request.path_params["id"], house.clock()
    )
    return page(request, "console/people.html", people=found, shown=request.path_params["id"], code=code, handed_to="")


def _link_code(
    session: Session, house: House, actor: Actor, person_id: int, now: datetime
) -> tuple[list[PersonLine], str]:
    person = session.get_one(Person, _mine(session, house, actor, person_id).id)
    code = people.new_link_code(session, house, person, now=now)
    audit.note(
        session, at=now, person_id=actor.person_id, unit_id=None, action="link code made", subject=f"person:{person_id}"
    )
    return _listed(session, house, actor), code


@signed_in
async def handover(request: Request) -> Response:
    """POST /console/people/{id}/handover: who and what is shown first; with `sure` the office moves, and the old
    accounts lose access at once."""
    form = await form_of(request)
    house = runtime(request)
    heir = str(form.get("to", ""))
    if not heir.isdecimal() or len(heir) > 17:
        raise Invalid("Chưa chọn người nhận việc.", "to")
    leaving = request.path_params["id"]
    if form.get("sure") != "1":
        move = await house.store.read(_move, house.house, me(request), leaving, int(heir))
        return page(request, "console/handover.html", move=move)
    found, name = await house.store.write(_handover, house.house, me(request), leaving, int(heir), house.clock())
    return page(request, "console/people.html", people=found, shown=None, code="", handed_to=name)


def _move(session: Session, house: House, actor: Actor, leaving: int, coming: int) -> Move:
    # The heir too must be the reader's: an office given to a stranger would be out of everybody's sight.
    old, new = _mine(session, house, actor, leaving), _mine(session, house, actor, coming)
    if leaving == coming:
        raise Invalid("Người nhận phải là người khác.", "to")
    unfinished = select(func.count()).where(
        Notice.author_id == leaving,
        col(Notice.state).in_((NoticeState.DRAFT, NoticeState.RETURNED, NoticeState.WAITING)),
    )
    return Move(old, new, session.exec(unfinished).one())


def _handover(
    session: Session, house: House, actor: Actor, leaving: int, coming: int, now: datetime
) -> tuple[list[PersonLine], str]:
    move = _move(session, house, actor, leaving, coming)
    heir = session.get_one(Person, coming)
    people.handover(session, actor, session.get_one(Person, leaving), heir, now=now)
    return _listed(session, house, actor), move.coming.name


def _mine(session: Session, house: House, actor: Actor, person_id: int) -> PersonLine:
    """A person all of whose duties the reader manages, else NotFound: a code for anybody else is a way upwards."""
    found = next((line for line in _listed(session, house, actor) if line.id == person_id and line.is_mine), None)
    if found is None:
        raise NotFound(NOT_FOUND)
    return found


@signed_in
async def phone(request: Request) -> Response:
    """POST /console/people/{id}/phone: keep the number at which the person is called; empty takes it away."""
    form = await form_of(request)
    house = runtime(request)
    person_id, typed = request.path_params["id"], str(form.get("phone", ""))
    await house.store.write(_phone, house.house, me(request), person_id, typed, house.clock())
    return RedirectResponse("/console/people", 303)


def _phone(session: Session, house: House, actor: Actor, person_id: int, typed: str, now: datetime) -> None:
    person = session.get(Person, person_id)
    if person is None or not person.is_active:
        raise NotFound(NOT_FOUND)
    people.set_phone(session, house, actor, person, typed.strip(), now)


routes = [
    Route("/console/people", listed),
    Route("/console/people/{id:int}/link-code", link_code, methods=["POST"]),
    Route("/console/people/{id:int}/phone", phone, methods=["POST"]),
    Route("/console/people/{id:int}/handover", handover, methods=["POST"]),
]
