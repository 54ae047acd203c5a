"""A press on a notice's button: counted once for the household, answered in words, shown on the button in a while.

This is the hot path of an evening on which a whole village answers, so that it works on the connection.
"""

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, select

from adapters.contract import Button, Can
from adapters.text import plain
from bot import counting, face, people, seen, texts
from bot.messages import Message, to_payload
from bot.permissions import Duty, holders
from bot.turn import Turn
from store import outbox, reach
from store.tables import (
    Answer,
    Household,
    Lane,
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
    household, unit_id = _place(turn, notice, carrier.unit_id)
    if turn.account.unit_id is None:
        turn.account.unit_id = carrier.unit_id
        session.add(turn.account)
        session.flush()
    before = _answer_before(session, turn, notice)
    if before is not answer:
        _keep(session.connection(), turn, notice, unit_id, household, answer)
        if Can.TELL_READ in turn.messenger.can:  # whoever presses has seen it, before the messenger says so
            seen.add(session.connection(), carrier, turn.account, ReceiptKind.SEEN, at=turn.now)
        reach.recount(session.connection(), [(notice.id or 0, unit_id)])
        counting.show_soon(session, notice.id or 0, unit_id, now=turn.now)
    figure = f"{texts.sentence(session.get_one(Unit, unit_id).name)}: {figure_of(session, notice, unit_id)}"
    number = household.number if household else None
    asking = _ask(turn, household)
    if before is answer:
        turn.answer(texts.press_again(number, figure) + asking)
        return
    if answer is Answer.HELP and not _call_for_help(turn, notice, number, unit_id):
        turn.answer(texts.HELP_UNHEARD, alert=True)
        return
    turn.answer(texts.press_counted(answer, number, figure, changed=before is not None) + asking)


def _place(turn: Turn, notice: Notice, group_unit_id: int) -> tuple[Household | None, int]:
    """The household and village for which this press counts.

    Somebody whose household lies outside of the notice's villages counts as an account of the village for which the
    group got the notice.
    """
    if turn.account.household_id is not None:
        household = turn.session.get_one(Household, turn.account.household_id)
        if turn.session.get(NoticeTarget, (notice.id, household.unit_id)) is not None:
            return household, household.unit_id
    return None, group_unit_id


def _answer_before(session: Session, turn: Turn, notice: Notice) -> Answer | None:
    answer = session.exec(
        select(Receipt.answer).where(
            Receipt.notice_id == notice.id,
            Receipt.kind == ReceiptKind.ACKNOWLEDGED,
            Receipt.who == f"a:{turn.account.id}",
        )
    ).first()
    return Answer(answer) if answer else None


def _keep(
    connection: Connection, turn: Turn, notice: Notice, unit_id: int, household: Household | None, answer: Answer
) -> None:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    put = insert(RECEIPTS).values(
        notice_id=notice.id,
        kind=ReceiptKind.ACKNOWLEDGED,
        who=f"a:{turn.account.id}",
        account_id=turn.account.id,
        household_id=household.id if household else None,
        unit_id=unit_id,
        chat_id=turn.chat.id,
        grade=turn.account.grade if household else None,
        answer=answer,
        first_at=turn.now,
        at=turn.now,
    )
    connection.execute(
        put.on_conflict_do_update(
            index_elements=["notice_id", "kind", "who"], set_={"answer": put.excluded.answer, "at": put.excluded.at}
        )
    )


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


def _call_for_help(turn: Turn, notice: Notice, number: int | None, unit_id: int) -> bool:
    """ "Cần giúp" is a call: the village's head hears of it at once, in private."""
    village = turn.session.get_one(Unit, unit_id)
    words = to_payload(Message(plain(texts.help_wanted(notice.code, village.name, number))))
    chats: list[int] = []
    for duty in (Duty.REGISTER, Duty.APPROVE):  # the head; where the head cannot be reached, the commune
        for person_id in holders(turn.session, village, duty):
            chats += people.private_chats(turn.session, person_id)
        if chats:
            break
    for chat_id in chats:
        # One call an account and notice, however often the answer is changed.
        key = f"help:{notice.id}:{turn.account.id}"
        outbox.post(
            turn.session.connection(), chat_id=chat_id, key=key, payloads=[words], lane=Lane.REPLY, now=turn.now
        )
    return bool(chats)


def figure_of(session: Session, notice: Notice, unit_id: int) -> str:
    """ "31/62 hộ", or "31 tài khoản" without a register."""
    row = session.get(Reach, (notice.id, unit_id), populate_existing=True)
    if row is None:
        return texts.answered(0, 0, 0, wanted=notice.wanted)
    took = row.card + row.number + row.head + row.visit
    return texts.answered(took, row.households, row.unlinked, wanted=notice.wanted)
