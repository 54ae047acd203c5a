"""What browsers tell us, as the web chat's page writes it down: one JSON object a request.

Common to all: `id` (of the event), `room`, `title`, `from` (the sender) and `at` (ISO, with its zone). Then by `kind`:

* "message": `message`, `text`, and perhaps `reply_to`, `reply_to_us`, `files` as [{ref, kind, name, type, size}]
* "press": `message`, `token`, `press`
* "read": `messages`, posts of ours that were on the screen
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import regex

from adapters.contract import (
    ButtonPressed,
    ChatKind,
    ChatRef,
    Event,
    FileKind,
    FileRef,
    MessageReceived,
    RawEvent,
    ReceiptArrived,
    ReceiptKind,
    Sender,
)
from adapters.text import clean

NAME = "loa"
MENTION = regex.compile(rf"(?<![\w@])@{NAME}(?![\w@])", regex.IGNORECASE)
LEADING_MENTION = regex.compile(rf"\A@{NAME}(?![\w@])[\s:,]*", regex.IGNORECASE)
COMMAND_FOR_US = regex.compile(rf"\A(/\w+)@{NAME}(?![\w@])", regex.IGNORECASE)
GROUP, PRIVATE = "g:", "p:"
BROKEN = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What a body of another shape makes of the reading."""


def identify(body: bytes) -> list[RawEvent]:
    """The request as an event to keep; nothing for talk among residents. What cannot be read is kept whole."""
    try:
        data = _object(body)
        event_id, room = data["id"], data["room"]
        talk = data["kind"] == "message" and not _addressed(data)
    except BROKEN:
        return [RawEvent(sha256(body).hexdigest(), "", body)]
    return [] if talk else [RawEvent(str(event_id), str(room), body)]


def parse(body: bytes) -> Sequence[Event]:
    """What happened. Raises ValueError for a body that our page does not write."""
    try:
        data = _object(body)
        match data["kind"]:
            case "message":
                return [_message(data)]
            case "press":
                return [_press(data)]
            case "read":
                return _reads(data)
            case _:
                return []
    except BROKEN as error:
        raise ValueError("not as our page writes it") from error


def _message(data: Mapping[str, Any]) -> MessageReceived:
    text = COMMAND_FOR_US.sub(r"\1", LEADING_MENTION.sub("", clean(data["text"])))
    return MessageReceived(
        event_id=data["id"],
        chat=_chat(data),
        sender=Sender(data["from"]),
        message_id=data["message"],
        text=text,
        at=datetime.fromisoformat(data["at"]),
        reply_to=data.get("reply_to"),
        addressed=_addressed(data),
        files=tuple(
            FileRef(file["ref"], FileKind(file["kind"]), file["name"], file["type"], file["size"])
            for file in data.get("files", ())
        ),
    )


def _press(data: Mapping[str, Any]) -> ButtonPressed:
    return ButtonPressed(
        event_id=data["id"],
        chat=_chat(data),
        sender=Sender(data["from"]),
        message_id=data["message"],
        token=data["token"],
        press_id=data["press"],
        at=datetime.fromisoformat(data["at"]),
    )


def _reads(data: Mapping[str, Any]) -> list[Event]:
    at = datetime.fromisoformat(data["at"])
    return [
        ReceiptArrived(
            event_id=f"{data['id']}:{message}",
            chat=_chat(data),
            sender=Sender(data["from"]),
            message_id=message,
            kind=ReceiptKind.READ,
            at=at,
        )
        for message in data["messages"]
    ]


def _chat(data: Mapping[str, Any]) -> ChatRef:
    room = data["room"]
    if not room.startswith((GROUP, PRIVATE)):
        raise ValueError("no such kind of room")
    return ChatRef(room, ChatKind.PRIVATE if room.startswith(PRIVATE) else ChatKind.GROUP, data.get("title", ""))


def _addressed(data: Mapping[str, Any]) -> bool:
    """A private room, a command, a mention, or a reply to one of our messages."""
    if data["room"].startswith(PRIVATE) or data.get("reply_to_us"):
        return True
    text = clean(data["text"])
    return text.startswith("/") or MENTION.search(text) is not None


def _object(body: bytes) -> dict[str, Any]:
    data = json.loads(body)
    if not isinstance(data, dict):
        raise TypeError("no JSON object")
    return data
