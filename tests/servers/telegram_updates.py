"""Updates as Telegram makes them: every field that it always sends is there."""

import re
import time
from typing import Any

from tests.servers.telegram_bot import Bot, Chat, Json, Logged

MARKS = (("bot_command", re.compile(r"(?:(?<=\s)|^)/\w+(?:@\w+)?")), ("mention", re.compile(r"(?<!\w)@\w{4,}")))
RIGHTS = (
    "can_be_edited", "is_anonymous", "can_manage_chat", "can_delete_messages", "can_manage_video_chats",
    "can_restrict_members", "can_promote_members", "can_change_info", "can_invite_users", "can_post_stories",
    "can_edit_stories", "can_delete_stories", "can_pin_messages",
)  # fmt: skip
MAY = (
    "can_send_messages", "can_send_audios", "can_send_documents", "can_send_photos", "can_send_videos",
    "can_send_video_notes", "can_send_voice_notes", "can_send_polls", "can_send_other_messages",
    "can_add_web_page_previews", "can_change_info", "can_invite_users", "can_pin_messages", "can_manage_topics",
    "can_react_to_messages", "can_edit_tag",
)  # fmt: skip


def person(user: int | Json) -> Json:
    """A user: an id alone gets a name."""
    if isinstance(user, int):
        user = {"id": user, "first_name": f"Dân {user}"}
    return {"is_bot": False, "first_name": "Dân", "language_code": "vi"} | user


def entities(text: str) -> list[Json]:
    """What Telegram itself marks in what a person types: commands and mentions, in UTF-16 units."""
    found = [
        {"type": kind, "offset": _units(text[: mark.start()]), "length": _units(mark[0])}
        for kind, pattern in MARKS
        for mark in pattern.finditer(text)
    ]
    return sorted(found, key=lambda entity: int(entity["offset"]))


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def message(chat: Chat, user: Json, **content: Any) -> Json:
    """A message by a person, logged in the chat like one by the bot."""
    made: Json = {"message_id": chat.next_id(), "from": user, "chat": chat.shown(), "date": int(time.time())} | content
    chat.log[made["message_id"]] = Logged(made, "", time.time())
    return made


def said(chat: Chat, user: Json, text: str, **content: Any) -> Json:
    """A text, or a caption when the message has a file."""
    has_file = any(kind in content for kind in ("photo", "document", "voice"))
    name, marks = ("caption", "caption_entities") if has_file else ("text", "entities")
    found = entities(text)
    written = ({name: text} if text else {}) | ({marks: found} if found else {})
    return {"message": message(chat, user, **content, **written)}


def pressed(bot: Bot, chat: Chat, logged: Logged, user: Json, data: str, *, inaccessible: bool = False) -> Json:
    press_id = f"{bot.id}{len(bot.presses) + 1:010}"
    shown = {"chat": chat.shown(), "message_id": logged.message["message_id"], "date": 0}
    query = {
        "id": press_id,
        "from": user,
        "message": shown if inaccessible else logged.message,
        "chat_instance": str(abs(chat.id) * 31),
        "data": data,
    }
    bot.presses[press_id] = {"chat": chat.id, "user": user["id"], "data": data}
    return {"callback_query": query}


def standing(bot: Bot, chat: Chat, user: Json, old: Json, new: Json) -> Json:
    change = {"chat": chat.shown(), "from": user, "date": int(time.time())}
    return {"my_chat_member": change | {"old_chat_member": old, "new_chat_member": new}}


def member(bot: Bot, chat: Chat) -> Json:
    """How the bot stands in the chat, as a ChatMember."""
    shown: Json = {"user": bot.shown(), "status": chat.standing}
    if chat.standing == "administrator":
        return shown | dict.fromkeys(RIGHTS, True)
    if chat.standing == "restricted":
        return shown | dict.fromkeys(MAY, chat.can_write) | {"is_member": True, "until_date": 0}
    return shown | ({"until_date": 0} if chat.standing == "kicked" else {})
