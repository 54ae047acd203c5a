"""What happens later: one function a kind of task."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Session

from bot import counting, erasure, errands, progress
from bot.house import House
from store.tables import Task

HANDLERS: Mapping[str, Callable[[Session, House, dict[str, Any], datetime], None]] = {
    "count": counting.show,
    "progress": progress.show,
    "forget": erasure.forget_chat,
    "errand": errands.remind,
    "errands": errands.tell_commune,
    "carry": errands.look,
}


def run(session: Session, house: House, task: Task, *, now: datetime) -> None:
    """Do the task. The caller deletes its row first, in this transaction, so that it may ask for the next one.

    Raises LookupError for a kind that this release does not know.
    """
    HANDLERS[task.kind](session, house, json.loads(task.payload), now)
