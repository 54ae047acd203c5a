"""What a test may do to the stand-in: everything that people, admins and bad days do to a bot.

Each public coroutine is `POST /_stub/<name>` with its arguments as JSON, and may be awaited in process. `bot` is a
bot's id; without it the first one is meant.
"""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.servers import telegram_updates as updates
from tests.servers.telegram_bot import GROUPS, Bot, Chat, Json, Upload
from tests.servers.telegram_limits import busiest

FIRST_GROUP = -1_001_000_000_000


@dataclass
class Fault:
    """Something that goes wrong, for the next `times` calls that match; -1 is for ever."""

    method: str = ""
    """Beginning of the method's name, any case; '' is every method."""
    chat: int | None = None
    after: int = 0
    """So many matching calls pass first."""
    times: int = 1
    status: int = 0
    """Answer this instead; 0 answers as usual."""
    description: str = ""
    retry_after: int | None = None
    migrate_to: int | None = None
    html: bool = False
    """The answer is a page, as a gateway between would give it."""
    record: bool = False
    """Do what was asked all the same."""
    delay_ms: int = 0
    """Answer late; what was asked is done before."""
    cut: str = ""
    """Close the connection: `before` anything is done, `after` it, or `half` through the answer."""
    garbage: bool = False
    """Do it, and answer 200 with something that is no JSON."""

    def takes(self, method: str, chat: int | None) -> bool:
        """Whether it strikes this call; counts down."""
        if not method.startswith(self.method.lower()) or self.chat not in (None, chat) or self.times == 0:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Arrival:
    """One call of the Bot API."""

    at: float
    bot: int
    method: str
    chat: int | None
    outcome: str = ""
    """`ok`, `throttled`, `fault` or `refused 400`."""


Deliver = Callable[[str, bytes, dict[str, str]], Awaitable[int]]


