"""Conversations of several steps: where an account is, and what it has said so far. Forgotten after two quiet hours."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import col, delete

from bot.turn import Turn
from store.tables import Dialog

LIFE = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the account is."""

    kind: str
    step: str
    data: dict[str, Any]
    at: datetime
    """When it got there."""


def of(turn: Turn) -> Place | None:
    """Where this account is in a conversation; None when in none."""
    dialog = turn.session.get(Dialog, turn.account.id)
    if dialog is None or dialog.expires_at <= turn.now:
        return None
    data = json.loads(turn.house.vault.open_text(dialog.sealed_data))
    return Place(dialog.kind, dialog.step, data, dialog.expires_at - LIFE)


def put(turn: Turn, kind: str, step: str, data: dict[str, Any]) -> None:
    """Go to a step; an earlier conversation of this account ends."""
    assert turn.account.id is not None
    dialog = turn.session.get(Dialog, turn.account.id)
    sealed = turn.house.vault.seal(json.dumps(data, ensure_ascii=False))
    if dialog is None:
        dialog = Dialog(
            account_id=turn.account.id, kind=kind, step=step, sealed_data=sealed, expires_at=turn.now + LIFE
        )
    dialog.kind, dialog.step, dialog.sealed_data, dialog.expires_at = kind, step, sealed, turn.now + LIFE
    turn.session.add(dialog)
    turn.session.flush()


def end(turn: Turn) -> bool:
    """Leave the conversation. False: there was none."""
    return turn.session.exec(delete(Dialog).where(col(Dialog.account_id) == turn.account.id)).rowcount > 0
