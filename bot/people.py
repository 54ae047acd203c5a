"""People with a duty: their roles, the accounts tied to them, and the codes that tie."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlmodel import Session, col, or_, select, update

from bot import codes, phones, texts
from bot.errors import Conflict, Invalid, NotAllowed, NotFound
from bot.house import House
from bot.later import later
from bot.permissions import NOT_FOUND, Actor, Duty
from store import attempts, audit
from store.tables import (
    Account,
    ApiToken,
    Chat,
    CodePurpose,
    Dialog,
    Errand,
    Notice,
    NoticeState,
    OneTimeCode,
    Outbox,
    Person,
    RelayGroup,
    Role,
    RoleName,
    Standing,
    State,
    Unit,
    UnitKind,
    WebSession,
)

LINK_CODE_LIFE = timedelta(days=3)
BIND_CODE_LIFE = timedelta(days=1)
GUESSES = 5

PLACES: dict[RoleName, frozenset[UnitKind]] = {
    RoleName.VILLAGE_HEAD: frozenset({UnitKind.VILLAGE}),
    RoleName.HELPER: frozenset({UnitKind.VILLAGE, UnitKind.COMMUNE}),
    RoleName.OFFICIAL: frozenset({UnitKind.COMMUNE}),
    RoleName.POLICE: frozenset({UnitKind.COMMUNE}),
}
"""Where a role may be held; a role that is not here, anywhere."""


def add_person(session: Session, name: str, username: str | None, *, now: datetime, by: Actor | None = None) -> Person:
    """A new person without any role. Raises Invalid for an empty name, Conflict for a taken user name."""
    name, username = name.strip(), (username or "").strip().lower() or None
    if not name:
        raise Invalid("Chưa có tên.", "name")
    if username and session.exec(select(Person.id).where(Person.username == username)).first() is not None:
        raise Conflict("Tên đăng nhập này đã có người dùng.")
    person = Person(name=name, username=username, created_at=now)
    session.add(person)
    session.flush()
    who = by.person_id if by else None
    audit.note(session, at=now, person_id=who, unit_id=None, action="person added", subject=f"person:{person.id}")
    return person


def grant(session: Session, person: Person, role: RoleName, unit: Unit, *, by: Actor | None, now: datetime) -> Role:
    """Give the person a duty over the unit; one held already is returned. `by` None: the machine's own operator."""
    if by is not None and not by.may(Duty.MANAGE, unit):
        raise NotFound(NOT_FOUND)
    if unit.kind not in PLACES.get(role, frozenset(UnitKind)):
        raise Invalid(f"{texts.ROLES[role]} không giao ở cấp này.", "unit")
    held = select(Role).where(
        Role.person_id == person.id, Role.unit_id == unit.id, Role.role == role, col(Role.revoked_at).is_(None)
    )
    if (known := session.exec(held).first()) is not None:
        return known
    by_id = by.person_id if by else None
    given = Role(person_id=_id(person), unit_id=_id(unit), role=role, granted_at=now, granted_by_id=by_id)
    session.add(given)
    audit.note(
        session,
        at=now,
        person_id=by_id,
        unit_id=unit.id,
        action="role granted",
        subject=f"person:{person.id}",
        detail=role,
    )
    session.flush()
    return given


def handover(session: Session, actor: Actor | None, leaving: Person, coming: Person, *, now: datetime) -> int:
    """One action moves an office: roles, unfinished notices and what is carried by hand move.

    The leaving person's accounts, sessions, tokens and codes are void.

    Returns how many roles moved. `actor` None: the machine's own operator; else it needs MANAGE over every unit.
    """
    if leaving.id == coming.id:
        raise Invalid("Người nhận phải là người khác.", "to")
    roles = session.exec(select(Role).where(Role.person_id == leaving.id, col(Role.revoked_at).is_(None))).all()
    if not roles:
        raise Conflict("Người này không còn giữ việc gì để bàn giao.")
    units = {role.unit_id: session.get_one(Unit, role.unit_id) for role in roles}
    if actor is not None and not all(actor.may(Duty.MANAGE, unit) for unit in units.values()):
        raise NotAllowed(NOT_FOUND)
    for role in roles:
        role.revoked_at = now
        session.add(role)
        grant(session, coming, role.role, units[role.unit_id], by=actor, now=now)
    lock_out(session, leaving, now=now)
    leaving.is_active, coming.is_active = False, True
    session.add_all((leaving, coming))
    unfinished = (NoticeState.DRAFT, NoticeState.RETURNED, NoticeState.WAITING)
    session.exec(
        update(Notice)
        .where(col(Notice.author_id) == leaving.id, col(Notice.state).in_(unfinished))
        # The key was the leaving person's own: the coming one may have used the same.
        .values(author_id=coming.id, idempotency_key=None)
    )
    _hand_on_errands(session, leaving, coming, now=now)
    audit.note(
        session,
        at=now,
        person_id=actor.person_id if actor else None,
        unit_id=next(iter(units)),
        action="office handed over",
        subject=f"person:{leaving.id}",
        detail=f"to person:{coming.id}, {len(roles)} roles",
    )
    session.flush()
    return len(roles)


