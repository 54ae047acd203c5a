"""What the house asks of a messenger, and the neutral words that both sides use.

A messenger is a folder beside this file with two public names: `Settings`, its own settings, and
`build(settings, opening)`, which returns an `Adapter`. Words of a vendor never leave that folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Flag, StrEnum, auto
from typing import Protocol, runtime_checkable

from adapters.text import Text


class Can(Flag):
    """What a messenger is able to do. Data, so that callers ask instead of trying."""

    NOTHING = 0
    BUTTONS = auto()
    EDIT = auto()
    DELETE = auto()
    PIN = auto()
    FILES = auto()
    ANSWER_PRESS = auto()
    COUNT_MEMBERS = auto()
    TELL_DELIVERED = auto()
    TELL_READ = auto()
    HOSTS_ROOMS = auto()
    """Its groups are rooms of our own: each village has one, and what is written there is kept by us."""
    HANDS_OVER = auto()
    """A person carries each message into the group by hand: what is sent here is handed over, not yet there."""
    SAFE_TO_REPEAT = auto()
    """Sending the same `key` twice shows one message: an unknown outcome may simply be tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much and how fast. Text lengths are UTF-16 code units, as every messenger here counts."""

    text: int
    caption: int
    in_flight: int = 16
    per_second: int | None = None
    """Sends in any sliding second for the whole channel; None: no limit of the messenger's."""
    chat_gap: timedelta = timedelta(0)
    """Least time between two sends to one chat."""
    group_per_minute: int | None = None
    body: int = 1 << 20
    """Largest webhook body accepted, in bytes."""


# ---------------------------------------------------------------- what comes in


@dataclass(frozen=True, slots=True)
class Inbound:
    """One webhook request as it arrived. Header names are lower case."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class RawEvent:
    """What is kept of an inbound request before anybody understands it."""

    event_id: str
    """The messenger's own id of the event, or a hash of the body: the same event twice is one."""
    chat: str
    """Events of one chat keep their order; '' when the event belongs to no chat."""
    body: bytes


class ChatKind(StrEnum):
    GROUP = "group"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True)
class ChatRef:
    id: str
    kind: ChatKind
    title: str = ""


@dataclass(frozen=True, slots=True)
class Sender:
    id: str
    name: str = ""
    """As the messenger shows it: for greeting in words, never stored or logged."""


class FileKind(StrEnum):
    PHOTO = "photo"
    DOCUMENT = "document"
    VOICE = "voice"


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file that the messenger holds; fetch it with `FetchesFiles`."""

    ref: str
    kind: FileKind
    name: str = ""
    media_type: str = "application/octet-stream"
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived:
    event_id: str
    chat: ChatRef
    sender: Sender
    message_id: str
    text: str
    """NFC; a leading mention of ourselves is cut off, and `/lenh@ourname` is `/lenh`."""
    at: datetime
    reply_to: str | None = None
    addressed: bool = True
    """Meant for us: a private chat, a command, a mention, or a reply to one of our messages."""
    files: tuple[FileRef, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonPressed:
    event_id: str
    chat: ChatRef
    sender: Sender
    message_id: str
    token: str
    press_id: str
    at: datetime


class Standing(StrEnum):
    """How we stand in a chat."""

    MEMBER = "member"
    ADMIN = "admin"
    MUTED = "muted"
    """There, but not allowed to write."""
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingChanged:
    event_id: str
    chat: ChatRef
    sender: Sender
    standing: Standing
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMovedTo:
    """The same group under a new id (Telegram: upgrade to a supergroup)."""

    event_id: str
    chat: ChatRef
    new_id: str
    at: datetime


class ReceiptKind(StrEnum):
    DELIVERED = "delivered"
    READ = "read"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptArrived:
    event_id: str
    chat: ChatRef
    sender: Sender | None
    message_id: str
    kind: ReceiptKind
    at: datetime


Event = MessageReceived | ButtonPressed | StandingChanged | ChatMovedTo | ReceiptArrived


# ---------------------------------------------------------------- what goes out


@dataclass(frozen=True, slots=True)
class Button:
    """One button: it either comes back to us (`token`, at most 48 ASCII bytes) or opens `url`."""

    label: str
    token: str = ""
    url: str = ""


Buttons = tuple[tuple[Button, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutFile:
    """A file to send. `ref` is the messenger's own name for it from an earlier send on this channel, '' at first."""

    kind: FileKind
    name: str
    media_type: str
    content: bytes = field(repr=False)
    ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """One platform call: text with buttons, or one file with `text` as its caption."""

    chat: ChatRef
    key: str
    """Names this send for ever: same key, same message."""
    text: Text = ()
    buttons: Buttons = ()
    file: OutFile | None = None
    reply_to: str | None = None
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    message_id: str
    file_ref: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A command as residents see it in the messenger's menu."""

    name: str
    description: str
    audience: ChatKind


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are on the messenger."""

    id: str
    name: str
    handle: str


class Adapter(Protocol):
    name: str
    can: Can
    limits: Limits

    def verify(self, request: Inbound) -> None:
        """Raise BadSignature unless the messenger itself sent this. Constant time, no I/O."""

    def identify(self, request: Inbound) -> Sequence[RawEvent]:
        """Split a request into events to keep, each with its id; nothing for what is not meant for us.

        Cheap: no objects of the vendor's library. A body that cannot be read is kept whole, so that
        a person can look at it.
        """

    def parse(self, body: bytes) -> Sequence[Event]:
        """Return what happened, oldest first; nothing for unknown shapes. Raises ValueError for a broken body."""

    async def send(self, message: Outbound) -> Sent:
        """Send once. Raise a SendFailure, and only that, when it did not work."""

    async def aclose(self) -> None:
        """Let go of connections."""


@runtime_checkable
class Edits(Protocol):
    async def edit(self, message_id: str, message: Outbound) -> None:
        """Make the sent message look like `message`. Already so is success. Raises SendFailure."""


@runtime_checkable
class Deletes(Protocol):
    async def delete(self, chat: ChatRef, message_id: str) -> None:
        """Take the message away. Already gone is success. Raises SendFailure."""


@runtime_checkable
class Pins(Protocol):
    async def pin(self, chat: ChatRef, message_id: str) -> None:
        """Pin without a sound. Raises SendFailure."""


@runtime_checkable
class HandsOver(Protocol):
    async def hand_over(self, message: Outbound) -> None:
        """Give the message to whoever carries it into the chat; the same `key` again gives it once.

        Raises SendFailure: NobodyCarries when nobody is named who could carry it.
        """


@runtime_checkable
class AnswersPresses(Protocol):
    async def answer(self, press_id: str, text: str, *, alert: bool) -> None:
        """Tell the presser alone, in at most 200 characters. Best effort: raises SendFailure, repeats nothing."""


@runtime_checkable
class CountsMembers(Protocol):
    async def count_members(self, chat: ChatRef) -> int:
        """People in the chat, ourselves not counted. Raises SendFailure."""


@runtime_checkable
class FetchesFiles(Protocol):
    async def fetch(self, file: FileRef, *, limit: int) -> bytes:
        """The file's bytes. Raises SendFailure, or Rejected when it is larger than `limit` bytes."""


