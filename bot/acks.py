"""An answer to a notice: counted once for the household, wherever it was given; a press is answered in words.

This is the hot path of an evening on which a whole village answers, so that it works on the connection.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, select

from adapters.contract import Button, Can
from bot import calls, counting, face, seen, texts
from bot.calls import is_heard as is_heard
from bot.turn import Turn
from store import reach
from store.tables import (
    Account,
    Answer,
    Household,
    Notice,
    NoticeState,
    NoticeTarget,
    Outbox,
    Reach,
    Receipt,
    ReceiptKind,
    Unit,
)

FORGOT = "h:forgot"
RECEIPTS = Receipt.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of an answer."""

    household: Household | None
    """For which it counts; None: for an account without one."""
    unit_id: int
    """The village in which it counts."""
    before: Answer | None
    """What the account had answered until now."""
    is_heard: bool
    """False: a call for help that reached nobody."""


def count(
    session: Session,
    account: Account,
    notice: Notice,
    answer: Answer,
    *,
    unit_id: int,
    chat_id: int | None,
    now: datetime,
) -> Counted:
    """Count the account's answer to a notice that is out, wherever it was given; the same answer again changes nothing.

    `unit_id`: the village for which the chat, or the link, got the notice. It counts there unless the account's
    household lies in another of the notice's villages.
    """
    household, counts_in = _place(session, account, notice, unit_id)
    if account.unit_id is None:
        account.unit_id = unit_id
        session.add(account)
        session.flush()
    before = answer_of(session, account, notice)
    if before is not answer:
        connection = session.connection()
        counts_in = _keep(connection, account, notice, counts_in, chat_id, household, answer, now=now)
        reach.recount(connection, [(notice.id or 0, counts_in)])
        counting.show_soon(session, notice.id or 0, counts_in, now=now)
    is_heard = True
    if answer is Answer.HELP and before is not answer:
        number, village = household.number if household else None, session.get_one(Unit, counts_in)
        is_heard = calls.call(session, account, notice, number, village, now=now)
    return Counted(household, counts_in, before, is_heard)


def answer_of(session: Session, account: Account, notice: Notice) -> Answer | None:
    """What the account answered last; None: nothing yet."""
    answer = session.exec(
        select(Receipt.answer).where(
            Receipt.notice_id == notice.id,
            Receipt.kind == ReceiptKind.ACKNOWLEDGED,
            Receipt.who == f"a:{account.id}",
        )
    ).first()
    return Answer(answer) if answer else None


def figure_of(session: Session, notice: Notice, unit_id: int) -> str:
    """ "31/62 hộ", or "31 tài khoản" without a register."""
    row = session.get(Reach, (notice.id, unit_id), populate_existing=True)
    if row is None:
        return texts.answered(0, 0, 0, wanted=notice.wanted)
    took = row.card + row.number + row.head + row.visit
    return texts.answered(took, row.households, row.unlinked, wanted=notice.wanted)


def _place(session: Session, account: Account, notice: Notice, told_in: int) -> tuple[Household | None, int]:
    """The household and village for which an answer counts.

    Somebody whose household lies outside of the notice's villages counts as an account of the village for which the
    group, or the link, got the notice.
    """
    if account.household_id is not None:
        household = session.get_one(Household, account.household_id)
        if session.get(NoticeTarget, (notice.id, household.unit_id)) is not None:
            return household, household.unit_id
    return None, told_in


def _keep(
    connection: Connection,
    account: Account,
    notice: Notice,
    unit_id: int,
    chat_id: int | None,
    household: Household | None,
    answer: Answer,
    *,
    now: datetime,
) -> int:
    """Write the answer down. Returns the village in which it counts: that of the first answer, until a household is
    named."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    put = insert(RECEIPTS).values(
        notice_id=notice.id,
        kind=ReceiptKind.ACKNOWLEDGED,
        who=f"a:{account.id}",
        account_id=account.id,
        household_id=household.id if household else None,
        unit_id=unit_id,
        chat_id=chat_id,
        grade=account.grade if household else None,
        answer=answer,
        first_at=now,
        at=now,
    )
    kept = put.on_conflict_do_update(
        index_elements=["notice_id", "kind", "who"], set_={"answer": put.excluded.answer, "at": put.excluded.at}
    )
    return connection.execute(kept.returning(RECEIPTS.c.unit_id)).scalar_one() or unit_id


# ---------------------------------------------------------------- in a chat


def press(turn: Turn, code: str, word: str, row_id: int | None) -> None:
    """Somebody answered a notice in a group; `row_id` is the outbox row that carried the button.

    What a messenger hands back as a button's token can be made up, so the row must be of this notice and this chat.
    """
    session = turn.session
    notice = session.exec(select(Notice).where(Notice.code == code)).first()
    try:
        answer = Answer(word)
    except ValueError:
        turn.answer(texts.PRESS_STALE)
        return
    if notice is None or answer not in face.ANSWERS[notice.wanted]:
        turn.answer(texts.PRESS_STALE)
        return
    if notice.state is not NoticeState.PUBLISHED:
        turn.answer(texts.PRESS_OLD)
        return
    carrier = session.get(Outbox, row_id) if row_id is not None else None
    if carrier is None or carrier.notice_id != notice.id or carrier.chat_id != turn.chat.id or carrier.unit_id is None:
        turn.answer(texts.PRESS_STALE)
        return
    connection = session.connection()
    # Whoever presses has seen it, before the messenger says so.
    is_new = Can.TELL_READ in turn.messenger.can and seen.add(
        connection, carrier, turn.account, ReceiptKind.SEEN, at=turn.now
    )
    counted = count(session, turn.account, notice, answer, unit_id=carrier.unit_id, chat_id=turn.chat.id, now=turn.now)
    if is_new and counted.unit_id != carrier.unit_id:
        reach.recount(connection, [(notice.id or 0, carrier.unit_id)])
    village = texts.sentence(session.get_one(Unit, counted.unit_id).name)
    figure = f"{village}: {figure_of(session, notice, counted.unit_id)}"
    number = counted.household.number if counted.household else None
    asking = _ask(turn, counted.household)
    if counted.before is answer:
        turn.answer(texts.press_again(number, figure) + asking)
    elif not counted.is_heard:
        turn.answer(texts.HELP_UNHEARD, alert=True)
    else:
        turn.answer(texts.press_counted(answer, number, figure, changed=counted.before is not None) + asking)


def _ask(turn: Turn, household: Household | None) -> str:
    """A new presser is asked once for the household, where the press is answered and in private where we may write."""
    if household is not None or turn.account.household_id is not None or turn.account.asked_at is not None:
        return ""
    turn.account.asked_at = turn.now
    turn.session.add(turn.account)
    if turn.account.private_chat_id is not None and turn.account.private_chat_id != turn.chat.id:
        ask_household(turn, turn.account.private_chat_id)
    return texts.PRESS_ASK


def ask_household(turn: Turn, chat_id: int | None) -> None:
    """Ask an account for its household, in a private chat."""
    if turn.account.unit_id is not None and chat_id is not None:
        village = turn.session.get_one(Unit, turn.account.unit_id)
        question = texts.HOUSEHOLD_ASK.format(village=village.name)
        turn.say(question, ((Button(texts.HOUSEHOLD_FORGOT, FORGOT),),), chat=chat_id)
