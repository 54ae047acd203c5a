"""People below me: their duties, a new code to link an account, handing an office over."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, func, select
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api.auth import form_of, me, signed_in
from api.state import runtime
from api.templating import page
from bot import people
from bot.errors import Invalid, NotFound
from bot.house import House
from bot.permissions import NOT_FOUND, Actor, Duty
from store import audit
from store.tables import Account, Audit, Person, Role, RoleName, Unit


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


@signed_in
async def listed(request: Request) -> Response:
    """GET /console/people"""
    found = await runtime(request).store.read(_listed, me(request))
    return page(request, "console/people.html", people=found, shown=None, code="")


def _listed(session: Session, actor: Actor) -> list[PersonLine]:
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
    return [
        PersonLine(
            person.id or 0,
            person.name,
            person.username or "",
            tuple(Held(role, unit.name) for role, unit in roles.get(person.id or 0, [])),
            accounts.get(person.id, 0),
            bool(actor.paths(Duty.MANAGE))
            and all(actor.may(Duty.MANAGE, unit) for _, unit in roles.get(person.id or 0, [])),
        )
        for person in session.exec(select(Person).where(wanted, Person.is_active).order_by(col(Person.name)))
    ]


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
    return page(request, "console/people.html", people=found, shown=request.path_params["id"], code=code)


def _link_code(
    session: Session, house: House, actor: Actor, person_id: int, now: datetime
) -> tuple[list[PersonLine], str]:
    person = _mine(session, actor, person_id)
    code = people.new_link_code(session, house, person, now=now)
    audit.note(
        session, at=now, person_id=actor.person_id, unit_id=None, action="link code made", subject=f"person:{person_id}"
    )
    return _listed(session, actor), code


@signed_in
async def handover(request: Request) -> Response:
    """POST /console/people/{id}/handover: the office moves, the old accounts lose access at once."""
    form = await form_of(request)
    house = runtime(request)
    heir = str(form.get("to", ""))
    if not heir.isdecimal() or len(heir) > 17:
        raise Invalid("Chưa chọn người nhận việc.", "to")
    await house.store.write(_handover, house.house, me(request), request.path_params["id"], int(heir), house.clock())
    return RedirectResponse("/console/people", 303)


def _handover(session: Session, house: House, actor: Actor, leaving: int, coming: int, now: datetime) -> None:
    # The heir too must be the reader's: an office given to a stranger would be out of everybody's sight.
    people.handover(session, actor, _mine(session, actor, leaving), _mine(session, actor, coming), now=now)


def _mine(session: Session, actor: Actor, person_id: int) -> Person:
    """A person all of whose duties the reader manages, else NotFound: a code for anybody else is a way upwards."""
    if not any(line.id == person_id and line.is_mine for line in _listed(session, actor)):
        raise NotFound(NOT_FOUND)
    return session.get_one(Person, person_id)


routes = [
    Route("/console/people", listed),
    Route("/console/people/{id:int}/link-code", link_code, methods=["POST"]),
    Route("/console/people/{id:int}/handover", handover, methods=["POST"]),
]
