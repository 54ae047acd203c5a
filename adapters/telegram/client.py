"""A Telegram bot as an adapter.

Calls go through the library's `do_api_request`: no object is built of an answer of which only an id is wanted, and the
bot is never initialised, which would ask Telegram before anything could start.
"""

import hmac
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from telegram import Bot
from telegram.error import TelegramError

from adapters.contract import (
    AdapterBroken,
    BadSignature,
    Can,
    ChatRef,
    Command,
    Event,
    FileRef,
    Identity,
    Inbound,
    Limits,
    NoRightToWrite,
    NotSent,
    Opening,
    Outbound,
    OutcomeUnknown,
    RawEvent,
    Rejected,
    Sent,
)
from adapters.telegram import incoming, outgoing, pictures
from adapters.telegram.errors import NOT_MODIFIED, NOTHING_TO_DELETE, failure
from adapters.telegram.request import AiohttpRequest, TooLarge
from adapters.telegram.settings import Settings
from adapters.text import clean

SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105 - the name of a header
WEBHOOK_CONNECTIONS = 40
LONGEST_ANSWER = 200
PAYLOAD = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""https://core.telegram.org/bots/features#deep-linking (2026-11-21)."""
HANDLE = re.compile(r"[A-Za-z0-9_]{1,32}")

# Lengths: https://core.telegram.org/bots/api#sendmessage and #sendphoto;
# rates: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this (2026-11-21)
LENGTHS = Limits(text=4096, caption=1024)
LIMITS = Limits(text=4096, caption=1024, per_second=30, chat_gap=timedelta(seconds=1), group_per_minute=20)


