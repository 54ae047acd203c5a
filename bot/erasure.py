"""/xoadulieu: a resident's traces go, the village's figures stay as bare numbers."""

import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, col, delete, select

from adapters.contract import Button, Can
from bot import texts
from bot.house import House
from bot.later import later
from bot.turn import Turn
from store import audit, rooms
from store.tables import Account, Attempt, Chat, Dialog, Receipt, Standing

FORGET_AFTER = timedelta(minutes=2)
"""The farewell must leave before the address is forgotten."""
ERASE = "x"


def ask(turn: Turn) -> None:
    turn.say(texts.ERASE_ASK, ((Button(texts.ERASE_YES, f"{ERASE}:yes"),), (Button(texts.ERASE_NO, f"{ERASE}:no"),)))


def press(turn: Turn, word: str, row_id: int | None) -> None:
    if word != "yes":
        turn.rewrite(row_id, texts.KEPT)
        turn.answer(texts.KEPT)
        return
    turn.answer(texts.ERASED)
    if Can.HOSTS_ROOMS in turn.messenger.can:  # the talk itself goes, and the question with it
        turn.say(texts.ERASED)
    else:
        turn.rewrite(row_id, texts.ERASED)
    erase(turn.session, turn.house, turn.account, now=turn.now)


def erase(session: Session, house: House, account: Account, *, now: datetime) -> None:
    """Forget the account. Receipts stay without their owner, so that old figures do not change."""
    for receipt in session.exec(select(Receipt).where(Receipt.account_id == account.id)).all():
        receipt.account_id, receipt.who = None, f"x:{receipt.id}"
        session.add(receipt)
    session.flush()
    assert account.id is not None
    rooms.forget(session, account.id)
    session.exec(delete(Attempt).where(col(Attempt.key) == f"code:{account.user_key}"))
    session.exec(delete(Dialog).where(col(Dialog.account_id) == account.id))
    private = account.private_chat_id
    session.delete(account)
    session.flush()
    audit.note(session, at=now, person_id=None, unit_id=None, action="account erased")
    if private is not None:
        later(session, "forget", str(private), now + FORGET_AFTER, chat=private)


def forget_chat(session: Session, house: House, payload: dict[str, Any], now: datetime) -> None:
    """Forget where a private chat was; its rows stay for the figures. One that came back to life is left alone."""
    chat = session.get(Chat, payload["chat"])
    if chat is None or session.exec(select(Account.id).where(Account.private_chat_id == chat.id)).first() is not None:
        return
    chat.address_key = f"forgotten:{secrets.token_hex(8)}"
    chat.sealed_address = house.vault.seal("")
    chat.standing = Standing.GONE
    session.add(chat)
