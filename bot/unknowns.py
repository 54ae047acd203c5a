"""What nobody knows, a person settles: they looked into the group and saw the message, or did not."""

from datetime import datetime

from sqlmodel import Session

from bot.errors import Conflict, NotFound
from bot.permissions import NOT_FOUND, Actor, Duty
from store import audit, outbox
from store.tables import Notice, Outbox, State, Unit


def settle(session: Session, actor: Actor, notice: Notice, row_id: int, arrived: bool, now: datetime) -> None:
    """Write down what the person saw: it is there (sent), or it is not (failed, and may be sent again).

    Raises NotFound unless the actor wrote the notice or approves there, Conflict when it is no longer unknown.
    """
    place = session.get_one(Unit, notice.unit_id)
    row = session.get(Outbox, row_id, with_for_update=True)
    if row is None or row.notice_id != notice.id:
        raise NotFound(NOT_FOUND)
    if notice.author_id != actor.person_id and not actor.may(Duty.APPROVE, place):
        raise NotFound(NOT_FOUND)
    connection = session.connection()
    if row.state is not State.UNKNOWN:
        raise Conflict("Chỗ này vừa có kết quả rồi. Tải lại trang để xem.")
    if arrived:
        outbox.advance(connection, row_id, outbox.Step.ACCEPTED, sent_at=now, error="", error_detail="")
    else:
        outbox.advance(connection, row_id, outbox.Step.GIVE_UP, error=outbox.Failure.NOT_SENT, error_detail="")
    session.expire(row)
    audit.note(
        session,
        at=now,
        person_id=actor.person_id,
        unit_id=row.unit_id or notice.unit_id,
        action="unknown settled",
        subject=notice.code,
        detail=f"row {row_id} {'arrived' if arrived else 'did not arrive'}",
    )
