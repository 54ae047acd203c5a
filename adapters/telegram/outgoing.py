"""What we say, as parameters of the Bot API. Pure.

Formatting goes as entities, never as `parse_mode`: no character of a notice can then be taken for markup
(https://core.telegram.org/bots/api#messageentity, 2026-11-21).
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from telegram import InputFile

from adapters.contract import Button, Buttons, ChatKind, Command, FileKind, Outbound, OutFile
from adapters.text import Span, Style, Text, joined, width

Parameters = dict[str, Any]

STYLES = {Style.BOLD: "bold", Style.ITALIC: "italic", Style.CODE: "code"}
FIELDS = {FileKind.PHOTO: "photo", FileKind.DOCUMENT: "document", FileKind.VOICE: "voice"}
METHODS = {FileKind.PHOTO: "sendPhoto", FileKind.DOCUMENT: "sendDocument", FileKind.VOICE: "sendVoice"}
SCOPES = {ChatKind.PRIVATE: "all_private_chats", ChatKind.GROUP: "all_group_chats"}
LANGUAGES = ("", "vi")
"""The list for everybody, and again for phones set to Vietnamese, which prefer a list of their language."""
NO_PREVIEW = json.dumps({"is_disabled": True})


def post(message: Outbound, *, upload: bool = True) -> tuple[str, Parameters]:
    """Method and parameters of a send. A file goes by its `ref` where it has one and `upload` is False."""
    common: Parameters = {"chat_id": message.chat.id}
    if message.reply_to and message.reply_to.isdecimal():
        # https://core.telegram.org/bots/api#replyparameters: the notice matters more than what it answers.
        common["reply_parameters"] = _json({"message_id": int(message.reply_to), "allow_sending_without_reply": True})
    if message.silent:
        common["disable_notification"] = True
    if message.file is None:
        return "sendMessage", common | _text(message)
    content = _upload(message.file) if upload or not message.file.ref else message.file.ref
    return METHODS[message.file.kind], common | {FIELDS[message.file.kind]: content} | _caption(message)


def edit(message_id: str, message: Outbound) -> tuple[str, Parameters]:
    """Method and parameters that make a sent message look like `message`; without any text its buttons alone."""
    common: Parameters = {"chat_id": message.chat.id, "message_id": message_id}
    if not message.text:
        return "editMessageReplyMarkup", common | _markup(message.buttons)
    if message.file is None:
        return "editMessageText", common | _text(message)
    return "editMessageCaption", common | _caption(message)


def command_lists(commands: Sequence[Command]) -> Iterator[Parameters]:
    """Parameters of `setMyCommands`, one for each audience that has commands, and language."""
    for audience, scope in SCOPES.items():
        shown = [
            {"command": command.name.removeprefix("/"), "description": command.description[:256]}
            for command in commands
            if command.audience is audience
        ]
        for language in LANGUAGES if shown else ():
            yield {"commands": _json(shown), "scope": _json({"type": scope}), "language_code": language or None}


def sent_file(kind: FileKind, result: Parameters) -> str:
    """The name by which Telegram sends the same file again; '' when it took the file for another kind."""
    found = result.get(FIELDS[kind])
    if kind is FileKind.PHOTO and found:
        found = max(found, key=lambda size: size["width"] * size["height"])
    return str(found["file_id"]) if found else ""


def _text(message: Outbound) -> Parameters:
    return {
        "text": joined(message.text),
        "entities": _entities(message.text),
        "link_preview_options": NO_PREVIEW,
    } | _markup(message.buttons)


def _caption(message: Outbound) -> Parameters:
    parameters = _markup(message.buttons)
    if message.text:
        parameters |= {"caption": joined(message.text), "caption_entities": _entities(message.text)}
        if message.file is not None and message.file.kind is FileKind.PHOTO:
            # A notice is read before its picture is looked at.
            parameters["show_caption_above_media"] = True
    return parameters


def _entities(text: Text) -> str | None:
    """Offsets and lengths in UTF-16 units; None when nothing is formatted."""
    found: list[Parameters] = []
    offset = 0
    for span in text:
        length = width(span.text)
        found += [{"offset": offset, "length": length} | mark for mark in _marks(span)]
        offset += length
    return _json(found) if found else None


def _marks(span: Span) -> Iterator[Parameters]:
    if not span.text.strip():
        return
    if span.style in STYLES:
        yield {"type": STYLES[span.style]}
    if span.url:
        yield {"type": "text_link", "url": span.url}


def _markup(buttons: Buttons) -> Parameters:
    """No buttons, no parameter: in an edit that takes them away."""
    rows = [[_button(button) for button in row] for row in buttons if row]
    return {"reply_markup": _json({"inline_keyboard": rows})} if rows else {}


def _button(button: Button) -> Parameters:
    action = {"url": button.url} if button.url else {"callback_data": button.token}
    return {"text": button.label} | action


def _upload(file: OutFile) -> InputFile:
    upload = InputFile(file.content, filename=re.sub(r"[\x00-\x1f\x7f/\\\"]+", "_", file.name) or "tep")
    upload.mimetype = file.media_type
    return upload


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
