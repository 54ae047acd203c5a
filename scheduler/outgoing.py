"""A claimed row as one platform call, and what its outcome means for the row."""

import logging
from datetime import timedelta
from functools import lru_cache

from adapters.contract import (
    Adapter,
    AdapterBroken,
    Can,
    ChatGone,
    ChatMoved,
    ChatRef,
    Deletes,
    Edits,
    HandsOver,
    NobodyCarries,
    NoRightToWrite,
    NotSent,
    Outbound,
    OutcomeUnknown,
    OutFile,
    Pins,
    Rejected,
    Sent,
    Throttled,
)
from adapters.text import Text, joined, plain, width
from bot import texts
from bot.messages import FileUse, Message, marked, of_payload
from scheduler.files import Uploads
from store.outbox import Failure, Outcome, Step, Work
from store.tables import Action, Standing

logger = logging.getLogger(__name__)

ATTEMPTS = 8
"""Tries that count, before a row fails."""
LONGEST_WAIT = 300.0

NEEDS = {Action.POST: Can.NOTHING, Action.EDIT: Can.EDIT, Action.DELETE: Can.DELETE, Action.PIN: Can.PIN}

message_of = lru_cache(maxsize=1024)(of_payload)
"""A broadcast is a thousand rows with the same words. By the words themselves: an edit that waits changes them."""


def taken(adapter: Adapter, work: Work) -> Step:
    """What a call that did not fail means: the messenger has it, or a person who carries it on."""
    return Step.HANDED if work.action is Action.POST and Can.HANDS_OVER in adapter.can else Step.ACCEPTED


def file_of(work: Work) -> FileUse | None:
    """The file that the row sends."""
    return message_of(work.payload).file if work.action is Action.POST else None


async def call(adapter: Adapter, uploads: Uploads, work: Work, chat: ChatRef) -> Sent | None:
    """Make the call. Raises SendFailure, or anything if the adapter has a fault."""
    if NEEDS[work.action] not in adapter.can:
        raise Rejected(f"{adapter.name} cannot {work.action}")
    match work.action:
        case Action.POST if isinstance(adapter, HandsOver):
            await adapter.hand_over(await outbound(adapter, uploads, work, chat))
        case Action.POST:
            return await adapter.send(await outbound(adapter, uploads, work, chat))
        case Action.EDIT if isinstance(adapter, Edits):
            await adapter.edit(work.target_message or "", _edit(work, chat))
        case Action.DELETE if isinstance(adapter, Deletes):
            await adapter.delete(chat, work.target_message or "")
        case Action.PIN if isinstance(adapter, Pins):
            await adapter.pin(chat, work.target_message or "")
    return None


async def outbound(adapter: Adapter, uploads: Uploads, work: Work, chat: ChatRef) -> Outbound:
    """The row as the messenger gets it. Raises Rejected when its file is no more."""
    message = message_of(work.payload)
    file = None
    if message.file is not None:
        try:
            file = await uploads.file(message.file)
        except LookupError as error:
            raise Rejected("the file is no more") from error
    return Outbound(
        chat=chat,
        key=key_of(work),
        text=_text(adapter, message, is_repeat=work.is_repeat),
        buttons=marked(message.buttons, work.id),
        file=file,
        reply_to=work.reply_to,
        silent=work.is_silent,
    )


def key_of(work: Work) -> str:
    """Names the send for ever, in its chat."""
    return f"{work.key}/{work.revision}/{work.part}"


def _edit(work: Work, chat: ChatRef) -> Outbound:
    message = message_of(work.payload)
    use = message.file
    # Only that there is a file: its bytes stay as they are.
    file = None if use is None else OutFile(kind=use.kind, name=use.name, media_type=use.media_type, content=b"")
    buttons = marked(message.buttons, work.target_id or 0)
    return Outbound(chat=chat, key=key_of(work), text=message.text, buttons=buttons, file=file)


def _text(adapter: Adapter, message: Message, *, is_repeat: bool) -> Text:
    if not is_repeat:
        return message.text
    limit = adapter.limits.text if message.file is None else adapter.limits.caption
    # A message that is full already goes as it is: whole is better than marked.
    fits = width(texts.REPEAT) + width(joined(message.text)) <= limit
    return (*plain(texts.REPEAT), *message.text) if fits else message.text


def wait_before(attempt: int, *, chance: float) -> timedelta:
    """Ever longer; half of it by chance, so that rows which fell together do not come back together."""
    return timedelta(seconds=min(2.0**attempt, LONGEST_WAIT) * (0.5 + 0.5 * chance))


def failed(work: Work, error: Exception, *, may_repeat: bool, counts: bool, chance: float) -> Outcome:
    """What a failed call means for its row. Throttling is the sender's to say: it depends on the other chats.

    `may_repeat`: doing the same again shows nothing twice. `counts`: the fault is this row's rather than the line's.
    """
    match error:
        case NotSent() | OutcomeUnknown() if isinstance(error, NotSent) or may_repeat:
            failure = Failure.NOT_SENT if isinstance(error, NotSent) else Failure.NO_ANSWER
            if counts and work.attempts + 1 >= ATTEMPTS:
                return _outcome(work, Step.REFUSED, failure, error)
            wait = wait_before(work.attempts, chance=chance)
            return _outcome(work, Step.POSTPONED, failure, error, wait=wait, counts=counts)
        case OutcomeUnknown():
            return _outcome(work, Step.LOST, Failure.NO_ANSWER, error)
        case ChatGone():
            return _outcome(work, Step.REFUSED, Failure.CHAT_GONE, error, standing=Standing.GONE)
        case NoRightToWrite():
            return _outcome(work, Step.REFUSED, Failure.NO_RIGHT, error, standing=Standing.MUTED)
        case ChatMoved() if work.attempts + 1 >= ATTEMPTS:
            return _outcome(work, Step.REFUSED, Failure.REJECTED, error)
        case ChatMoved():
            return _outcome(work, Step.POSTPONED, None, error)
        case AdapterBroken():
            return _outcome(work, Step.POSTPONED, Failure.BROKEN, error, counts=False)
        case NobodyCarries():
            return _outcome(work, Step.REFUSED, Failure.NO_CARRIER, error)
        case Rejected():
            return _outcome(work, Step.REFUSED, Failure.REJECTED, error)
        case _:
            # A fault of ours, after which nobody can say whether the call was made.
            return failed(work, OutcomeUnknown(type(error).__name__), may_repeat=may_repeat, counts=True, chance=chance)


def throttled(work: Work, error: Throttled, wait: timedelta) -> Outcome:
    """Told to wait: the chat waits, and no attempt is used up."""
    outcome = _outcome(work, Step.POSTPONED, Failure.THROTTLED, error, wait=wait, counts=False)
    return Outcome(**{name: getattr(outcome, name) for name in Outcome.__slots__} | {"pause_chat": True})


def _outcome(
    work: Work,
    step: Step,
    failure: Failure | None,
    error: Exception,
    *,
    wait: timedelta | None = None,
    counts: bool = True,
    standing: Standing | None = None,
) -> Outcome:
    detail = getattr(error, "reason", "")
    return Outcome(
        id=work.id,
        chat_id=work.chat_id,
        step=step,
        error=failure,
        detail=detail,
        wait=wait,
        attempt_counts=counts,
        standing=standing,
    )
