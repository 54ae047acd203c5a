"""A message as it is kept in `content`: text, buttons, a file by its id. The sender turns it into a platform call."""

import json
from dataclasses import dataclass

from adapters.contract import Button, Buttons, FileKind
from adapters.text import Text, spans, text_of

ROW_MARK = "~"
"""Between a button's token and the outbox row that carried it."""


@dataclass(frozen=True, slots=True)
class FileUse:
    """A stored file in a message."""

    file_id: int
    kind: FileKind
    name: str
    media_type: str
    caption: str = ""
    """What stands beside it; not kept in a payload, where the message's text says it."""


@dataclass(frozen=True, slots=True)
class Message:
    text: Text = ()
    buttons: Buttons = ()
    file: FileUse | None = None


def to_payload(message: Message) -> str:
    """As JSON for `content.payload`."""
    data: dict[str, object] = {"text": spans(message.text)}
    if message.buttons:
        data["buttons"] = [[[b.label, b.token, b.url] for b in row] for row in message.buttons]
    if message.file:
        data["file"] = [message.file.file_id, message.file.kind.value, message.file.name, message.file.media_type]
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def of_payload(payload: str) -> Message:
    """The inverse of `to_payload`; '{}' is an empty message."""
    data = json.loads(payload)
    file = data.get("file")
    return Message(
        text_of(data.get("text", ())),
        tuple(tuple(Button(*button) for button in row) for row in data.get("buttons", ())),
        FileUse(file[0], FileKind(file[1]), file[2], file[3]) if file else None,
    )


def marked(buttons: Buttons, row_id: int) -> Buttons:
    """Every token names the outbox row that carries it: a press proves that this very row arrived."""
    return tuple(
        tuple(Button(b.label, f"{b.token}{ROW_MARK}{row_id:x}" if b.token else "", b.url) for b in row)
        for row in buttons
    )


def unmarked(token: str) -> tuple[str, int | None]:
    """The token as we made it, and the outbox row whose button was pressed."""
    bare, _, row = token.partition(ROW_MARK)
    try:
        return bare, int(row, 16) if row else None
    except ValueError:
        return bare, None