def _hand_on_errands(session: Session, leaving: Person, coming: Person, *, now: datetime) -> None:
    """The coming person carries where the leaving one did, and gets what is still to be carried."""
    session.exec(update(RelayGroup).where(col(RelayGroup.carrier_id) == leaving.id).values(carrier_id=coming.id))
    session.exec(update(RelayGroup).where(col(RelayGroup.backup_id) == leaving.id).values(backup_id=coming.id))
    theirs = select(RelayGroup.chat_id).where(
        or_(col(RelayGroup.carrier_id) == coming.id, col(RelayGroup.backup_id) == coming.id)
    )
    held = (
        select(Errand)
        .join(Outbox, col(Outbox.id) == Errand.outbox_id)
        .where(
            or_(col(Errand.person_id) == leaving.id, col(Errand.chat_id).in_(theirs)),
            col(Outbox.state).in_((State.QUEUED, State.LEASED, State.SENDING, State.HANDED)),
        )
    )
    for errand in session.exec(held).all():
        if errand.person_id == leaving.id:
            errand.person_id = coming.id
            session.add(errand)
        key = f"{errand.outbox_id}:{coming.id}"
        later(session, "carry", key, now, outbox=errand.outbox_id, new=[coming.id])


def lock_out(session: Session, person: Person, *, now: datetime) -> None:
    """Everything by which the person could still act stops working."""
    accounts = list(session.exec(select(Account.id).where(Account.person_id == person.id)).all())
    for dialog in session.exec(select(Dialog).where(col(Dialog.account_id).in_(accounts))).all():
        session.delete(dialog)
    session.exec(update(Account).where(col(Account.person_id) == person.id).values(person_id=None))
    for web_session in session.exec(select(WebSession).where(WebSession.person_id == person.id)).all():
        session.delete(web_session)
    session.exec(
        update(ApiToken)
        .where(col(ApiToken.person_id) == person.id, col(ApiToken.revoked_at).is_(None))
        .values(revoked_at=now)
    )
    session.exec(
        update(OneTimeCode)
        .where(col(OneTimeCode.person_id) == person.id, col(OneTimeCode.used_at).is_(None))
        .values(used_at=now)
    )


def new_link_code(session: Session, house: House, person: Person, *, now: datetime) -> str:
    """A code that ties the account which types it to the person."""
    return _new_code(session, house, CodePurpose.LINK_PERSON, _id(person), now + LINK_CODE_LIFE)


def new_bind_code(
    session: Session, house: House, actor: Actor, village: Unit, *, now: datetime, audience_id: int | None = None
) -> str:
    """A code that ties the group in which it is typed to the village. Raises NotFound without the duty."""
    if not actor.may(Duty.ENROL, village):
        raise NotFound(NOT_FOUND)
    life = now + BIND_CODE_LIFE
    return _new_code(
        session, house, CodePurpose.BIND_CHAT, actor.person_id, life, unit_id=village.id, audience_id=audience_id
    )


def _new_code(
    session: Session,
    house: House,
    purpose: CodePurpose,
    person_id: int,
    expires_at: datetime,
    *,
    unit_id: int | None = None,
    audience_id: int | None = None,
) -> str:
    code = codes.one_time_code()
    session.add(
        OneTimeCode(
            code_key=house.vault.fingerprint("one-time code", code),
            purpose=purpose,
            person_id=person_id,
            unit_id=unit_id,
            audience_id=audience_id,
            expires_at=expires_at,
        )
    )
    session.flush()
    return code


def find_code(
    session: Session, house: House, typed: str, purpose: CodePurpose, guesser: str, *, now: datetime
) -> OneTimeCode | None:
    """The open code that was typed, still to be `spend`-ed; None for a wrong one, which counts against `guesser`.

    Raises NotAllowed after too many wrong ones.
    """
    key = f"code:{guesser}"
    if not attempts.may_try(session, key, now=now):
        raise NotAllowed(texts.TRY_LATER)
    found = session.exec(
        select(OneTimeCode).where(
            OneTimeCode.code_key == house.vault.fingerprint("one-time code", codes.typed(typed)),
            OneTimeCode.purpose == purpose,
            col(OneTimeCode.used_at).is_(None),
            OneTimeCode.expires_at > now,
        )
    ).first()
    if found is None:
        attempts.failed(session, key, now=now, allowed=GUESSES)
    return found


def spend(session: Session, code: OneTimeCode, *, now: datetime) -> bool:
    """Use the code up. False: somebody else just did."""
    used = (
        update(OneTimeCode)
        .where(col(OneTimeCode.id) == code.id, col(OneTimeCode.used_at).is_(None))
        .values(used_at=now)
    )
    return session.exec(used).rowcount == 1


def set_phone(session: Session, house: House, actor: Actor | None, person: Person, phone: str, now: datetime) -> str:
    """Keep the number at which officials call, '' takes it away; returns it as it is kept.

    `actor` None: the machine's own operator. Raises NotFound for a number that is not the actor's to keep, Invalid for
    what is no number.
    """
    if actor is not None:
        held = select(Unit).join(Role, col(Role.unit_id) == Unit.id).where(
            Role.person_id == person.id, col(Role.revoked_at).is_(None)
        )  # fmt: skip
        if not may_phone(actor, _id(person), session.exec(held).all()):
            raise NotFound(NOT_FOUND)
    return phones.put(session, house, person, phone, by=actor, now=now)


def may_phone(actor: Actor, person_id: int, held: Sequence[Unit]) -> bool:
    """Whether the number of a person with duties over these units is the actor's to read and change: one's own, or of
    somebody all of whose duties lie where the actor gives duties or calls people."""
    keeps = (Duty.MANAGE, Duty.APPROVE)
    is_below = bool(held) and all(any(actor.may(duty, unit) for duty in keeps) for unit in held)
    return actor.person_id == person_id or is_below


def private_chats(session: Session, person_id: int) -> list[int]:
    """Chats in which the person can be reached alone."""
    reachable = (
        select(Chat.id)
        .join(Account, col(Account.private_chat_id) == Chat.id)
        .where(Account.person_id == person_id, Chat.standing != Standing.GONE)
        .order_by(col(Chat.id))
    )
    return [chat_id for chat_id in session.exec(reachable).all() if chat_id is not None]


def _id(row: Person | Unit) -> int:
    assert row.id is not None
    return row.id
