"""What the set-up sheet of a village says whose existing group is reached by hand."""

from typing import TYPE_CHECKING
from urllib.parse import quote

from sqlmodel import Session

from bot import texts
from bot.house import House
from bot.relays import RelayLine
from store import rooms
from store.tables import Unit

if TYPE_CHECKING:
    from pictures import SetupWords


def setup_words(
    session: Session, house: House, village: Unit, line: RelayLine | None, *, code: str = ""
) -> "SetupWords":
    """`line`: None for a village without such a group. `code`: a one-time code of the carrier's, '' for none."""
    from pictures import SetupWords  # what draws is loaded only where something is drawn

    # What is written in the public room is read by all, and answered by nobody unless we are called by name.
    has_room = rooms.has_group(session, village.id or 0)
    chat_url = _address(house, f"/chat/{quote(village.code, safe='')}/private") if has_room else ""
    check_url = _address(house, "/tb/")
    commune = session.get(Unit, village.parent_id) if village.parent_id else None
    return SetupWords(
        village=village.name,
        commune=commune.name if commune else "",
        group=line.title if line else "",
        members=line.members if line else None,
        carrier=line.carrier if line else "",
        backup=line.backup if line else "",
        chat_url=chat_url,
        check_url=check_url,
        truong_url=_address(house, "/truong"),
        code=code,
        pin=texts.pin_text(village.name, line.carrier if line else "", chat_url=chat_url, check_url=check_url),
    )


def _address(house: House, path: str) -> str:
    return f"{house.public_url}{path}" if house.public_url else ""
