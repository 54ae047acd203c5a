"""Households: their cards, and which account belongs to which. Joining moves receipts; nothing counts twice."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, func, select

from bot import counting, texts
from bot.errors import Conflict, NotFound
from bot.house import House
from bot.turn import Turn
from store import reach
from store.tables import Account, Grade, Household, NoticeTarget, Outbox, Receipt, ReceiptKind, Unit

CARD = "household card"


def card_token(house: House, household: Household) -> str:
    """The token on a household's card: signed, so that none is stored; a new version makes the old card worthless.

    Only letters, digits, "-" and "_": what a deep link of Telegram may carry (core.telegram.org/bots/features).
    """
    return house.vault.sign(CARD, f"{household.id:x}-{household.card_version:x}").replace(".", "-")


def household_of_card(session: Session, house: House, token: str) -> Household:
    """The household that the card is for. Raises NotFound for a forged or an old card."""
    number, _, rest = token.partition("-")
    version, _, signature = rest.partition("-")
    if house.vault.unsign(CARD, f"{number}-{version}.{signature}") is not None:
        household = session.get(Household, int(number, 16))
        if household is not None and household.closed_at is None and household.card_version == int(version, 16):
            return household
    raise NotFound(texts.CARD_WRONG)


def by_number(session: Session, unit_id: int, number: int) -> Household | None:
    """The household with this number in the village's register."""
    return session.exec(
        select(Household).where(
            Household.unit_id == unit_id, Household.number == number, col(Household.closed_at).is_(None)
        )
    ).first()


def register_size(session: Session, unit_ids: Sequence[int]) -> int:
    return session.exec(
        select(func.count()).where(col(Household.unit_id).in_(list(unit_ids)), col(Household.closed_at).is_(None))
    ).one()


def join(session: Session, account: Account, household: Household, grade: Grade, *, now: datetime) -> None:
    """Tie the account to the household and move its receipts. A card is not weakened by typing the same number."""
    if account.household_id == household.id and account.grade is Grade.CARD:
        return
    account.household_id, account.grade, account.unit_id = household.id, grade, household.unit_id
    session.add(account)
    session.flush()
    _move_receipts(session, account, household, now=now)


def join_number(session: Session, account: Account, village: Unit, number: int, *, now: datetime) -> Household:
    """Tie the account to the household whose number was typed.

    Raises NotFound for a number that the village does not have, Conflict for an account that joined another by card.
    """
    household = by_number(session, village.id or 0, number)
    if household is None:
        raise NotFound(texts.no_such_household(number, village.name))
    if account.grade is Grade.CARD and account.household_id != household.id:
        # A card is stronger than a number that anybody may type, or mistype.
        raise Conflict(texts.CARD_STAYS)
    join(session, account, household, Grade.NUMBER, now=now)
    return household


def _move_receipts(session: Session, account: Account, household: Household, *, now: datetime) -> None:
    """A receipt counts for the household where the notice is for its village, else as an account where it was told."""
    touched: set[reach.Pair] = set()
    mine = select(Receipt).where(Receipt.account_id == account.id, Receipt.kind == ReceiptKind.ACKNOWLEDGED)
    for receipt in session.exec(mine).all():
        if receipt.unit_id is not None:
            touched.add((receipt.notice_id, receipt.unit_id))
        if session.get(NoticeTarget, (receipt.notice_id, household.unit_id)) is not None:
            receipt.household_id, receipt.grade, receipt.unit_id = household.id, account.grade, household.unit_id
        else:
            receipt.household_id, receipt.grade = None, None
            receipt.unit_id = _told_in(session, receipt)
        if receipt.unit_id is not None:
            touched.add((receipt.notice_id, receipt.unit_id))
        session.add(receipt)
    session.flush()
    reach.recount(session.connection(), touched)
    for notice_id, unit_id in touched:
        counting.show_soon(session, notice_id, unit_id, now=now)


def _told_in(session: Session, receipt: Receipt) -> int | None:
    """The village for which the receipt's chat got the notice, whatever that chat stands for today."""
    told = select(Outbox.unit_id).where(
        Outbox.notice_id == receipt.notice_id, Outbox.chat_id == receipt.chat_id, col(Outbox.unit_id).is_not(None)
    )
    return (session.exec(told.limit(1)).first() if receipt.chat_id else None) or receipt.unit_id


# ---------------------------------------------------------------- in a chat


def join_by_card(turn: Turn, token: str) -> None:
    household = household_of_card(turn.session, turn.house, token)
    join(turn.session, turn.account, household, Grade.CARD, now=turn.now)
    village = turn.session.get_one(Unit, household.unit_id)
    turn.say(texts.joined_household(household.number, village.name))


def join_by_number(turn: Turn, number: int) -> None:
    """The account types the number of its own household, in the village whose group it was last seen in."""
    if turn.account.unit_id is None:
        turn.say(texts.HOUSEHOLD_NO_VILLAGE)
        return
    village = turn.session.get_one(Unit, turn.account.unit_id)
    household = join_number(turn.session, turn.account, village, number, now=turn.now)
    turn.say(texts.joined_household(household.number, village.name))
