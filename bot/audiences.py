"""People beside the villages with chats of their own (chi hội, chi bộ, tổ trưởng), and taking a chat off its place."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from adapters.text import clean
from bot.errors import Conflict, Invalid, NotFound
from bot.permissions import NOT_FOUND, Actor, Duty
from store import audit, outbox
from store.tables import Audience, Chat, Outbox, State, Unit

LONGEST = 60


def create(session: Session, actor: Actor, unit: Unit, name: str, now: datetime) -> Audience:
    """A new audience of a commune or a village. Raises NotFound without the duty, Invalid, or Conflict when known."""
    if not actor.may(Duty.ENROL, unit):
        raise NotFound(NOT_FOUND)
    name = " ".join(clean(name).split())
    if not name:
        raise Invalid("Chưa có tên. Ví dụ: Chi hội Phụ nữ.", "name")
    if len(name) > LONGEST:
        raise Invalid(f"Tên dài quá {LONGEST} chữ.", "name")
    if session.exec(select(Audience.id).where(Audience.unit_id == unit.id, Audience.name == name)).first() is not None:
        raise Conflict(f"{unit.name} đã có “{name}”.")
    made = Audience(unit_id=unit.id or 0, name=name)
    session.add(made)
    session.flush()
    audit.note(
        session,
        at=now,
        person_id=actor.person_id,
        unit_id=unit.id,
        action="audience created",
        subject=f"audience:{made.id}",
    )
    return made


def of_unit(session: Session, unit: Unit) -> list[Audience]:
    """Audiences that may have a chat here: those of the unit and of all above it, the widest first."""
    places = [int(part) for part in unit.path.split("/") if part]
    found = (
        select(Audience)
        .join(Unit, col(Unit.id) == Audience.unit_id)
        .where(col(Audience.unit_id).in_(places))
        .order_by(col(Unit.path), Audience.name)
    )
    return list(session.exec(found).all())


def writable(session: Session, actor: Actor) -> list[tuple[Audience, Unit]]:
    """Audiences that the actor may write to, each with its place."""
    found = session.exec(
        select(Audience, Unit)
        .join(Unit, col(Unit.id) == Audience.unit_id)
        .where(col(Unit.valid_to).is_(None))
        .order_by(col(Unit.path), Audience.name)
    )
    return [(audience, unit) for audience, unit in found if actor.may(Duty.BROADCAST, unit)]


def named(session: Session, actor: Actor, name: str, villages: Sequence[Unit]) -> Audience:
    """The audience of this name whose place covers the villages, the nearest one. Raises Invalid."""
    mine = writable(session, actor)
    wanted = " ".join(clean(name).split())
    fits = [
        (audience, unit)
        for audience, unit in mine
        if audience.name == wanted and all(village.path.startswith(unit.path) for village in villages)
    ]
    if not fits:
        known = "; ".join(dict.fromkeys(audience.name for audience, _ in mine)) or "chưa có"
        raise Invalid(f"Không có nhóm người nhận tên này cho các bản đã chọn. Bạn gửi được cho: {known}.", "audience")
    return max(fits, key=lambda fit: len(fit[1].path))[0]


def unbind(session: Session, actor: Actor, chat: Chat, now: datetime) -> None:
    """Take the chat off its village: what waits for it is stopped, later notices pass it by.

    Raises NotFound without the duty, Conflict for a room that nobody tied by hand: the house keeps it open itself.
    """
    if chat.unit_id is None or not actor.may(Duty.ENROL, session.get_one(Unit, chat.unit_id)):
        raise NotFound(NOT_FOUND)
    if chat.bound_by_id is None:
        raise Conflict("Nhóm này do hệ thống lập sẵn cho bản nên không gỡ được.")
    connection = session.connection()
    waiting = select(Outbox.id).where(
        Outbox.chat_id == chat.id,
        col(Outbox.notice_id).is_not(None),
        col(Outbox.state).in_((State.QUEUED, State.LEASED)),
    )
    for row_id in session.exec(waiting).all():
        outbox.advance(connection, row_id or 0, outbox.Step.GIVE_BACK)
        outbox.advance(connection, row_id or 0, outbox.Step.CANCEL)
    audit.note(
        session,
        at=now,
        person_id=actor.person_id,
        unit_id=chat.unit_id,
        action="group unbound",
        subject=f"chat:{chat.id}",
    )
    chat.unit_id = chat.audience_id = chat.bound_by_id = chat.bound_at = None
    session.add(chat)
    session.flush()
