"""One event in, decisions out: what is said goes to the outbox, what the presser alone is told comes back.

Commands are the same on every messenger. In groups we speak only when spoken to.
"""

import re
from collections.abc import Mapping
from datetime import datetime

from sqlmodel import Session

from adapters import contract
from adapters.contract import ButtonPressed, ChatMovedTo, FileRef, MessageReceived, ReceiptArrived, StandingChanged
from adapters.text import clean
from bot import (
    acks,
    approvals,
    carrying,
    chats,
    compose,
    decisions,
    dialogs,
    enrol,
    erasure,
    households,
    reports,
    seen,
    texts,
)
from bot.errors import Refused
from bot.house import House, Messenger
from bot.messages import unmarked
from bot.permissions import Actor
from bot.turn import PressAnswer, Turn
from store import chats as stored_chats
from store import outbox
from store.tables import ChatKind

COMMAND = re.compile(r"/(\w+)(?:\s+(.*))?", re.DOTALL)
FORGOT = re.compile(r"không nhớ|khong nho|ko nhớ|ko nho|quên|\bquen\b")
SHORT = 40
"""Characters of words in which a single number is the household's."""

__all__ = ["PressAnswer", "files_wanted", "handle"]


def files_wanted(
    session: Session, house: House, messenger: Messenger, event: contract.Event, *, now: datetime
) -> tuple[FileRef, ...]:
    """Which files must be fetched before `handle`: those of a person who is writing a notice. Writes nothing."""
    if not isinstance(event, MessageReceived) or not event.files or event.chat.kind is not contract.ChatKind.PRIVATE:
        return ()
    chat = chats.find(session, house, messenger, event.chat)
    account = chats.find_account(session, house, messenger, event.sender.id)
    if chat is None or account is None or account.person_id is None:
        return ()
    place = dialogs.of(Turn(session, house, messenger, chat, account, event.event_id, now))
    writing = (place is not None and place.kind == compose.KIND) or _command(event.text)[0] == "thongbao"
    return event.files if writing else ()


def handle(
    session: Session,
    house: House,
    messenger: Messenger,
    event: contract.Event,
    *,
    now: datetime,
    files: Mapping[str, bytes],
) -> list[PressAnswer]:
    """Everything that follows from one event, in one transaction. `files`: bytes by `FileRef.ref`."""
    if isinstance(event, ChatMovedTo):
        _moved(session, house, messenger, event)
        return []
    if isinstance(event, ReceiptArrived):
        seen.arrived(session, house, messenger, event, now=now)
        return []
    turn = _turn(session, house, messenger, event, now=now)
    match event:
        case StandingChanged():
            enrol.standing_changed(turn, event.standing)
        case ButtonPressed():
            _refusing(turn, lambda: _press(turn, event))
        case MessageReceived() if turn.chat.kind is ChatKind.GROUP:
            _refusing(turn, lambda: _in_group(turn, event))
        case MessageReceived():
            _refusing(turn, lambda: _in_private(turn, event, files))
    return turn.answers


def _turn(
    session: Session,
    house: House,
    messenger: Messenger,
    event: MessageReceived | ButtonPressed | StandingChanged,
    *,
    now: datetime,
) -> Turn:
    speaks = isinstance(event, MessageReceived)  # a button may be pressed after we were removed
    chat = chats.known(session, house, messenger, event.chat, now=now, speaks=speaks)
    account = chats.account(session, house, messenger, event.sender.id, now=now)
    if chat.kind is ChatKind.PRIVATE and account.private_chat_id != chat.id:
        account.private_chat_id = chat.id
    press_id = event.press_id if isinstance(event, ButtonPressed) else ""
    return Turn(session, house, messenger, chat, account, event.event_id, now, press_id)


