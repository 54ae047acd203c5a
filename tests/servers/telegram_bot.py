"""One bot's side of the Bot API, kept in memory: chats, messages, files, and the methods that touch them.

Shapes and words of refusals follow https://core.telegram.org/bots/api (2026-11-21).
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.servers.telegram_limits import Limiter

Json = dict[str, Any]

TEXT, CAPTION, CALLBACK = 4096, 1024, 64
GROUPS = {"group", "supergroup"}
PRESENT = {"member", "administrator", "creator", "restricted"}
KINDS = {"sendphoto": "photo", "senddocument": "document", "sendvoice": "voice"}


class Refusal(Exception):
    """An answer with `ok: false`."""

    def __init__(self, status: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.status = status
        self.body: Json = {"ok": False, "error_code": status, "description": description}
        if parameters:
            self.body["parameters"] = parameters


def bad(description: str, **parameters: Any) -> Refusal:
    return Refusal(400, f"Bad Request: {description}", **parameters)


@dataclass
class Upload:
    name: str
    media_type: str
    content: bytes


@dataclass
class Stored:
    """A file that the messenger holds."""

    file_id: str
    kind: str
    upload: Upload

    @property
    def path(self) -> str:
        return f"{self.kind}s/{self.file_id}"


@dataclass
class Logged:
    """A message and what became of it."""

    message: Json
    method: str
    at: float
    edits: list[Json] = field(default_factory=list)
    deleted: bool = False
    pinned: bool = False


@dataclass
class Chat:
    id: int
    type: str
    title: str = ""
    members: int = 2
    """With the bot."""
    standing: str = "member"
    can_write: bool = True
    moved_to: int | None = None
    log: dict[int, Logged] = field(default_factory=dict)
    last_id: int = 0
    user: Json | None = None

    def shown(self) -> Json:
        if self.user is not None:
            names: Json = {key: self.user[key] for key in ("first_name", "last_name", "username") if key in self.user}
            return {"id": self.id, "type": self.type} | names
        return {"id": self.id, "type": self.type, "title": self.title}

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id


@dataclass
class Call:
    """One request, as a method sees it."""

    method: str
    """Lower case."""
    parameters: Mapping[str, Any]
    uploads: Mapping[str, Upload]

    def text(self, name: str) -> str:
        value = self.parameters.get(name)
        return "" if value is None else str(value)

    def number(self, name: str) -> int:
        try:
            return int(self.text(name))
        except ValueError:
            raise bad(f"{name} is not a number") from None

    def flag(self, name: str) -> bool:
        return self.text(name).lower() in {"true", "1"}

    def data(self, name: str) -> Any:
        """A parameter that is JSON: as text in a form, as it is in a JSON body."""
        value = self.parameters.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise bad(f"can't parse {name} JSON object") from None


class Bot:
    """One token's world. Any other token has another."""

    def __init__(self, token: str, *, tolerance: float = 0.0, invents_chats: bool = False) -> None:
        self.token = token
        self.id = int(token.partition(":")[0])
        self.username = f"stub{self.id}_bot"
        self.name = "Loa Bản"
        self.revoked = False
        self.limiter = Limiter(tolerance=tolerance)
        self.invents_chats = invents_chats
        self.chats: dict[int, Chat] = {}
        self.files: dict[str, Stored] = {}
        self.webhook: Json = {"url": ""}
        self.commands: dict[tuple[str, str], list[Json]] = {}
        self.presses: dict[str, Json] = {}
        """By press id; `answer` is added when the bot answers."""
        self.last_update = 700_000_000
        self.updates: dict[int, Json] = {}

    # ------------------------------------------------------------ people and things

    def shown(self) -> Json:
        return {"id": self.id, "is_bot": True, "first_name": self.name, "username": self.username}

    def find(self, chat_id: int) -> Chat | None:
        if chat_id not in self.chats and self.invents_chats:
            kind = "private" if chat_id > 0 else "supergroup" if chat_id < -1_000_000_000_000 else "group"
            user = {"id": chat_id, "is_bot": False, "first_name": f"Dân {chat_id}"} if chat_id > 0 else None
            self.chats[chat_id] = Chat(chat_id, kind, f"Nhóm {chat_id}", user=user)
        return self.chats.get(chat_id)

    def chat(self, call: Call) -> Chat:
        """The chat that a call names, if the bot is in it."""
        if not call.text("chat_id"):
            raise bad("chat_id is empty")
        chat = self.find(call.number("chat_id"))
        if chat is None:
            raise bad("chat not found")
        if chat.moved_to is not None:
            raise bad("group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.moved_to)
        if chat.standing not in PRESENT:
            if chat.type == "private":
                raise Refusal(403, "Forbidden: bot was blocked by the user")
            raise Refusal(403, f"Forbidden: bot was kicked from the {chat.type} chat")
        return chat

    def keep(self, kind: str, upload: Upload) -> Stored:
        stored = Stored(f"{kind}_{self.id}_{len(self.files) + 1}", kind, upload)
        self.files[stored.file_id] = stored
        return stored

    def described(self, stored: Stored) -> Json:
        """The part of a message that speaks of its file."""
        size, unique = len(stored.upload.content), f"u{stored.file_id}"
        ids = {"file_id": stored.file_id, "file_unique_id": unique, "file_size": size}
        if stored.kind == "photo":
            small = {"file_id": f"{stored.file_id}_small", "file_unique_id": f"{unique}s", "file_size": size // 4}
            return {"photo": [small | {"width": 90, "height": 67}, ids | {"width": 1280, "height": 960}]}
        described = ids | {"mime_type": stored.upload.media_type}
        if stored.kind == "voice":
            return {"voice": described | {"duration": 7}}
        return {"document": described | {"file_name": stored.upload.name}}

    # ------------------------------------------------------------ the API

    def run(self, call: Call) -> Any:
        """The result of a call. Raises Refusal."""
        action = getattr(self, f"api_{call.method}", None)
        if action is None:
            raise Refusal(404, "Not Found: method not found")
        return action(call)

    def api_getme(self, call: Call) -> Json:
        return self.shown() | {
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }

    def api_sendmessage(self, call: Call) -> Json:
        return self._sent(call, self._written(call, "text", "entities", TEXT, required=True))

    def api_sendphoto(self, call: Call) -> Json:
        kind = KINDS[call.method]
        stored = self._file(call, kind)
        content = self._written(call, "caption", "caption_entities", CAPTION) | self.described(stored)
        if content.get("caption") and call.flag("show_caption_above_media"):
            content["show_caption_above_media"] = True
        return self._sent(call, content)

    api_senddocument = api_sendvoice = api_sendphoto

    def api_editmessagetext(self, call: Call) -> Json:
        logged = self._own(call, "edit")
        if "text" not in logged.message:
            raise bad("there is no text in the message to edit")
        return self._edited(call, logged, self._written(call, "text", "entities", TEXT, required=True))

    def api_editmessagecaption(self, call: Call) -> Json:
        logged = self._own(call, "edit")
        if not any(kind in logged.message for kind in KINDS.values()):
            raise bad("there is no caption in the message to edit")
        return self._edited(call, logged, self._written(call, "caption", "caption_entities", CAPTION))

    def api_editmessagereplymarkup(self, call: Call) -> Json:
        logged = self._own(call, "edit")
        kept = ("text", "entities", "caption", "caption_entities")
        return self._edited(call, logged, {key: logged.message[key] for key in kept if key in logged.message})

    def api_deletemessage(self, call: Call) -> bool:
        self._own(call, "delete").deleted = True
        return True

    def api_pinchatmessage(self, call: Call) -> bool:
        chat = self.chat(call)
        if chat.type != "private" and chat.standing != "administrator":
            raise bad("not enough rights to manage pinned messages in the chat")
        self._own(call, "pin").pinned = True
        return True

    def api_answercallbackquery(self, call: Call) -> bool:
        press = self.presses.get(call.text("callback_query_id"))
        if press is None:
            raise bad("query is too old and response timeout expired or query ID is invalid")
        if len(call.text("text")) > 200:
            raise bad("MESSAGE_TOO_LONG")
        press["answer"] = {"text": call.text("text"), "show_alert": call.flag("show_alert")}
        return True

    def api_getchatmembercount(self, call: Call) -> int:
        return self.chat(call).members

    def api_getchat(self, call: Call) -> Json:
        return self.chat(call).shown() | {"accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": {}}

    def api_leavechat(self, call: Call) -> bool:
        self.chat(call).standing = "left"
        return True

    def api_getfile(self, call: Call) -> Json:
        stored = self.files.get(call.text("file_id").removesuffix("_small"))
        if stored is None:
            raise bad("invalid file_id")
        if len(stored.upload.content) > 20 << 20:
            raise bad("file is too big")
        ids = {"file_id": stored.file_id, "file_unique_id": f"u{stored.file_id}"}
        return ids | {"file_size": len(stored.upload.content), "file_path": stored.path}

    def api_setwebhook(self, call: Call) -> bool:
        secret = call.text("secret_token")
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", secret):
            raise bad("secret token contains unallowed characters")
        allowed, connections = call.data("allowed_updates") or [], int(call.text("max_connections") or 40)
        self.webhook = {
            "url": call.text("url"), "secret": secret, "allowed_updates": allowed, "max_connections": connections,
        }  # fmt: skip
        return True

    def api_deletewebhook(self, call: Call) -> bool:
        self.webhook = {"url": ""}
        return True

    def api_getwebhookinfo(self, call: Call) -> Json:
        shown = {key: value for key, value in self.webhook.items() if key != "secret"}
        return shown | {"has_custom_certificate": False, "pending_update_count": 0}

    def api_setmycommands(self, call: Call) -> bool:
        commands = call.data("commands")
        for command in commands:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", command["command"]) or not 1 <= len(command["description"]) <= 256:
                raise bad("BOT_COMMAND_INVALID")
        self.commands[self._scope(call)] = commands
        return True

    def api_getmycommands(self, call: Call) -> list[Json]:
        return self.commands.get(self._scope(call), [])

    def api_deletemycommands(self, call: Call) -> bool:
        self.commands.pop(self._scope(call), None)
        return True

    # ------------------------------------------------------------ parts of them

    def _scope(self, call: Call) -> tuple[str, str]:
        return (call.data("scope") or {"type": "default"})["type"], call.text("language_code")

    def _written(self, call: Call, name: str, entities: str, limit: int, *, required: bool = False) -> Json:
        if call.text("parse_mode"):
            raise bad("this server reads entities, no parse_mode")
        text = call.text(name).strip()
        if required and not text:
            raise bad("message text is empty")
        units = len(text.encode("utf-16-le")) // 2
        if units > limit:
            raise bad("message is too long" if name == "text" else "message caption is too long")
        found = call.data(entities) or []
        for entity in found:
            if entity["offset"] < 0 or entity["length"] <= 0 or entity["offset"] + entity["length"] > units:
                raise bad("can't parse entities: entity is out of the text")
        return ({name: text} if text else {}) | ({entities: found} if found else {})

    def _file(self, call: Call, kind: str) -> Stored:
        if kind in call.uploads:
            return self.keep(kind, call.uploads[kind])
        wanted = call.text(kind)
        stored = self.files.get(wanted)
        if not wanted:
            raise bad(f"there is no {kind} in the request")
        if stored is None:
            raise bad("wrong remote file identifier specified: wrong padding in the string")
        if stored.kind != kind:
            raise bad(f"can't use file of type {stored.kind.title()} as {kind.title()}")
        return stored

    def _buttons(self, call: Call) -> Json:
        markup = call.data("reply_markup")
        if not markup or not markup.get("inline_keyboard"):
            return {}
        for button in (button for row in markup["inline_keyboard"] for button in row):
            if not button.get("text"):
                raise bad("text buttons are unallowed in the inline keyboard")
            if "url" in button and not re.match(r"(https?|tg)://\S+", button["url"]):
                raise bad("BUTTON_URL_INVALID")
            if "url" not in button and not 1 <= len(button.get("callback_data", "").encode()) <= CALLBACK:
                raise bad("BUTTON_DATA_INVALID")
        return {"reply_markup": markup}

    def _sent(self, call: Call, content: Json) -> Json:
        chat = self.chat(call)
        if not chat.can_write:
            raise bad("not enough rights to send text messages to the chat")
        buttons, replied = self._buttons(call), self._replied(call, chat)
        head: Json = {"message_id": chat.next_id(), "from": self.shown(), "chat": chat.shown()}
        message = head | {"date": int(time.time())} | replied | content | buttons
        chat.log[message["message_id"]] = Logged(message, call.method, time.time())
        return message

    def _replied(self, call: Call, chat: Chat) -> Json:
        wanted = call.data("reply_parameters")
        if not wanted:
            return {}
        found = chat.log.get(wanted["message_id"])
        if found is None or found.deleted:
            if wanted.get("allow_sending_without_reply"):
                return {}
            raise bad("message to be replied not found")
        return {"reply_to_message": {key: value for key, value in found.message.items() if key != "reply_to_message"}}

    def _own(self, call: Call, verb: str) -> Logged:
        chat = self.chat(call)
        logged = chat.log.get(call.number("message_id"))
        if logged is None or logged.deleted:
            raise bad(f"message to {verb} not found")
        if verb == "edit" and logged.message["from"]["id"] != self.id:
            raise bad("message can't be edited")
        return logged

    def _edited(self, call: Call, logged: Logged, content: Json) -> Json:
        changed = content | self._buttons(call)
        replaced = ("text", "entities", "caption", "caption_entities", "reply_markup")
        if changed == {key: logged.message[key] for key in replaced if key in logged.message}:
            raise bad(
                "message is not modified: specified new message content and reply markup are exactly the same as a "
                "current content and reply markup of the message"
            )
        rest = {key: value for key, value in logged.message.items() if key not in replaced}
        logged.message = rest | changed | {"edit_date": int(time.time())}
        logged.edits.append({"at": time.time(), "method": call.method, **changed})
        return logged.message