class TelegramAdapter:
    """One bot."""

    name = "telegram"
    can = Can.BUTTONS | Can.EDIT | Can.DELETE | Can.PIN | Can.FILES | Can.ANSWER_PRESS | Can.COUNT_MEMBERS

    def __init__(
        self,
        settings: Settings,
        opening: Opening,
        request: AiohttpRequest,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.limits = LENGTHS if opening.limits_off else LIMITS
        self._secret = settings.webhook_secret.get_secret_value()
        self._request = request
        self._clock = clock
        token = settings.token()
        self._files = f"{settings.file_base_url}{token}/"
        self._bot = Bot(token, base_url=settings.api_base_url, request=request, get_updates_request=request)
        number = token.partition(":")[0]
        self._me = incoming.Ourselves(int(number) if number.isdigit() else None)

    # ------------------------------------------------------------ what comes in

    def verify(self, request: Inbound) -> None:
        shown = request.headers.get(SECRET_HEADER, "")
        if not self._secret or not hmac.compare_digest(shown.encode(), self._secret.encode()):
            raise BadSignature

    def identify(self, request: Inbound) -> Sequence[RawEvent]:
        return incoming.identify(request.body, self._me)

    def parse(self, body: bytes) -> Sequence[Event]:
        return incoming.parse(body, self._me, self._clock)

    # ------------------------------------------------------------ what goes out

    async def send(self, message: Outbound) -> Sent:
        message = pictures.as_it_fits(message)
        if message.file is not None and message.file.ref:
            try:
                return await self._post(message, upload=False)
            except Rejected as refusal:
                # "Wrong file identifier …": another bot's, or forgotten. Nothing was sent, so the file itself may go.
                if "file" not in refusal.reason.casefold():
                    raise
        try:
            return await self._post(message, upload=True)
        except Rejected as refusal:
            if not pictures.was_no_photo(message, refusal.reason):
                raise
        # Nothing was sent, so it may go in another way. Its name is not kept: it would not pass as a photo's.
        sent = await self._post(pictures.as_document(message), upload=True)
        return Sent(sent.message_id)

    async def _post(self, message: Outbound, *, upload: bool) -> Sent:
        method, parameters = outgoing.post(message, upload=upload)
        result = await self._call(method, parameters)
        try:
            file_ref = outgoing.sent_file(message.file.kind, result) if message.file else ""
            return Sent(str(result["message_id"]), file_ref)
        except (LookupError, TypeError, AttributeError) as error:
            raise OutcomeUnknown("an answer that names no message") from error

    async def edit(self, message_id: str, message: Outbound) -> None:
        method, parameters = outgoing.edit(message_id, message)
        try:
            await self._call(method, parameters)
        except Rejected as refusal:
            if NOT_MODIFIED not in refusal.reason.casefold():
                raise

    async def delete(self, chat: ChatRef, message_id: str) -> None:
        try:
            await self._call("deleteMessage", {"chat_id": chat.id, "message_id": message_id})
        except Rejected as refusal:
            if NOTHING_TO_DELETE not in refusal.reason.casefold():
                raise

    async def pin(self, chat: ChatRef, message_id: str) -> None:
        parameters = {"chat_id": chat.id, "message_id": message_id, "disable_notification": True}
        try:
            await self._call("pinChatMessage", parameters)
        except NoRightToWrite as refusal:
            # Pinning wants an admin's right; that it lacks says nothing about writing.
            raise Rejected(refusal.reason) from refusal

    async def answer(self, press_id: str, text: str, *, alert: bool) -> None:
        parameters = {"callback_query_id": press_id, "text": text[:LONGEST_ANSWER] or None, "show_alert": alert}
        await self._call("answerCallbackQuery", parameters)

    async def count_members(self, chat: ChatRef) -> int:
        count = await self._call("getChatMemberCount", {"chat_id": chat.id})
        return max(_number(count) - 1, 0)

    async def fetch(self, file: FileRef, *, limit: int) -> bytes:
        """At most 20 MB, as Telegram gives bots no more (https://core.telegram.org/bots/api#getfile)."""
        if file.size > limit:
            raise Rejected("file is larger than wanted")
        found = await self._call("getFile", {"file_id": file.ref})
        if not isinstance(found, dict) or not found.get("file_path"):
            raise Rejected("file is no longer held")
        try:
            status, content = await self._request.download(self._files + found["file_path"], limit=limit)
        except TooLarge as error:
            raise Rejected("file is larger than wanted") from error
        except TelegramError as error:
            raise failure(error) from error
        if status != 200:
            raise Rejected(f"file: HTTP {status}") if 400 <= status < 500 else NotSent(f"file: HTTP {status}")
        return content

    # ------------------------------------------------------------ who we are

    async def identity(self) -> Identity:
        """Also teaches the adapter its own handle. Unreachable is NotSent, a wrong token AdapterBroken."""
        user = await self._call("getMe", {})
        try:
            me = incoming.Ourselves(int(user["id"]), user["username"])
            found = Identity(str(user["id"]), clean(user["first_name"]), user["username"])
        except (LookupError, TypeError, ValueError) as error:
            raise OutcomeUnknown("an answer that names no bot") from error
        self._me = me
        return found

    async def register(self, webhook_url: str, commands: Sequence[Command]) -> None:
        if webhook_url and not self._secret:
            raise AdapterBroken("TELEGRAM_WEBHOOK_SECRET is missing: without it no event can be told from a forged one")
        if webhook_url:
            parameters = {
                "url": webhook_url,
                "secret_token": self._secret,
                "allowed_updates": list(incoming.FOLLOWED),
                "max_connections": WEBHOOK_CONNECTIONS,
            }
            await self._call("setWebhook", parameters)
        for parameters in outgoing.command_lists(commands):
            await self._call("setMyCommands", parameters)

    def link(self, handle: str, payload: str, *, group: bool) -> str:
        handle = handle.removeprefix("@")
        if not HANDLE.fullmatch(handle) or not PAYLOAD.fullmatch(payload):
            raise ValueError("a link's payload is 1 to 64 of A-Z, a-z, 0-9, _ and -")
        return f"https://t.me/{handle}?{'startgroup' if group else 'start'}={payload}"

    async def aclose(self) -> None:
        await self._request.shutdown()

    async def _call(self, method: str, parameters: outgoing.Parameters) -> Any:
        """One call. Raises a SendFailure and only that."""
        try:
            return await self._bot.do_api_request(_unlisted(method), api_kwargs=parameters)
        except TelegramError as error:
            raise failure(error) from error
        except (LookupError, TypeError, AttributeError) as error:
            # The library takes for granted that an answer has a "result".
            raise OutcomeUnknown("an answer without a result") from error


@cache
def _unlisted(method: str) -> str:
    """`sendMessage` as `send_Message`: the same call, spelt so that the library does not advise its own method."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", method)


def _number(value: Any) -> int:
    if isinstance(value, int):
        return value
    raise OutcomeUnknown("an answer that is no number")