def _refusing(turn: Turn, work) -> None:  # type: ignore[no-untyped-def]
    """Do `work`; a refusal is told to whoever asked, and nothing that was begun stays."""
    spot = turn.session.begin_nested()
    said, answers = turn.said, len(turn.answers)
    try:
        work()
    except Refused as refused:
        spot.rollback()
        turn.said, turn.answers[answers:] = said, []
        if turn.press_id:
            turn.answer(refused.words, alert=True)
        else:
            turn.say(refused.words)
    else:
        spot.commit()


# ---------------------------------------------------------------- private chats


def _in_private(turn: Turn, event: MessageReceived, files: Mapping[str, bytes]) -> None:
    name, rest = _command(event.text)
    actor = turn.actor()
    if name:
        _command_in_private(turn, event, name, rest, actor, files)
    elif actor is not None and _on_duty(turn, event, actor, files):
        return
    elif (number := _only_number(event.text)) is not None:
        households.join_by_number(turn, number)
    elif FORGOT.search(event.text.casefold()):
        turn.say(texts.HOUSEHOLD_FORGOT_OK)
    elif turn.account.created_at == turn.now and turn.account.person_id is None:
        turn.say(texts.WELCOME)
    else:
        turn.say(texts.NOT_UNDERSTOOD)


def _on_duty(turn: Turn, event: MessageReceived, actor: Actor, files: Mapping[str, bytes]) -> bool:
    """What somebody with a duty says. A reply to what we gave to carry is about that, whatever else is under way."""
    if carrying.replied(turn, actor, event.text, event.reply_to, at=event.at):
        return True
    place = dialogs.of(turn)
    if place is not None and place.kind == reports.KIND:
        also, buttons = reports.instead(turn, actor, place, event.text)
        if carrying.told_since(turn, actor, event.text, place.at, also, buttons, at=event.at):
            return True
    if place is not None and _goes_on(turn, event, place, actor, files):
        return True
    return carrying.told(turn, actor, event.text, at=event.at)


def _goes_on(
    turn: Turn, event: MessageReceived, place: dialogs.Place, actor: Actor, files: Mapping[str, bytes]
) -> bool:
    """The words belong to a conversation under way."""
    match place.kind:
        case compose.KIND:
            compose.said(turn, actor, place, event.text, event.files, files)
        case decisions.KIND:
            decisions.reason_typed(turn, actor, place, event.text)
        case reports.KIND:
            return reports.tick_typed(turn, actor, place, event.text)
        case _:
            return False
    return True


def _command_in_private(
    turn: Turn, event: MessageReceived, name: str, rest: str, actor: Actor | None, files: Mapping[str, bytes]
) -> None:
    match name:
        case "start":
            _start(turn, rest)
        case "trogiup" | "help":
            turn.say(f"{texts.HELP_DUTY}\n\n{texts.HELP_RESIDENT}" if actor else texts.HELP_RESIDENT)
        case "quyenriengtu":
            turn.say(f"{texts.PRIVACY}\n{texts.PRIVACY_ROOMS}" if _in_rooms(turn) else texts.PRIVACY)
        case "xoadulieu":
            erasure.ask(turn)
        case "lienket":
            enrol.link(turn, rest)
        case "huy":
            turn.say(texts.CANCELLED if dialogs.end(turn) else texts.NOTHING_TO_CANCEL)
        case "dangky":
            turn.say(texts.ENROL_IN_GROUP)
        case "thongbao" | "baocao" | "chuanam" if actor is None:
            turn.say(texts.NOT_ON_DUTY)
        case "thongbao" if actor:
            dialogs.end(turn)
            compose.begin(turn, actor, rest, event.files, files)
        case "baocao" if actor:
            reports.report(turn, actor, rest.upper())
        case "chuanam" if actor:
            reports.missing(turn, actor, rest.upper())
        case _:
            turn.say(texts.UNKNOWN_COMMAND)


