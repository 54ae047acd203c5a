"""The audit: who did what, in the transaction that did it."""

from datetime import datetime

from sqlmodel import Session

from store.tables import Audit


def note(
    session: Session,
    *,
    at: datetime,
    person_id: int | None,
    unit_id: int | None,
    action: str,
    subject: str = "",
    detail: str = "",
) -> None:
    """Add a line. `detail` holds codes and figures, never a message's text or a resident's name."""
    session.add(Audit(at=at, person_id=person_id, unit_id=unit_id, action=action, subject=subject, detail=detail))
