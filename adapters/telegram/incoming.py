"""What Telegram tells us, in our words. Pure: JSON in, events out. Field names: core.telegram.org/bots/api#update."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, cast

from telegram import CallbackQuery, Chat, ChatMemberUpdated, Message, Update, User
from telegram.constants import ChatMemberStatus, ChatType

from adapters.contract import (
    ButtonPressed,
    ChatKind,
    ChatMovedTo,
    ChatRef,
    Event,
    FileKind,
    FileRef,
    MessageReceived,
    RawEvent,
    Sender,
    Standing,
    StandingChanged,
)
from adapters.text import clean

FOLLOWED = ("message", "callback_query", "my_chat_member")
"""The kinds of update we ask for (`allowed_updates`), and all that we read."""
COMMAND = re.compile(r"/(?P<name>[A-Za-z0-9_]{1,64})(?:@(?P<whose>\w+))?(?=\s|$)")
GROUPS = {ChatType.GROUP, ChatType.SUPERGROUP}
MIGRATIONS = ("migrate_to_chat_id", "migrate_from_chat_id")
UNREAD_KINDS = (
    "animation", "audio", "contact", "dice", "location", "paid_media", "poll", "sticker", "story", "venue", "video",
    "video_note",
)  # fmt: skip
"""Sent by a person, but nothing that we can take. In private it still wants an answer."""
STANDING = {
    ChatMemberStatus.OWNER: Standing.ADMIN,
    ChatMemberStatus.ADMINISTRATOR: Standing.ADMIN,
    ChatMemberStatus.MEMBER: Standing.MEMBER,
    ChatMemberStatus.LEFT: Standing.GONE,
    ChatMemberStatus.BANNED: Standing.GONE,
}

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ourselves:
    """What we know about ourselves: the id from the token at once, the handle once Telegram has told."""

    id: int | None = None
    handle: str = ""

    def is_called(self, handle: str) -> bool:
        return bool(self.handle) and handle.casefold() == self.handle.casefold()

    def wrote(self, message: Json) -> bool:
        """Whether this raw message may be ours: while we do not know who we are, that of any bot."""
        author = message.get("from") or {}
        if not author.get("is_bot"):
            return False
        known = self.id is not None or bool(self.handle)
        return not known or author.get("id") == self.id or self.is_called(author.get("username") or "")


# ---------------------------------------------------------------- before it is understood


def identify(body: bytes, me: Ourselves) -> list[RawEvent]:
    """The one event of a request, or none when it is not meant for us. What cannot be read is kept for a person."""
    try:
        update, event_id = _read(body)
    except (ValueError, TypeError, LookupError, RecursionError):
        return [RawEvent(f"sha256:{sha256(body).hexdigest()}", "", body)]
    try:
        wanted, chat = _peek(update, me)
    except (TypeError, LookupError, AttributeError):
        wanted, chat = True, ""
    return [RawEvent(event_id, chat, body)] if wanted else []


def _read(body: bytes) -> tuple[Json, str]:
    update = json.loads(body)
    return update, str(_whole(update["update_id"]))


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not a whole number")
    return value


def _peek(update: Json, me: Ourselves) -> tuple[bool, str]:
    """Whether to keep the update, and its chat."""
    kind = next((kind for kind in FOLLOWED if kind in update), "")
    if not kind:
        return False, ""
    content = update[kind]
    message = content.get("message") or {} if kind == "callback_query" else content
    chat = message["chat"] if message else {}
    if chat.get("type") == ChatType.CHANNEL:
        return False, ""
    wanted = kind != "message" or chat["type"] == ChatType.PRIVATE or _is_for_us(message, me)
    return wanted, str(chat.get("id", ""))


def _is_for_us(message: Json, me: Ourselves) -> bool:
    """Whether group text may be kept: a command that can be ours, a mention, a reply to us, or a move of the group."""
    if any(message.get(field) for field in MIGRATIONS):
        return True
    return not _is_by_a_bot(message) and _is_addressed(message, me)


def _is_addressed(message: Json, me: Ourselves) -> bool:
    text = message.get("text") or message.get("caption") or ""
    if command := COMMAND.match(text.lstrip()):
        return not command["whose"] or not me.handle or me.is_called(command["whose"])
    if any(me.is_called(name) for name in _mentions(text, message)):
        return True
    replied = message.get("reply_to_message") or {}
    # In a forum everything replies to the message that opened the topic.
    return bool(replied) and "forum_topic_created" not in replied and me.wrote(replied)


def _mentions(text: str, message: Json) -> list[str]:
    entities = message.get("entities") or message.get("caption_entities") or ()
    found = [(entity["offset"], entity["length"]) for entity in entities if entity["type"] == "mention"]
    units = text.encode("utf-16-le", "surrogatepass") if found else b""
    return [
        units[2 * offset + 2 : 2 * (offset + length)].decode("utf-16-le", "replace")  # without the @
        for offset, length in found
    ]


def _is_by_a_bot(message: Json) -> bool:
    # An anonymous admin writes through a bot of Telegram's, in the name of `sender_chat`.
    return bool((message.get("from") or {}).get("is_bot")) and "sender_chat" not in message


# ---------------------------------------------------------------- understood


def parse(body: bytes, me: Ourselves, clock: Callable[[], datetime]) -> list[Event]:
    """What happened. Raises ValueError for a body that is no update."""
    try:
        raw, event_id = _read(body)
        return _events(event_id, Update.de_json(dict(raw)), raw, me, clock)
    except Exception as error:
        # The library raises KeyError, TypeError, OverflowError and more for what it did not expect (measured).
        raise ValueError(f"not an update of Telegram: {type(error).__name__}") from error


def _events(event_id: str, update: Update, raw: Json, me: Ourselves, clock: Callable[[], datetime]) -> list[Event]:
    if update.message is not None:
        _whole(raw["message"]["date"])  # the library makes do without
        return _message(event_id, update.message, raw["message"], me)
    if update.callback_query is not None:
        return _press(event_id, update.callback_query, clock())
    if update.my_chat_member is not None:
        _whole(raw["my_chat_member"]["date"])
        return _standing(event_id, update.my_chat_member)
    return []


def _message(event_id: str, message: Message, raw: Json, me: Ourselves) -> list[Event]:
    chat = _chat(message.chat)
    if chat is None:
        return []
    if message.migrate_to_chat_id:
        return [_moved(event_id, message, old=message.chat.id, new=message.migrate_to_chat_id)]
    if message.migrate_from_chat_id:
        return [_moved(event_id, message, old=message.migrate_from_chat_id, new=message.chat.id)]
    text = message.text or message.caption or ""
    files = _files(message)
    is_private = chat.kind is ChatKind.PRIVATE
    says_something = text or files or (is_private and any(kind in raw for kind in UNREAD_KINDS))
    if not says_something or _is_by_a_bot(raw):
        return []
    replied = message.reply_to_message
    return [
        MessageReceived(
            event_id=event_id,
            chat=chat,
            sender=_sender(message),
            message_id=str(message.message_id),
            text=_without_us(clean(text), me),
            at=message.date,
            reply_to=str(replied.message_id) if replied and not replied.forum_topic_created else None,
            addressed=is_private or _is_addressed(raw, me),
            files=files,
        )
    ]


def _without_us(text: str, me: Ourselves) -> str:
    """Cut a leading mention of ourselves, then our name behind a command."""
    mention = re.match(r"@(\w+)[\s,:]*", text)
    if mention and me.is_called(mention[1]):
        text = text[mention.end() :]
    command = COMMAND.match(text)
    if command and command["whose"] and (not me.handle or me.is_called(command["whose"])):
        text = f"/{command['name']}{text[command.end() :]}"
    return text


def _moved(event_id: str, message: Message, *, old: int, new: int) -> ChatMovedTo:
    chat = ChatRef(str(old), ChatKind.GROUP, clean(message.chat.title or ""))
    return ChatMovedTo(event_id=event_id, chat=chat, new_id=str(new), at=message.date)


def _press(event_id: str, query: CallbackQuery, now: datetime) -> list[Event]:
    """An old message comes without its content, but with its chat and id. Telegram does not say when it was pressed."""
    chat = _chat(query.message.chat) if query.message else None
    if chat is None or query.message is None or not query.data:
        return []
    return [
        ButtonPressed(
            event_id=event_id,
            chat=chat,
            sender=_person(query.from_user),
            message_id=str(query.message.message_id),
            token=clean(query.data),
            press_id=query.id,
            at=now,
        )
    ]


def _standing(event_id: str, change: ChatMemberUpdated) -> list[Event]:
    chat, member = _chat(change.chat), change.new_chat_member
    if member.status == ChatMemberStatus.RESTRICTED:
        # The library gives each status a class of its own; its types only know the common part.
        restricted = cast("Any", member)
        standing = Standing.MEMBER if restricted.can_send_messages else Standing.MUTED
        standing = standing if restricted.is_member else Standing.GONE
    elif member.status in STANDING:
        standing = STANDING[ChatMemberStatus(member.status)]
    else:
        return []
    if chat is None:
        return []
    return [
        StandingChanged(
            event_id=event_id, chat=chat, sender=_person(change.from_user), standing=standing, at=change.date
        )
    ]


def _chat(chat: Chat) -> ChatRef | None:
    """None for a channel and for kinds that come later. A private chat has no title: it would be the person's name."""
    if chat.type == ChatType.PRIVATE:
        return ChatRef(str(chat.id), ChatKind.PRIVATE)
    return ChatRef(str(chat.id), ChatKind.GROUP, clean(chat.title or "")) if chat.type in GROUPS else None


def _sender(message: Message) -> Sender:
    """Who wrote. An anonymous admin is the group itself, so that nobody's role is taken for theirs."""
    if message.sender_chat is not None:
        return Sender(str(message.sender_chat.id), clean(message.sender_chat.title or ""))
    if message.from_user is None:
        raise ValueError("a message without an author")
    return _person(message.from_user)


def _person(user: User) -> Sender:
    return Sender(str(user.id), clean(user.full_name))


def _files(message: Message) -> tuple[FileRef, ...]:
    if message.photo:
        largest = max(message.photo, key=lambda size: size.width * size.height)
        return (FileRef(largest.file_id, FileKind.PHOTO, "", "image/jpeg", largest.file_size or 0),)
    if message.voice:
        media_type = message.voice.mime_type or "audio/ogg"
        return (FileRef(message.voice.file_id, FileKind.VOICE, "", media_type, message.voice.file_size or 0),)
    if message.document and not message.animation:
        document = message.document
        media_type = document.mime_type or "application/octet-stream"
        name = clean(document.file_name or "")
        return (FileRef(document.file_id, FileKind.DOCUMENT, name, media_type, document.file_size or 0),)
    return ()