def _start(turn: Turn, payload: str) -> None:
    """What a deep link carries: `h_` a household's card, `l_` a person's code; else a first greeting."""
    word, _, value = payload.partition("_")
    match word:
        case "h" if value:
            households.join_by_card(turn, value)
        case "l" if value:
            enrol.link(turn, value)
        case _ if turn.account.unit_id is not None and turn.account.household_id is None and turn.actor() is None:
            turn.say(texts.WELCOME)
            acks.ask_household(turn, turn.chat.id)
        case _:
            turn.say(texts.WELCOME)


# ---------------------------------------------------------------- groups


def _in_group(turn: Turn, event: MessageReceived) -> None:
    name, rest = _command(event.text)
    match name:
        case "dangky":
            enrol.bind(turn, rest)
        case "start" if rest:
            enrol.bind(turn, rest.removeprefix("g_"))
        case "trogiup" | "help":
            turn.say(texts.HELP_GROUP)
        case "quyenriengtu":
            turn.say(texts.PRIVACY_ROOMS if _in_rooms(turn) else texts.PRIVACY_GROUP)
        case "baocao":
            reports.group_report(turn)
        case "thongbao" | "chuanam" | "lienket" | "xoadulieu" | "huy":
            _to_private(turn)
        case _:
            pass  # silence: a group is theirs, not ours


def _to_private(turn: Turn) -> None:
    """These are private matters; say so where only the asker reads it, when we may."""
    if turn.account.private_chat_id is not None:
        turn.say(texts.IN_PRIVATE_ONLY, chat=turn.account.private_chat_id)


# ---------------------------------------------------------------- buttons


def _press(turn: Turn, event: ButtonPressed) -> None:
    token, row_id = unmarked(event.token)
    if row_id is not None and turn.chat.id is not None:
        outbox.prove(turn.session.connection(), row_id, turn.chat.id, event.message_id, now=turn.now)
    word, *rest = token.split(":")
    rest += [""] * (3 - len(rest))
    actor = turn.actor()
    if word == "a":
        acks.press(turn, rest[0], rest[1], row_id)
    elif word == "p":
        turn.answer(texts.PRESS_PREVIEW)
    elif word == "x":
        erasure.press(turn, rest[0], row_id)
    elif token == acks.FORGOT:
        turn.rewrite(row_id, texts.HOUSEHOLD_FORGOT_OK)
        turn.answer(texts.HOUSEHOLD_FORGOT)
    elif actor is None:
        turn.answer(texts.PRESS_STALE)
    elif word == carrying.WORD:
        carrying.press(turn, actor, rest[0], rest[1])
    elif word == compose.WORD:
        compose.press(turn, actor, rest[0], rest[1], rest[2], row_id)
    elif word == reports.WORD:
        reports.press(turn, actor, rest[0], rest[1], rest[2], row_id)
    elif word == approvals.DECIDE:
        decisions.press(turn, actor, rest[0], rest[1])
    else:
        turn.answer(texts.PRESS_STALE)
    if not turn.answers:
        turn.answer("")


def _moved(session: Session, house: House, messenger: Messenger, event: ChatMovedTo) -> None:
    chat = chats.find(session, house, messenger, event.chat)
    if chat is None or chat.id is None:
        chat = chats.known(session, house, messenger, event.chat, now=event.at)
    key = chats.address_key(house.vault, messenger.channel_id, event.new_id)
    stored_chats.moved(session.connection(), chat.id or 0, key, house.vault.seal(event.new_id))


def _in_rooms(turn: Turn) -> bool:
    return contract.Can.HOSTS_ROOMS in turn.messenger.can


def _only_number(text: str) -> int | None:
    """ "nhà tôi số 12 ạ" → 12; None for long words, for several numbers and for none."""
    numbers = re.findall(r"\d+", text)
    return int(numbers[0]) if len(numbers) == 1 and len(numbers[0]) <= 5 and len(text) <= SHORT else None


def _command(text: str) -> tuple[str, str]:
    """("thongbao", "the rest"), or ("", "") for ordinary words."""
    match = COMMAND.fullmatch(text.strip())
    return (match[1].lower(), clean(match[2] or "")) if match else ("", "")