@runtime_checkable
class RegistersItself(Protocol):
    async def identity(self) -> Identity:
        """Who the token belongs to. Raises SendFailure."""

    async def register(self, webhook_url: str, commands: Sequence[Command]) -> None:
        """Ask for events to be sent to `webhook_url` ('' leaves that as it is) and for `commands` to be shown."""


@runtime_checkable
class LinksToEnrol(Protocol):
    def link(self, handle: str, payload: str, *, group: bool) -> str:
        """An address that opens a chat with us (or adds us to a group) and says `/start payload` there."""


# ---------------------------------------------------------------- failures


class BadSignature(Exception):
    """The request did not come from the messenger."""


class SendFailure(Exception):
    """A send did not work; the class says what is known of it. Texts are the platform's, never a resident's."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class NotSent(SendFailure):
    """Nothing reached the messenger: safe to try again."""


class OutcomeUnknown(SendFailure):
    """The request left us and no answer came: trying again may repeat the message."""


class Throttled(SendFailure):
    """The messenger asks us to wait. `retry_after` None: it did not say how long."""

    def __init__(self, retry_after: timedelta | None, reason: str = "") -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Rejected(SendFailure):
    """This message will never pass."""


class NobodyCarries(Rejected):
    """Nobody is named who could carry the message into the group."""


class ChatGone(SendFailure):
    """We were removed, blocked, or the chat is no more."""


class NoRightToWrite(SendFailure):
    """We are in the chat, but its admins do not let us write."""


class ChatMoved(SendFailure):
    """The same chat has a new id: send there."""

    def __init__(self, new_id: str, reason: str = "") -> None:
        super().__init__(reason)
        self.new_id = new_id


class AdapterBroken(SendFailure):
    """The token is wrong or the account is closed: the whole channel stops until a person mends it."""


# ---------------------------------------------------------------- opening


class Rooms(Protocol):
    """Where a messenger of our own (web chat) hangs its messages; the house keeps them."""

    async def post(self, message: Outbound) -> str:
        """Show the message in its room; the same `key` again changes nothing. Returns its id."""

    async def edit(self, message_id: str, message: Outbound) -> bool:
        """False when there is no such message."""

    async def delete(self, room: str, message_id: str) -> bool: ...

    async def count_members(self, room: str) -> int: ...

    async def whisper(self, press_id: str, text: str) -> None:
        """Show `text` to the one person behind `press_id`."""

    async def fetch(self, ref: str) -> bytes | None: ...


class Hands(Protocol):
    """The people who carry messages into groups that no account of ours may enter; the house knows who they are."""

    async def give(self, message: Outbound) -> None:
        """Give it to the carrier of `message.chat`; the same `key` again changes nothing.

        Raises NobodyCarries when the group has neither carrier nor backup, ChatGone when there is no such group.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What the house hands to an adapter when it opens a channel."""

    channel: str
    public_url: str
    rooms: Rooms
    hands: Hands
    limits_off: bool = False
    """For measuring: no limit of rate is applied to this channel."""