class Control:
    def __init__(self, bots: dict[str, Bot], deliver: Deliver, *, limits: bool, latency_ms: int) -> None:
        self.bots = bots
        self.limits = limits
        self.latency_ms = latency_ms
        self.faults: list[Fault] = []
        self.seen: list[Arrival] = []
        self._deliver = deliver

    def bot(self, number: int | None = None) -> Bot:
        return next(bot for bot in self.bots.values() if number in (None, bot.id))

    def _chat(self, chat: int, bot: int | None) -> Chat:
        found = self.bot(bot).find(chat)
        if found is None:
            raise LookupError(f"no chat {chat}")
        return found

    # ------------------------------------------------------------ the place

    async def groups(
        self,
        count: int = 1,
        members: int = 30,
        title: str = "Thôn",
        type: str = "supergroup",
        standing: str = "member",
        bot: int | None = None,
    ) -> list[int]:
        """New groups that the bot is in (`standing="left"`: not yet)."""
        chats = self.bot(bot).chats
        made = []
        for _ in range(count):
            number = len(chats) + 1
            chat = FIRST_GROUP - number if type == "supergroup" else -number
            chats[chat] = Chat(chat, type, f"{title} {number}", members, standing)
            made.append(chat)
        return made

    async def private(self, user: int | Json, bot: int | None = None) -> int:
        """A person who has started the bot."""
        shown = updates.person(user)
        self.bot(bot).chats.setdefault(shown["id"], Chat(shown["id"], "private", user=shown))
        return int(shown["id"])

    async def configure(
        self,
        limits: bool | None = None,
        latency_ms: int | None = None,
        tolerance_ms: float | None = None,
        revoked: bool | None = None,
        bot: int | None = None,
    ) -> None:
        self.limits = self.limits if limits is None else limits
        self.latency_ms = self.latency_ms if latency_ms is None else latency_ms
        for one in self.bots.values():
            if tolerance_ms is not None:
                one.limiter.tolerance = tolerance_ms / 1000
        if revoked is not None:
            self.bot(bot).revoked = revoked

    async def fault(self, **fault: Any) -> None:
        self.faults.append(Fault(**fault))

    async def clear_faults(self) -> None:
        self.faults.clear()

    # ------------------------------------------------------------ what was sent

    async def messages(self, chat: int, bot: int | None = None, people: bool = False) -> list[Json]:
        """What the bot wrote in a chat, oldest first; with `people` also what they wrote."""
        log = self._chat(chat, bot).log.values()
        return [asdict(logged) for logged in log if people or logged.method]

    async def message_counts(self, bot: int | None = None) -> dict[str, int]:
        """How many messages of the bot each chat has, those deleted included."""
        return {
            str(chat.id): sum(bool(logged.method) for logged in chat.log.values())
            for chat in self.bot(bot).chats.values()
        }

    async def arrivals(self, method: str = "", chat: int | None = None, since: int = 0) -> list[Json]:
        return [
            asdict(one)
            for one in self.seen[since:]
            if one.method.startswith(method.lower()) and chat in (None, one.chat)
        ]

    async def stats(self, bot: int | None = None) -> Json:
        number = self.bot(bot).id
        seen = [one for one in self.seen if one.bot == number]
        sends = [one for one in seen if one.method.startswith("send")]
        return {
            "calls": Counter(one.method for one in seen),
            "outcomes": Counter(one.outcome for one in seen),
            "sent": sum(one.outcome == "ok" for one in sends),
            "throttled_by_client": sum(one.outcome == "throttled" for one in seen),
            "max_in_any_second": busiest(one.at for one in sends),
            "sends_per_chat": {str(chat): count for chat, count in Counter(one.chat for one in sends).items()},
            "first_send_at": sends[0].at if sends else None,
            "last_send_at": sends[-1].at if sends else None,
        }

    async def presses(self, bot: int | None = None) -> dict[str, Json]:
        """Buttons pressed so far and what the bot answered to the presser."""
        return self.bot(bot).presses

    async def bot_state(self, bot: int | None = None) -> Json:
        one = self.bot(bot)
        commands = [
            {"scope": scope, "language": language, "commands": listed}
            for (scope, language), listed in one.commands.items()
        ]
        return {"id": one.id, "username": one.username, "webhook": one.webhook, "commands": commands}

    # ------------------------------------------------------------ what people do

    async def say(
        self,
        chat: int,
        text: str,
        user: int | Json = 5001,
        reply_to: int | None = None,
        file: Json | None = None,
        bot: int | None = None,
        **content: Any,
    ) -> Json:
        """A person writes. `file`: kind, name, media_type and base64. Further arguments go into the message."""
        room = self._chat(chat, bot)
        if reply_to is not None:
            content["reply_to_message"] = room.log[reply_to].message
        if file is not None:
            upload = Upload(
                file.get("name", ""), file.get("media_type", "image/jpeg"), base64.b64decode(file["base64"])
            )
            content |= self.bot(bot).described(self.bot(bot).keep(file["kind"], upload))
        return await self._tell(updates.said(room, updates.person(user), text, **content), bot)

    async def press(
        self,
        chat: int,
        message_id: int,
        user: int | Json = 5001,
        row: int = 0,
        column: int = 0,
        data: str | None = None,
        inaccessible: bool = False,
        times: int = 1,
        bot: int | None = None,
    ) -> Json:
        """A person presses a button of a message; `times` delivers the very same press again."""
        room = self._chat(chat, bot)
        logged = room.log[message_id]
        if data is None:
            data = logged.message["reply_markup"]["inline_keyboard"][row][column]["callback_data"]
        update = updates.pressed(self.bot(bot), room, logged, updates.person(user), data, inaccessible=inaccessible)
        told = await self._tell(update, bot, times=times)
        return told | {"press_id": update["callback_query"]["id"]}

    async def stand(
        self,
        chat: int,
        status: str,
        user: int | Json = 5001,
        can_write: bool = True,
        bot: int | None = None,
    ) -> Json:
        """Add, promote, restrict (`can_write`), remove: member, administrator, restricted, left or kicked."""
        room, one = self._chat(chat, bot), self.bot(bot)
        old = updates.member(one, room)
        room.standing, room.can_write = status, can_write
        return await self._tell(updates.standing(one, room, updates.person(user), old, updates.member(one, room)), bot)

    async def migrate(
        self, chat: int, announce: Sequence[str] = ("to", "from"), user: int | Json = 5001, bot: int | None = None
    ) -> Json:
        """A group becomes a supergroup, told by two service messages in this order; none: a send finds out."""
        old, one = self._chat(chat, bot), self.bot(bot)
        new = Chat(FIRST_GROUP - len(one.chats) - 1, "supergroup", old.title, old.members, old.standing, old.can_write)
        one.chats[new.id] = new
        shown = updates.person(user)
        told = {
            "to": {"message": updates.message(old, shown, migrate_to_chat_id=new.id)},
            "from": {"message": updates.message(new, shown, migrate_from_chat_id=old.id)},
        }
        old.moved_to = new.id
        return {"new_id": new.id, "told": [await self._tell(told[word], bot) for word in announce]}

    # ------------------------------------------------------------ how it is told

    async def webhook(self, url: str, secret: str = "", bot: int | None = None) -> None:
        """As if the bot had called setWebhook."""
        self.bot(bot).webhook = {"url": url, "secret": secret, "allowed_updates": [], "max_connections": 40}

    async def replay(
        self, update_id: int, times: int = 1, concurrency: int = 1, secret: str | None = None, bot: int | None = None
    ) -> dict[str, int]:
        """Deliver a known update again; how often each status came back."""
        return await self._post(self.bot(bot).updates[update_id], bot, times, concurrency, secret)

    async def update(
        self,
        update: Json | str,
        times: int = 1,
        concurrency: int = 1,
        secret: str | None = None,
        bot: int | None = None,
    ) -> dict[str, int]:
        """Deliver something made by hand; text goes as it is, `secret` instead of the right one."""
        return await self._post(update, bot, times, concurrency, secret)

    async def _tell(self, update: Json, bot: int | None, times: int = 1) -> Json:
        one = self.bot(bot)
        one.last_update += 1
        update = {"update_id": one.last_update} | update
        one.updates[one.last_update] = update
        allowed = one.webhook.get("allowed_updates")
        wanted = bool(one.webhook["url"]) and (not allowed or any(kind in update for kind in allowed))
        statuses = await self._post(update, bot, times) if wanted else {}
        return {"update_id": one.last_update, "statuses": statuses, "update": update}

    async def _post(
        self, update: Json | str, bot: int | None, times: int, concurrency: int = 1, secret: str | None = None
    ) -> dict[str, int]:
        webhook = self.bot(bot).webhook
        secret = webhook.get("secret", "") if secret is None else secret
        headers = {"Content-Type": "application/json"}
        if secret:
            headers["X-Telegram-Bot-Api-Secret-Token"] = secret
        body = (update if isinstance(update, str) else json.dumps(update)).encode()
        statuses: Counter[str] = Counter()
        left = times

        async def work() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                statuses[str(await self._deliver(webhook["url"], body, headers))] += 1

        await asyncio.gather(*[work() for _ in range(concurrency)])
        return dict(statuses)

    def is_group(self, bot: Bot, chat: int) -> bool:
        found = bot.find(chat)
        return found is not None and found.type in GROUPS
