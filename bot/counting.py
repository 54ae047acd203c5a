"""The running figures on a notice's buttons: many changes, one edit a group."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, col, select

from bot import face, texts
from bot.house import House
from bot.later import later
from bot.messages import of_payload, to_payload
from store import outbox
from store.tables import Action, Answer, Content, Notice, NoticeState, Outbox, Reach, State, Wanted

SHOW_AFTER = timedelta(seconds=6)
"""Changes of this long share one edit: a group takes some 20 edits a minute, among all else."""


def show_soon(session: Session, notice_id: int, unit_id: int, *, now: datetime) -> None:
    """The figures of this village changed."""
    later(session, "count", f"{notice_id}:{unit_id}", now + SHOW_AFTER, notice=notice_id, unit=unit_id)


def show(session: Session, house: House, payload: dict[str, Any], now: datetime) -> None:
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
            counted = replace(message, buttons=(*buttons, *message.buttons[1:]))
            outbox.put_edit(session.connection(), row_id, to_payload(counted), now=now)


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
            col(Outbox.is_old).is_(False),  # what a newer post took the place of is left alone
        )
    )
    return [(row_id or 0, payload) for row_id, payload in session.exec(sent).all()]
