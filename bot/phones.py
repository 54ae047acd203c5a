"""The number at which officials call somebody with a duty. Sealed: nobody else needs it, and no log holds it."""

import re
from datetime import datetime

from sqlmodel import Session

from bot.errors import Invalid
from bot.house import House
from bot.permissions import Actor
from store import audit
from store.tables import Person

PURPOSE = "phone"
NUMBER = re.compile(r"\+?\d{6,15}")
"""E.164 allows fifteen digits; a landline within the district has six or seven."""


def put(session: Session, house: House, person: Person, typed: str, *, by: Actor | None, now: datetime) -> str:
    """Keep the number, '' takes it away; returns it as it is kept. Raises Invalid for what is no number.

    `by` None: the machine's own operator. Whether somebody may is the caller's to ask.
    """
    number = re.sub(r"[\s.()-]", "", typed)
    if number and not NUMBER.fullmatch(number):
        raise Invalid("Số điện thoại chỉ gồm chữ số, 6 đến 15 số, có thể bắt đầu bằng dấu +.", "phone")
    person.sealed_phone = house.vault.seal(number, purpose=PURPOSE) if number else None
    session.add(person)
    audit.note(
        session,
        at=now,
        person_id=by.person_id if by else None,
        unit_id=None,
        action="phone number kept" if number else "phone number taken away",
        subject=f"person:{person.id}",
    )
    return number


def of(house: House, person: Person | None) -> str:
    """The number; '' when none is known."""
    if person is None or person.sealed_phone is None:
        return ""
    return house.vault.open_text(person.sealed_phone, purpose=PURPOSE)
