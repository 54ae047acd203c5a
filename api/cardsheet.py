"""Which cards a sheet holds: the same on the console and in the file that `loa cards` writes."""

from sqlmodel import Session, col, select

from bot.house import House
from bot.households import card_token
from pictures import CardWords
from store.tables import Household, Unit


def cards_of(
    session: Session, house: House, village: Unit, *, with_labels: bool, number: int | None = None
) -> list[CardWords]:
    """A card for each household in the village's register, or for the one with `number`; none without a public address.

    Labels are for the head alone: sheets that others print are made without.
    """
    if not house.public_url:
        return []
    register = select(Household).where(Household.unit_id == village.id, col(Household.closed_at).is_(None))
    if number is not None:
        register = register.where(Household.number == number)
    return [
        CardWords(
            number=household.number,
            label=house.vault.open_text(household.sealed_label) if with_labels and household.sealed_label else "",
            url=f"{house.public_url}/h/{card_token(house, household)}",
        )
        for household in session.exec(register.order_by(col(Household.number)))
    ]
