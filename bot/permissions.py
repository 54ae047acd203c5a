"""Who may do what where: the one gate. Pages, REST and chat commands reach a village or a notice only through here."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlmodel import Session, col, or_, select

from bot import codes
from bot.errors import NotFound
from store.tables import Issuer, IssuerKind, Notice, NoticeTarget, Person, Role, RoleName, Unit, UnitKind

NOT_FOUND = "Không tìm thấy, hoặc không thuộc địa bàn của bạn."


class Duty(StrEnum):
    """What somebody wants to do."""

    FIGURES = "figures"
    """Read notices and their figures."""
    BROADCAST = "broadcast"
    """Write and send notices."""
    APPROVE = "approve"
    """Release somebody else's notice."""
    REGISTER = "register"
    """Read and keep a village's register of households: who is missing, who was told."""
    VISIT = "visit"
    """Tick the households that one has called on, by their numbers alone."""
    ENROL = "enrol"
    """Tie chats to a village."""
    MANAGE = "manage"
    """Give and take duties."""


DUTIES: dict[RoleName, frozenset[Duty]] = {
    RoleName.ADMIN: frozenset({Duty.FIGURES, Duty.ENROL, Duty.MANAGE}),
    RoleName.OFFICIAL: frozenset({Duty.FIGURES, Duty.BROADCAST, Duty.APPROVE, Duty.ENROL}),
    RoleName.POLICE: frozenset({Duty.FIGURES, Duty.BROADCAST}),
    RoleName.VIEWER: frozenset({Duty.FIGURES}),
    RoleName.VILLAGE_HEAD: frozenset({Duty.FIGURES, Duty.BROADCAST, Duty.REGISTER, Duty.ENROL}),
    RoleName.HELPER: frozenset({Duty.FIGURES, Duty.VISIT}),
}
"""ARCHITECTURE §4. Household labels are for the head's eyes only, so an official does not hold REGISTER."""

SIGNS_FOR: dict[RoleName, frozenset[IssuerKind]] = {
    RoleName.OFFICIAL: frozenset({IssuerKind.COMMUNE, IssuerKind.HEALTH, IssuerKind.SCHOOL}),
    RoleName.POLICE: frozenset({IssuerKind.POLICE}),
    RoleName.VILLAGE_HEAD: frozenset({IssuerKind.VILLAGE}),
}
"""Which bodies a role may speak for: a head's own notice never looks like the commune's."""


@dataclass(frozen=True, slots=True)
class Grant:
    role: RoleName
    unit_id: int
    path: str


@dataclass(frozen=True, slots=True)
class Actor:
    """A person with a duty, as of now."""

    person_id: int
    name: str
    grants: tuple[Grant, ...]

    def may(self, duty: Duty, unit: Unit) -> bool:
        return any(duty in DUTIES[g.role] and unit.path.startswith(g.path) for g in self.grants)

    def paths(self, duty: Duty) -> list[str]:
        """Roots of the subtrees in which the duty holds."""
        return sorted({g.path for g in self.grants if duty in DUTIES[g.role]})

    def has(self, *roles: RoleName) -> bool:
        return any(g.role in roles for g in self.grants)


def actor_of(session: Session, person_id: int) -> Actor:
    """The person with the duties held now. Raises NotFound for nobody, or somebody who left."""
    person = session.get(Person, person_id)
    if person is None or not person.is_active:
        raise NotFound(NOT_FOUND)
    held = session.exec(
        select(Role.role, Unit.id, Unit.path)
        .join(Unit, col(Unit.id) == Role.unit_id)
        .where(Role.person_id == person_id, col(Role.revoked_at).is_(None))
        .order_by(col(Role.id))
    ).all()
    return Actor(
        person_id, person.name, tuple(Grant(RoleName(role), unit_id or 0, path) for role, unit_id, path in held)
    )


def villages_for(session: Session, actor: Actor, duty: Duty) -> list[Unit]:
    """Villages in which the actor holds the duty, commune by commune, in the order in which they were entered."""
    below = _below(actor.paths(duty))
    if below is None:
        return []
    villages = select(Unit).where(Unit.kind == UnitKind.VILLAGE, col(Unit.valid_to).is_(None), below)
    return list(session.exec(villages.order_by(col(Unit.parent_id), col(Unit.id))).all())


def village_for(session: Session, actor: Actor, unit: int | str, duty: Duty) -> Unit:
    """The village by id or code. Raises NotFound also for one where the actor has no such duty."""
    found = unit_for(session, actor, unit, duty)
    if found.kind is not UnitKind.VILLAGE:
        raise NotFound(NOT_FOUND)
    return found


def unit_for(session: Session, actor: Actor, unit: int | str, duty: Duty) -> Unit:
    """Any unit by id or code. Raises NotFound also for one where the actor has no such duty."""
    by = Unit.id == unit if isinstance(unit, int) else Unit.code == unit
    found = session.exec(select(Unit).where(by)).first()
    if found is None or not actor.may(duty, found):
        raise NotFound(NOT_FOUND)
    return found


def notice_for(session: Session, actor: Actor, code: str, duty: Duty = Duty.FIGURES) -> Notice:
    """The notice, when its issuing unit or (to read figures) one of its villages is the actor's. Raises NotFound."""
    notice = session.exec(select(Notice).where(Notice.code == codes.notice_typed(code))).first()
    if notice is None:
        raise NotFound(NOT_FOUND)
    issuing = session.get_one(Unit, notice.unit_id)
    if actor.may(duty, issuing):
        return notice
    if duty in (Duty.FIGURES, Duty.REGISTER, Duty.VISIT) and targets_seen(session, actor, notice, duty):
        return notice
    raise NotFound(NOT_FOUND)


def targets_seen(session: Session, actor: Actor, notice: Notice, duty: Duty = Duty.FIGURES) -> list[Unit]:
    """The notice's villages in which the actor holds the duty: a head sees own villages of a commune's notice."""
    below = _below(actor.paths(duty))
    if below is None:
        return []
    villages = (
        select(Unit)
        .join(NoticeTarget, col(NoticeTarget.unit_id) == Unit.id)
        .where(NoticeTarget.notice_id == notice.id, below)
        .order_by(col(Unit.parent_id), col(Unit.id))
    )
    return list(session.exec(villages).all())


def issuers_for(session: Session, actor: Actor) -> list[Issuer]:
    """The bodies that the actor may speak for, the commune first."""
    found: dict[int, Issuer] = {}
    for grant in actor.grants:
        kinds = SIGNS_FOR.get(grant.role, frozenset())
        held = (
            select(Issuer).where(Issuer.unit_id == grant.unit_id, col(Issuer.kind).in_(kinds)).order_by(col(Issuer.id))
        )
        for issuer in session.exec(held):
            found[issuer.id or 0] = issuer
    return list(found.values())


def holders(session: Session, unit: Unit, duty: Duty) -> list[int]:
    """Ids of active persons who hold the duty over the unit."""
    roles = [role for role, duties in DUTIES.items() if duty in duties]
    above = [int(part) for part in unit.path.strip("/").split("/")]
    held = (
        select(Role.person_id)
        .join(Person, col(Person.id) == Role.person_id)
        .where(
            col(Role.role).in_(roles),
            col(Role.unit_id).in_(above),
            col(Role.revoked_at).is_(None),
            col(Person.is_active),
        )
        .distinct()
    )
    return list(session.exec(held).all())


def _below(paths: Iterable[str]):  # type: ignore[no-untyped-def]
    conditions = [col(Unit.path).startswith(path, autoescape=True) for path in paths]
    return or_(*conditions) if conditions else None
