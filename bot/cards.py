"""A household's card that was lost, or came into wrong hands."""

from datetime import datetime

from sqlmodel import Session

from bot.errors import NotFound
from bot.permissions import NOT_FOUND, Actor, Duty
from store import audit
from store.tables import Household, Unit


def new_card(session: Session, actor: Actor, household: Household, now: datetime) -> None:
    """From now on only a new card is good. Accounts that joined with the old one stay. Raises NotFound without duty."""
    if household.closed_at is not None or not actor.may(Duty.REGISTER, session.get_one(Unit, household.unit_id)):
        raise NotFound(NOT_FOUND)
    household.card_version += 1
    session.add(household)
    audit.note(
        session,
        at=now,
        person_id=actor.person_id,
        unit_id=household.unit_id,
        action="household card renewed",
        subject=f"household:{household.id}",
        detail=f"version {household.card_version}",
    )
    session.flush()
