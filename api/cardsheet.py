"""The sheet of household cards: the same cards on the console's page and in the file that `loa cards` writes."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from sqlmodel import Session, col, select

from api import qr
from api.templating import STATIC, environment
from bot.house import House
from bot.households import card_token
from store.tables import Household, Unit


@dataclass(frozen=True, slots=True)
class Card:
    number: int
    label: str
    """What the head calls the house; '' on sheets that others print."""
    qr: Markup


def cards_of(session: Session, house: House, village: Unit, *, with_labels: bool) -> list[Card]:
    """A card for each household in the village's register; none without a public address."""
    if not house.public_url:
        return []
    register = select(Household).where(Household.unit_id == village.id, col(Household.closed_at).is_(None))
    return [
        card_of(house, household, with_label=with_labels)
        for household in session.exec(register.order_by(col(Household.number)))
    ]


def card_of(house: House, household: Household, *, with_label: bool) -> Card:
    label = house.vault.open_text(household.sealed_label) if with_label and household.sealed_label else ""
    drawn = qr.svg(f"{house.public_url}/h/{card_token(house, household)}")
    return Card(household.number, label, Markup(drawn))  # noqa: S704 - our own drawing


def standalone(house: House, village: str, cards: Sequence[Card]) -> str:
    """The sheet as one file: no script, nothing from another host."""
    style = Markup((STATIC / "cards.css").read_text("utf-8"))  # noqa: S704 - a file of ours
    sheet = environment(house.zone).get_template("card_file.html")
    return sheet.render(village=village, cards=cards, style=style)
