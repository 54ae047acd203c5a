"""Say in our words what Telegram's errors tell about a send. Classes as of python-telegram-bot 22.8, 2026-11-21."""

from datetime import timedelta

from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    EndPointNotFound,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)

from adapters.contract import (
    AdapterBroken,
    ChatGone,
    ChatMoved,
    NoRightToWrite,
    NotSent,
    OutcomeUnknown,
    Rejected,
    SendFailure,
    Throttled,
)
from adapters.http import NeverLeft

# Telegram tells these apart in words alone; it never documented the words.
NO_RIGHT = (
    "not enough rights",
    "have no rights",
    "need administrator rights",
    "chat_write_forbidden",
    "chat_admin_required",
    "chat_restricted",
    "chat_send_",  # CHAT_SEND_PLAIN_FORBIDDEN, CHAT_SEND_PHOTOS_FORBIDDEN, …
    "topic_closed",
    "topic closed",
)
GONE = (
    "chat not found",
    "peer_id_invalid",
    "channel_private",
    "group chat was deactivated",
    "chat was deleted",
    "user is deactivated",
    "input_user_deactivated",
)
NOT_MODIFIED = "message is not modified"
NOTHING_TO_DELETE = "message to delete not found"
LONGEST_REASON = 200


def failure(error: TelegramError) -> SendFailure:
    """What is known about the send. BadRequest is a NetworkError, so its turn comes first."""
    reason = error.message[:LONGEST_REASON]
    match error:
        case RetryAfter(retry_after=wait):
            return Throttled(wait if isinstance(wait, timedelta) else timedelta(seconds=wait), reason)
        case ChatMigrated(new_chat_id=new):
            return ChatMoved(str(new), reason)
        case InvalidToken() | EndPointNotFound() | Forbidden() | BadRequest() if _is_from_elsewhere(error):
            # Refused without the Bot API's JSON: by something in between, which knows neither the token nor the chat.
            return NotSent(reason)
        case InvalidToken() | EndPointNotFound():  # 401 and 404
            return AdapterBroken(reason)
        case Forbidden():
            return NoRightToWrite(reason) if _tells(error, NO_RIGHT) else ChatGone(reason)
        case BadRequest() if _tells(error, NO_RIGHT):
            return NoRightToWrite(reason)
        case BadRequest() if _tells(error, GONE):
            return ChatGone(reason)
        case BadRequest():
            return Rejected(reason)
        case NetworkError() if isinstance(error.__cause__, NeverLeft):
            return NotSent(reason)
        case NetworkError() if "Too Many Requests" in error.message:  # 429 without parameters
            return Throttled(None, reason)
        case NetworkError() if "Request Entity Too Large" in error.message:  # 413
            return Rejected(reason)
        case Conflict():  # 409: another program has this bot; what it refused was not done
            return NotSent(reason)
        case _:  # 5xx, time-outs, cut answers, and a 200 whose body cannot be read
            return OutcomeUnknown(reason)


def _is_from_elsewhere(error: TelegramError) -> bool:
    """The library raises from its failure to read the answer; over a 401 or 404 it raises a second time."""
    first = error.__cause__ if isinstance(error.__cause__, InvalidToken) else error
    return isinstance(first.__cause__, TelegramError)


def _tells(error: TelegramError, marks: tuple[str, ...]) -> bool:
    said = error.message.casefold()
    return any(mark in said for mark in marks)
