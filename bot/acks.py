"""A press on a notice's button: counted once for the household, answered in words, shown on the button in a while.

This is the hot path of an evening on which a whole village answers, so that it works on the connection.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from adapters.contract import Button
from bot import face, texts
from bot.house import House
from bot.later import later
from bot.messages import of_payload, to_payload
from bot.permissions import Duty, holders
from bot.turn import Turn
from store import outbox, reach
from store.tables import (
    Action,
    Answer,
    Content,
    Household,
    Notice,
    NoticeState,
    NoticeTarget,
    Outbox,
    Reach,
    Receipt,
    ReceiptKind,
    State,
    Unit,
    Wanted,
)

SHOW_AFTER = timedelta(seconds=6)
"""Presses of this long share one edit of the button: a group takes some 20 edits a minute, among all else."""
FORGOT = "h:forgot"
RECEIPTS = Receipt.__table__  # type: ignore[attr-defined]


def press(turn: Turn, code: str, word: str) -> None:
    """Somebody answered a notice in a group."""
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
    household, unit_id = _place(turn, notice)
    if unit_id is None:
        turn.answer(texts.PRESS_STALE)
        return
    if turn.account.unit_id is None:
        turn.account.unit_id = turn.chat.unit_id
        session.add(turn.account)
        session.flush()
    before = _answer_before(session, turn, notice)
    if before is not answer:
        _keep(session.connection(), turn, notice, unit_id, household, answer)
        reach.recount(session.connection(), [(notice.id or 0, unit_id)])
        later(session, "count", f"{notice.id}:{unit_id}", turn.now + SHOW_AFTER, notice=notice.id, unit=unit_id)
    figure = figure_of(session, notice, unit_id)
    number = household.number if household else None
    if before is answer:
        turn.answer(texts.press_again(number, figure) + _ask(turn, household))
    else:
        turn.answer(texts.press_counted(answer, number, figure, changed=before is not None) + _ask(turn, household))
        if answer is Answer.HELP:
            _call_for_help(turn, notice, number)


def _place(turn: Turn, notice: Notice) -> tuple[Household | None, int | None]:
    """The household and village for which this press counts.

    Somebody whose household lies outside of the notice's villages counts as an account of the group's village.
    """
    if turn.account.household_id is not None:
        household = turn.session.get_one(Household, turn.account.household_id)
        if turn.session.get(NoticeTarget, (notice.id, household.unit_id)) is not None:
            return household, household.unit_id
    return None, turn.chat.unit_id


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


def _call_for_help(turn: Turn, notice: Notice, number: int | None) -> None:
    """ "Cần giúp" is a call: the village's head hears of it at once, in private."""
    if turn.chat.unit_id is None:
        return
    village = turn.session.get_one(Unit, turn.chat.unit_id)
    for person_id in holders(turn.session, village, Duty.REGISTER):
        turn.tell(person_id, texts.help_wanted(notice.code, village.name, number))


def figure_of(session: Session, notice: Notice, unit_id: int) -> str:
    """ "31/62 hộ", or "31 tài khoản" without a register."""
    row = session.get(Reach, (notice.id, unit_id), populate_existing=True)
    if row is None:
        return texts.took_note(0, 0, 0)
    return texts.took_note(row.card + row.number + row.head + row.visit, row.households, row.unlinked)


def show_count(session: Session, house: House, payload: dict[str, Any], now: datetime) -> None:
    """Put the running figures on the notice's buttons, in every group of the village."""
    notice, unit_id = session.get_one(Notice, payload["notice"]), payload["unit"]
    row = session.get(Reach, (notice.id, unit_id))
    if row is None or notice.state is not NoticeState.PUBLISHED:
        return
    if notice.wanted is Wanted.ATTEND:
        figures = {Answer.JOIN: row.join, Answer.ABSENT: row.absent, Answer.HELP: row.help}
        shown = {answer: texts.number(count) for answer, count in figures.items() if count}
    else:
        taken = row.card + row.number + row.head + row.visit
        shown = {Answer.GOT_IT: texts.button_count(taken, row.households, row.unlinked)}
    buttons = face.buttons_of(notice.code, notice.wanted, shown)
    for row_id, payload_sent in _posts(session, notice, unit_id):
        message = of_payload(payload_sent)
        if message.buttons:
            outbox.put_edit(session.connection(), row_id, to_payload(replace(message, buttons=buttons)), now=now)


def _posts(session: Session, notice: Notice, unit_id: int) -> list[tuple[int, str]]:
    """(outbox row, what it said) of what the village's groups hold."""
    sent = (
        select(Outbox.id, Content.payload)
        .join(Content, col(Content.id) == Outbox.content_id)
        .where(
            Outbox.notice_id == notice.id,
            Outbox.unit_id == unit_id,
            Outbox.action == Action.POST,
            Outbox.state == State.SENT,
        )
    )
    return [(row_id or 0, payload) for row_id, payload in session.exec(sent).all()]
