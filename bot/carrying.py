"""What a carrier says in a private chat: "1", a reply to what we asked, a button."""

import re
from datetime import datetime

from sqlmodel import col, select

from adapters.contract import Buttons
from bot import errands, relays, texts
from bot.permissions import Actor
from bot.turn import Turn
from store.places import folded
from store.tables import Chat, Errand, Notice, Outbox, Unit

WORD = errands.WORD
REPORTS = frozenset({"1", "da chuyen", "da chuyen roi", "chuyen roi", "da chuyen xong", "xong", "xong roi", "da xong"})
"""Folded, without punctuation."""


def replied(turn: Turn, actor: Actor, text: str, reply_to: str | None, *, at: datetime) -> bool:
    """A report in reply to a kit's message is about that kit, whatever else is under way. False: it is none."""
    if reply_to is None or not is_report(text):
        return False
    keys = select(Outbox.key).where(Outbox.chat_id == turn.chat.id, Outbox.message_id == reply_to)
    outbox_id = next((found for key in turn.session.exec(keys) if (found := errands.errand_of(key)) is not None), None)
    if outbox_id is None:
        return False
    _record(turn, actor, outbox_id, at=at)
    return True


def told(turn: Turn, actor: Actor, text: str, *, at: datetime) -> bool:
    """A bare report of somebody who carries. False: these words are something else, a household's number perhaps."""
    if not is_report(text):
        return False
    outbox_id = _meant(turn, actor)
    if outbox_id is not None:
        _record(turn, actor, outbox_id, at=at)
    elif relays.carries_any(turn.session, actor.person_id):
        turn.say(texts.CARRY_NONE)
    else:
        return False
    return True


def told_since(
    turn: Turn, actor: Actor, text: str, since: datetime, also: str, buttons: Buttons, *, at: datetime
) -> bool:
    """The same, when this chat was asked to carry `since` that time: the newest question is the one answered. False:
    it was not. `also` and `buttons` say how to do what else the words may have meant."""
    outbox_id = _meant(turn, actor) if is_report(text) else None
    asked = errands.asked_at(turn.session, outbox_id, turn.chat.id or 0) if outbox_id is not None else None
    if outbox_id is None or asked is None or asked < since:
        return False
    _record(turn, actor, outbox_id, at=at, also=also, buttons=buttons)
    return True


def press(turn: Turn, actor: Actor, which: str, what: str) -> None:
    """A button below an instruction; what it says from now on follows from what was done."""
    if not re.fullmatch("[0-9a-f]{1,15}", which) or what not in ("done", "undo"):
        turn.answer(texts.PRESS_STALE)
        return
    outbox_id = int(which, 16)
    if what == "undo":
        errands.take_back(turn.session, turn.house, actor, outbox_id, now=turn.now)
        turn.answer(texts.carry_back(*_named(turn, outbox_id)[:2]))
    else:
        turn.answer(_report(turn, actor, outbox_id, at=turn.now))


def is_report(text: str) -> bool:
    """Whether the words say that something was carried."""
    return " ".join(re.findall(r"\w+", folded(text))) in REPORTS


def _meant(turn: Turn, actor: Actor) -> int | None:
    return errands.newest_here(turn.session, actor.person_id, turn.chat.id or 0)


def _record(
    turn: Turn, actor: Actor, outbox_id: int, *, at: datetime, also: str = "", buttons: Buttons = ()
) -> None:  # fmt: skip
    words = _report(turn, actor, outbox_id, at=at)
    left = len(errands.waiting(turn.session, turn.house, actor.person_id))
    turn.say(" ".join(filter(None, (words, texts.carry_left(left), also))), buttons)


def _report(turn: Turn, actor: Actor, outbox_id: int, *, at: datetime) -> str:
    """Record it; returns what was recorded, in words."""
    is_new = errands.done(turn.session, turn.house, actor, outbox_id, at=at, now=turn.now)
    code, village, group = _named(turn, outbox_id)
    errand = turn.session.get_one(Errand, outbox_id)
    if not is_new or errand.done_at is None:
        return texts.carry_known(code, village)
    return texts.carry_noted(code, village, group, turn.house.local(errand.done_at))


def _named(turn: Turn, outbox_id: int) -> tuple[str, str, str]:
    """Notice, village and group of an errand."""
    return turn.session.exec(
        select(Notice.code, Unit.name, Chat.title)
        .select_from(Errand)
        .join(Notice, col(Notice.id) == Errand.notice_id)
        .join(Unit, col(Unit.id) == Errand.unit_id)
        .join(Chat, col(Chat.id) == Errand.chat_id)
        .where(Errand.outbox_id == outbox_id)
    ).one()
