"""Every table of the house. Table models do not validate: requests have models of their own.

People's platform ids and household labels lie here sealed (`store.crypto.Vault`) or as keyed fingerprints.
Columns named `…_key` are fingerprints; `sealed_…` are sealed bytes. Times are aware, UTC.
"""

from datetime import date, datetime
from enum import IntEnum, StrEnum
from typing import ClassVar

from sqlalchemy import CheckConstraint, Index, LargeBinary, MetaData, Text, UniqueConstraint, false, text
from sqlmodel import Field, SQLModel

from store.types import Utc, by_value

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


NO = {"server_default": false()}
ZERO = {"server_default": "0"}
"""For columns that came later: what rows from before say."""


class Table(SQLModel):
    """Gives every constraint a name, so that a migration can find it on both databases."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMING)


# ---------------------------------------------------------------- places


class UnitKind(StrEnum):
    PROVINCE = "province"
    COMMUNE = "commune"
    VILLAGE = "village"


class Unit(Table, table=True):
    """A place in the tree province → commune → village. Closed, never deleted: old notices still point at it."""

    __tablename__ = "unit"
    id: int | None = Field(default=None, primary_key=True)
    parent_id: int | None = Field(default=None, foreign_key="unit.id", index=True)
    kind: UnitKind = Field(sa_type=by_value(UnitKind))
    path: str = Field(index=True)
    """Ids from the root to this unit, "/1/4/9/": what lies below is a prefix search."""
    name: str
    folded: str = Field(index=True)
    """The name in lower case without accents."""
    code: str = Field(unique=True)
    """In addresses: /chat/{code}."""
    valid_from: date
    valid_to: date | None = None
    merged_into_id: int | None = Field(default=None, foreign_key="unit.id")


class UnitName(Table, table=True):
    """Names that a unit had before, so that people still find it by them."""

    __tablename__ = "unit_name"
    id: int | None = Field(default=None, primary_key=True)
    unit_id: int = Field(foreign_key="unit.id", index=True)
    name: str
    folded: str = Field(index=True)
    valid_from: date
    valid_to: date


class IssuerKind(StrEnum):
    COMMUNE = "commune"
    POLICE = "police"
    HEALTH = "health"
    SCHOOL = "school"
    VILLAGE = "village"


class Issuer(Table, table=True):
    """A body that issues notices (UBND xã, Công an xã, trạm y tế, trường, thôn), as it is shown on them."""

    __tablename__ = "issuer"
    id: int | None = Field(default=None, primary_key=True)
    unit_id: int = Field(foreign_key="unit.id", index=True)
    kind: IssuerKind = Field(sa_type=by_value(IssuerKind))
    name: str


class Audience(Table, table=True):
    """People beside the villages with chats of their own: chi hội, chi bộ, tổ trưởng."""

    __tablename__ = "audience"
    __table_args__ = (UniqueConstraint("unit_id", "name"),)
    id: int | None = Field(default=None, primary_key=True)
    unit_id: int = Field(foreign_key="unit.id")
    name: str


class Household(Table, table=True):
    """One line of a village's register: the denominator of reach."""

    __tablename__ = "household"
    __table_args__ = (UniqueConstraint("unit_id", "number"),)
    id: int | None = Field(default=None, primary_key=True)
    unit_id: int = Field(foreign_key="unit.id")
    number: int
    sealed_label: bytes | None = Field(default=None, sa_type=LargeBinary)
    """What the head calls the house; the head's eyes only."""
    address_code: str = ""
    language: str = ""
    no_smartphone: bool = False
    told_by_id: int | None = Field(default=None, foreign_key="household.id")
    """The neighbour who passes notices on."""
    card_version: int = 1
    """Raised to make an old card worthless."""
    closed_at: datetime | None = Field(default=None, sa_type=Utc)


# ---------------------------------------------------------------- people


class Person(Table, table=True):
    """Somebody with a duty. Residents are accounts, not persons."""

    __tablename__ = "person"
    id: int | None = Field(default=None, primary_key=True)
    name: str
    username: str | None = Field(default=None, unique=True)
    password_hash: str = ""
    sealed_phone: bytes | None = Field(default=None, sa_type=LargeBinary)
    """At which officials call when something is left undone."""
    is_active: bool = True
    created_at: datetime = Field(sa_type=Utc)


class RoleName(StrEnum):
    ADMIN = "admin"
    OFFICIAL = "official"
    POLICE = "police"
    VIEWER = "viewer"
    VILLAGE_HEAD = "village_head"
    HELPER = "helper"


class Role(Table, table=True):
    """A duty of a person over a unit and all below it."""

    __tablename__ = "role"
    id: int | None = Field(default=None, primary_key=True)
    person_id: int = Field(foreign_key="person.id", index=True)
    unit_id: int = Field(foreign_key="unit.id", index=True)
    role: RoleName = Field(sa_type=by_value(RoleName))
    granted_at: datetime = Field(sa_type=Utc)
    granted_by_id: int | None = Field(default=None, foreign_key="person.id")
    revoked_at: datetime | None = Field(default=None, sa_type=Utc)


class WebSession(Table, table=True):
    """A sign-in to the console, or of a phone to /truong; the cookie itself is not kept, only its fingerprint."""

    __tablename__ = "web_session"
    id: int | None = Field(default=None, primary_key=True)
    token_key: str = Field(unique=True)
    person_id: int = Field(foreign_key="person.id", index=True)
    is_phone: bool = Field(default=False, sa_column_kwargs=NO)
    """Opens /truong alone, and for long: it was linked once by a one-time code."""
    created_at: datetime = Field(sa_type=Utc)
    seen_at: datetime = Field(sa_type=Utc)
    expires_at: datetime = Field(sa_type=Utc)


class ApiToken(Table, table=True):
    """A bearer token of /api/v1; only its fingerprint is kept."""

    __tablename__ = "api_token"
    id: int | None = Field(default=None, primary_key=True)
    token_key: str = Field(unique=True)
    person_id: int = Field(foreign_key="person.id", index=True)
    name: str
    created_at: datetime = Field(sa_type=Utc)
    used_at: datetime | None = Field(default=None, sa_type=Utc)
    revoked_at: datetime | None = Field(default=None, sa_type=Utc)


class CodePurpose(StrEnum):
    LINK_PERSON = "link_person"
    BIND_CHAT = "bind_chat"


class OneTimeCode(Table, table=True):
    """A code typed once to the bot: ties an account to a person, or a group to a village."""

    __tablename__ = "one_time_code"
    id: int | None = Field(default=None, primary_key=True)
    code_key: str = Field(unique=True)
    purpose: CodePurpose = Field(sa_type=by_value(CodePurpose))
    person_id: int = Field(foreign_key="person.id")
    """LINK_PERSON: who will be linked. BIND_CHAT: who asked for the code."""
    unit_id: int | None = Field(default=None, foreign_key="unit.id")
    audience_id: int | None = Field(default=None, foreign_key="audience.id")
    expires_at: datetime = Field(sa_type=Utc)
    used_at: datetime | None = Field(default=None, sa_type=Utc)


class Attempt(Table, table=True):
    """How often somebody guessed lately: sign-in names, one-time codes, card and check addresses."""

    __tablename__ = "attempt"
    key: str = Field(primary_key=True)
    count: int = 0
    first_at: datetime = Field(sa_type=Utc)
    until: datetime | None = Field(default=None, sa_type=Utc)
    """No further try before this."""


# ---------------------------------------------------------------- messengers


class Channel(Table, table=True):
    """One account of ours on one messenger, with the lease of whoever drains it."""

    __tablename__ = "channel"
    __table_args__ = (UniqueConstraint("adapter", "name"),)
    id: int | None = Field(default=None, primary_key=True)
    adapter: str
    name: str
    sealed_settings: bytes | None = Field(default=None, sa_type=LargeBinary)
    """JSON of the adapter's settings; None: they come from the environment."""
    identity: str = ""
    handle: str = ""
    tells_read: bool = False
    """As the adapter declares; without it "seen" is not measurable here."""
    hands_over: bool = Field(default=False, sa_column_kwargs=NO)
    """As the adapter declares: people carry what is sent here, so that "sent" is what they report."""
    repeats: bool = Field(default=False, sa_column_kwargs=NO)
    """As the adapter declares: what was under way at a crash is simply sent again."""
    broken: str = ""
    """Why nothing can be sent at all; '' when all is well."""
    paused_until: datetime | None = Field(default=None, sa_type=Utc)
    lease_owner: str = ""
    lease_until: datetime | None = Field(default=None, sa_type=Utc)
    lease_epoch: int = 0
    created_at: datetime = Field(sa_type=Utc)


class ChatKind(StrEnum):
    GROUP = "group"
    PRIVATE = "private"


class Standing(StrEnum):
    MEMBER = "member"
    ADMIN = "admin"
    MUTED = "muted"
    GONE = "gone"


class Chat(Table, table=True):
    """A group or a private chat on a channel. A group with a unit is that village's (or audience's) group."""

    __tablename__ = "chat"
    __table_args__ = (UniqueConstraint("channel_id", "address_key"),)
    id: int | None = Field(default=None, primary_key=True)
    channel_id: int = Field(foreign_key="channel.id")
    address_key: str
    sealed_address: bytes = Field(sa_type=LargeBinary)
    """The messenger's own id of the chat."""
    kind: ChatKind = Field(sa_type=by_value(ChatKind))
    title: str = ""
    """Of groups only."""
    unit_id: int | None = Field(default=None, foreign_key="unit.id", index=True)
    audience_id: int | None = Field(default=None, foreign_key="audience.id")
    bound_by_id: int | None = Field(default=None, foreign_key="person.id")
    bound_at: datetime | None = Field(default=None, sa_type=Utc)
    standing: Standing = Field(default=Standing.MEMBER, sa_type=by_value(Standing))
    standing_reason: str = ""
    members: int | None = None
    members_at: datetime | None = Field(default=None, sa_type=Utc)
    paused_until: datetime | None = Field(default=None, sa_type=Utc)
    created_at: datetime = Field(sa_type=Utc)


class Grade(StrEnum):
    """How well we know that a household took note, best first."""

    CARD = "card"
    """Confirmed by the household itself: an account joined by its card."""
    NUMBER = "number"
    """The account only typed the household's number."""
    HEAD = "head"
    """Recorded by the head."""
    VISIT = "visit"
    """Recorded on a visit."""


class Account(Table, table=True):
    """Somebody on a messenger. Known by a keyed fingerprint; may be a person's, may belong to a household."""

    __tablename__ = "account"
    __table_args__ = (UniqueConstraint("channel_id", "user_key"),)
    id: int | None = Field(default=None, primary_key=True)
    channel_id: int = Field(foreign_key="channel.id")
    user_key: str
    private_chat_id: int | None = Field(default=None, foreign_key="chat.id")
    person_id: int | None = Field(default=None, foreign_key="person.id", index=True)
    household_id: int | None = Field(default=None, foreign_key="household.id", index=True)
    grade: Grade | None = Field(default=None, sa_type=by_value(Grade))
    """How the account came to its household."""
    unit_id: int | None = Field(default=None, foreign_key="unit.id")
    """The village whose group it was last seen in: where a typed household number is looked up."""
    asked_at: datetime | None = Field(default=None, sa_type=Utc)
    """When it was asked for its household: asked once."""
    created_at: datetime = Field(sa_type=Utc)


class Dialog(Table, table=True):
    """Where an account is in a conversation of several steps."""

    __tablename__ = "dialog"
    account_id: int = Field(primary_key=True, foreign_key="account.id")
    kind: str
    step: str
    sealed_data: bytes = Field(sa_type=LargeBinary)
    expires_at: datetime = Field(sa_type=Utc)


class RelayGroup(Table, table=True):
    """An existing group that no bot may enter: who carries notices there by hand. Its name and size are its chat's."""

    __tablename__ = "relay_group"
    chat_id: int = Field(primary_key=True, foreign_key="chat.id")
    carrier_id: int | None = Field(default=None, foreign_key="person.id", index=True)
    backup_id: int | None = Field(default=None, foreign_key="person.id", index=True)
    """Gets what the carrier leaves undone."""


# ---------------------------------------------------------------- notices


class NoticeKind(StrEnum):
    NOTICE = "notice"
    MEETING = "meeting"
    SCAM_WARNING = "scam_warning"
    DISASTER = "disaster"


class Wanted(StrEnum):
    """What residents are asked to answer."""

    ACKNOWLEDGE = "acknowledge"
    ATTEND = "attend"
    NOTHING = "nothing"


class NoticeState(StrEnum):
    DRAFT = "draft"
    WAITING = "waiting"
    """For a second person's approval."""
    RETURNED = "returned"
    PUBLISHED = "published"
    CANCELLED = "cancelled"
    RECALLED = "recalled"


class Notice(Table, table=True):
    __tablename__ = "notice"
    __table_args__ = (UniqueConstraint("author_id", "idempotency_key"),)
    id: int | None = Field(default=None, primary_key=True)
    code: str = Field(unique=True)
    """Short and sayable, "TB-4K7Q"."""
    unit_id: int = Field(foreign_key="unit.id", index=True)
    """The issuing unit: a commune, or a village for a head's own notice."""
    issuer_id: int = Field(foreign_key="issuer.id")
    issuer_name: str
    """As it stood when the notice was written."""
    audience_id: int | None = Field(default=None, foreign_key="audience.id")
    kind: NoticeKind = Field(default=NoticeKind.NOTICE, sa_type=by_value(NoticeKind))
    is_urgent: bool = False
    wanted: Wanted = Field(default=Wanted.ACKNOWLEDGE, sa_type=by_value(Wanted))
    state: NoticeState = Field(default=NoticeState.DRAFT, sa_type=by_value(NoticeState))
    revision: int = 1
    author_id: int = Field(foreign_key="person.id")
    approver_id: int | None = Field(default=None, foreign_key="person.id")
    return_reason: str = ""
    origin: str = ""
    idempotency_key: str | None = None
    request_hash: str = ""
    due_at: datetime | None = Field(default=None, sa_type=Utc)
    expires_at: datetime | None = Field(default=None, sa_type=Utc)
    created_at: datetime = Field(sa_type=Utc)
    published_at: datetime | None = Field(default=None, sa_type=Utc)


class NoticeRevision(Table, table=True):
    """What the notice said, each time it changed."""

    __tablename__ = "notice_revision"
    notice_id: int = Field(primary_key=True, foreign_key="notice.id")
    revision: int = Field(primary_key=True)
    body: str = Field(sa_type=Text)
    body_hash: str
    author_id: int = Field(foreign_key="person.id")
    created_at: datetime = Field(sa_type=Utc)


class NoticeTarget(Table, table=True):
    """A village that the notice is for."""

    __tablename__ = "notice_target"
    notice_id: int = Field(primary_key=True, foreign_key="notice.id")
    unit_id: int = Field(primary_key=True, foreign_key="unit.id", index=True)
    link_token: str | None = Field(default=None, unique=True)
    """In /t/{token}, the village's own page of this notice; only where a group is reached by hand."""
    link_revoked_at: datetime | None = Field(default=None, sa_type=Utc)
    told_count: int | None = None
    """People who took note by the head's own bare count. Kept apart, never added to households."""
    told_by_id: int | None = Field(default=None, foreign_key="person.id")
    told_at: datetime | None = Field(default=None, sa_type=Utc)


class FileKind(StrEnum):
    PHOTO = "photo"
    DOCUMENT = "document"
    VOICE = "voice"


class StoredFile(Table, table=True):
    """Bytes that people sent or that we made; the same bytes once."""

    __tablename__ = "stored_file"
    id: int | None = Field(default=None, primary_key=True)
    sha256: str = Field(unique=True)
    media_type: str
    size: int
    content: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Utc)


class Attachment(Table, table=True):
    __tablename__ = "attachment"
    id: int | None = Field(default=None, primary_key=True)
    notice_id: int = Field(foreign_key="notice.id", index=True)
    file_id: int = Field(foreign_key="stored_file.id")
    position: int
    kind: FileKind = Field(sa_type=by_value(FileKind))
    name: str
    language: str = ""
    """Of a voice recording."""


class ChannelFile(Table, table=True):
    """A messenger's own name for a file that it already has: uploaded once."""

    __tablename__ = "channel_file"
    channel_id: int = Field(primary_key=True, foreign_key="channel.id")
    file_id: int = Field(primary_key=True, foreign_key="stored_file.id")
    kind: FileKind = Field(primary_key=True, sa_type=by_value(FileKind))
    ref: str


# ---------------------------------------------------------------- delivery


class Lane(IntEnum):
    """Who goes first. Smaller overtakes."""

    URGENT = 0
    REPLY = 1
    NOTICE = 2
    COSMETIC = 3


class Action(StrEnum):
    POST = "post"
    EDIT = "edit"
    DELETE = "delete"
    PIN = "pin"


class State(StrEnum):
    QUEUED = "queued"
    LEASED = "leased"
    SENDING = "sending"
    SENT = "sent"
    HANDED = "handed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    RECALLED = "recalled"


class Content(Table, table=True):
    """What a message says: `bot.messages` writes and reads it. Shared by all rows of a broadcast."""

    __tablename__ = "content"
    id: int | None = Field(default=None, primary_key=True)
    payload: str = Field(sa_type=Text)
    """JSON: spans, buttons, file."""


class Outbox(Table, table=True):
    """One platform call. Only `store.outbox` writes `state`."""

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("key", "chat_id", "revision", "part"),
        Index(
            "ix_outbox_claim",
            "channel_id",
            "lane",
            "id",
            sqlite_where=text("state = 'queued'"),
            postgresql_where=text("state = 'queued'"),
        ),
        Index(
            "ix_outbox_open",
            "channel_id",
            "chat_id",
            sqlite_where=text("state IN ('leased', 'sending')"),
            postgresql_where=text("state IN ('leased', 'sending')"),
        ),
        Index(
            "ix_outbox_life",
            "expires_at",
            sqlite_where=text("state IN ('handed', 'queued')"),
            postgresql_where=text("state IN ('handed', 'queued')"),
        ),
        Index("ix_outbox_notice_id_unit_id", "notice_id", "unit_id"),
        Index("ix_outbox_chat_id_message_id", "chat_id", "message_id"),
        CheckConstraint("part >= 1 AND part <= parts", name="part_of_parts"),
    )
    id: int | None = Field(default=None, primary_key=True)
    channel_id: int = Field(foreign_key="channel.id")
    chat_id: int = Field(foreign_key="chat.id")
    unit_id: int | None = Field(default=None, foreign_key="unit.id")
    """The village that the chat stood for when the notice was published."""
    notice_id: int | None = Field(default=None, foreign_key="notice.id")
    action: Action = Field(default=Action.POST, sa_type=by_value(Action))
    lane: int
    key: str
    revision: int = 1
    part: int = 1
    parts: int = 1
    content_id: int | None = Field(default=None, foreign_key="content.id")
    target_id: int | None = Field(default=None, foreign_key="outbox.id", index=True)
    """EDIT, DELETE, PIN: the post that is meant."""
    reply_to: str | None = None
    is_silent: bool = False
    is_repeat: bool = False
    """Sent again though the first outcome was unknown; says so in its text."""
    is_old: bool = Field(default=False, sa_column_kwargs=NO)
    """A later revision was posted to this chat: figures count that one, and this one must be taken away."""
    state: State = Field(default=State.QUEUED, sa_type=by_value(State))
    attempts: int = 0
    not_before: datetime | None = Field(default=None, sa_type=Utc)
    expires_at: datetime | None = Field(default=None, sa_type=Utc)
    lease_epoch: int = 0
    message_id: str | None = None
    members: int | None = None
    """People in the chat when it was sent, where the messenger tells."""
    error: str = ""
    """Short code of the last failure, in `store.outbox.Failure`."""
    error_detail: str = ""
    """The messenger's own words."""
    created_at: datetime = Field(sa_type=Utc)
    sent_at: datetime | None = Field(default=None, sa_type=Utc)


class Holder(StrEnum):
    """With whom an errand is. It only ever moves on."""

    CARRIER = "carrier"
    BACKUP = "backup"
    COMMUNE = "commune"
    """On the commune's list, with a number to call."""


class Proof(StrEnum):
    """How we know that an errand is done."""

    TOLD = "told"
    """A person said so."""
    OPENED = "opened"
    """Somebody else opened the village's link, which is only in the group."""


class Errand(Table, table=True):
    """A notice in somebody's hand: what became of an outbox row that is carried into its group by a person."""

    __tablename__ = "errand"
    __table_args__ = (Index("ix_errand_notice_id_unit_id", "notice_id", "unit_id"),)
    outbox_id: int = Field(primary_key=True, foreign_key="outbox.id")
    notice_id: int = Field(foreign_key="notice.id")
    unit_id: int = Field(foreign_key="unit.id")
    chat_id: int = Field(foreign_key="chat.id")
    holder: Holder = Field(default=Holder.CARRIER, sa_type=by_value(Holder))
    person_id: int | None = Field(default=None, foreign_key="person.id", index=True)
    """Who has it now; None: nobody, it is the commune's."""
    reminders: int = 0
    """Sent to the present holder."""
    picture_id: int | None = Field(default=None, foreign_key="stored_file.id")
    handed_at: datetime = Field(sa_type=Utc)
    given_at: datetime = Field(sa_type=Utc)
    """When the present holder got it."""
    reached_at: datetime | None = Field(default=None, sa_type=Utc)
    """When a person first got it; None: nobody was reachable, and it went to the commune at once."""
    done_at: datetime | None = Field(default=None, sa_type=Utc)
    proof: Proof | None = Field(default=None, sa_type=by_value(Proof))
    done_by_id: int | None = Field(default=None, foreign_key="person.id")
    """TOLD: who said so."""


class ReceiptKind(StrEnum):
    DELIVERED = "delivered"
    SEEN = "seen"
    OPENED = "opened"
    """A browser opened the village's link. An estimate: never called read."""
    ACKNOWLEDGED = "acknowledged"


class Answer(StrEnum):
    GOT_IT = "got_it"
    JOIN = "join"
    ABSENT = "absent"
    HELP = "help"


class Receipt(Table, table=True):
    """What one person, or one household recorded by somebody else, did with a notice."""

    __tablename__ = "receipt"
    __table_args__ = (
        UniqueConstraint("notice_id", "kind", "who"),
        Index("ix_receipt_notice_id_unit_id", "notice_id", "unit_id"),
    )
    id: int | None = Field(default=None, primary_key=True)
    notice_id: int = Field(foreign_key="notice.id")
    kind: ReceiptKind = Field(sa_type=by_value(ReceiptKind))
    who: str
    """"a:{account}", "h:{household}:{grade}", or "d:{browser}" of who only opened: once per person and notice."""
    account_id: int | None = Field(default=None, foreign_key="account.id", index=True)
    household_id: int | None = Field(default=None, foreign_key="household.id", index=True)
    """Follows the account when it joins a household or moves to another."""
    unit_id: int | None = Field(default=None, foreign_key="unit.id")
    """The household's village; without a household, the village of the chat."""
    chat_id: int | None = Field(default=None, foreign_key="chat.id")
    grade: Grade | None = Field(default=None, sa_type=by_value(Grade))
    answer: Answer | None = Field(default=None, sa_type=by_value(Answer))
    recorded_by_id: int | None = Field(default=None, foreign_key="person.id")
    heard_at: datetime | None = Field(default=None, sa_type=Utc)
    """When a call for help was passed on to somebody; None: it was none, or nobody could be told."""
    first_at: datetime = Field(sa_type=Utc)
    at: datetime = Field(sa_type=Utc)


class Reach(Table, table=True):
    """The figures of one notice in one village, kept in the transactions that change them (`store.reach`)."""

    __tablename__ = "reach"
    notice_id: int = Field(primary_key=True, foreign_key="notice.id")
    unit_id: int = Field(primary_key=True, foreign_key="unit.id", index=True)
    chats: int = 0
    sent: int = 0
    handed: int = 0
    """Groups whose carrier has it and has not reported yet."""
    by_hand: int = Field(default=0, sa_column_kwargs=ZERO)
    """Of `chats`, groups that people carry to; the rest we write to ourselves."""
    given: int = Field(default=0, sa_column_kwargs=ZERO)
    """Of these, groups where somebody had it in hand, whatever came of it."""
    carried: int = Field(default=0, sa_column_kwargs=ZERO)
    """Groups into which it was carried by hand; also among `sent`."""
    failed: int = 0
    unknown: int = 0
    opens: int | None = None
    """Browsers that opened the village's link; None: no group of this village is reached by hand."""
    members: int | None = None
    """None: no messenger of this village tells."""
    seen: int | None = None
    """None: no messenger of this village tells."""
    households: int = 0
    """In the register; 0: no register."""
    card: int = 0
    number: int = 0
    head: int = 0
    visit: int = 0
    """Households by their best grade; their sum is the households that took note."""
    unlinked: int = 0
    """Accounts that took note and belong to no household of this village."""
    join: int = 0
    absent: int = 0
    help: int = 0
    """Households and unlinked accounts by their latest answer."""


# ---------------------------------------------------------------- work to do


class EventState(StrEnum):
    NEW = "new"
    LEASED = "leased"
    DONE = "done"
    ASIDE = "aside"
    """Failed too often: a person looks at it."""


class InboundEvent(Table, table=True):
    """What a messenger told us, accepted once."""

    __tablename__ = "event"
    __table_args__ = (
        UniqueConstraint("channel_id", "event_id"),
        Index(
            "ix_event_open",
            "id",
            sqlite_where=text("state IN ('new', 'leased')"),
            postgresql_where=text("state IN ('new', 'leased')"),
        ),
        Index(
            "ix_event_chat",
            "channel_id",
            "chat_key",
            "id",
            sqlite_where=text("state IN ('new', 'leased')"),
            postgresql_where=text("state IN ('new', 'leased')"),
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    channel_id: int = Field(foreign_key="channel.id")
    event_id: str
    chat_key: str
    """Events of one chat keep their order."""
    sealed_body: bytes | None = Field(default=None, sa_type=LargeBinary)
    """None once handled."""
    state: EventState = Field(default=EventState.NEW, sa_type=by_value(EventState))
    attempts: int = 0
    not_before: datetime | None = Field(default=None, sa_type=Utc)
    lease_until: datetime | None = Field(default=None, sa_type=Utc)
    error: str = ""
    received_at: datetime = Field(sa_type=Utc)
    done_at: datetime | None = Field(default=None, sa_type=Utc)


class Task(Table, table=True):
    """Something that must happen later. One open task a key: asking again keeps the earlier time."""

    __tablename__ = "task"
    key: str = Field(primary_key=True)
    kind: str
    due_at: datetime = Field(sa_type=Utc, index=True)
    payload: str = Field(default="{}", sa_type=Text)
    attempts: int = 0
    error: str = ""


class Audit(Table, table=True):
    """Who did what. Only ever added to."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_unit_id_id", "unit_id", "id"),)
    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=Utc)
    person_id: int | None = Field(default=None, foreign_key="person.id")
    unit_id: int | None = Field(default=None, foreign_key="unit.id")
    action: str
    subject: str = ""
    detail: str = ""


# ---------------------------------------------------------------- web chat, a messenger of our own


class RoomMessage(Table, table=True):
    """A message in a web chat room."""

    __tablename__ = "room_message"
    __table_args__ = (
        UniqueConstraint("chat_id", "key"),
        Index("ix_room_message_chat_id_change", "chat_id", "change"),
    )
    id: int | None = Field(default=None, primary_key=True)
    chat_id: int = Field(foreign_key="chat.id")
    key: str
    """Of the send, or the browser's own id of what a resident typed: the same key once."""
    change: int
    """Rises with every change in the house's rooms; browsers ask for what is newer."""
    account_id: int | None = Field(default=None, foreign_key="account.id")
    """Who wrote it; None: we did."""
    only_account_id: int | None = Field(default=None, foreign_key="account.id")
    """Shown to this account alone."""
    sealed_payload: bytes = Field(sa_type=LargeBinary)
    """JSON as in `content`; nothing once the message is taken away."""
    file_id: int | None = Field(default=None, foreign_key="stored_file.id")
    reply_to: str | None = None
    is_deleted: bool = False
    at: datetime = Field(sa_type=Utc)


class RoomMember(Table, table=True):
    """An account in a web chat group."""

    __tablename__ = "room_member"
    chat_id: int = Field(primary_key=True, foreign_key="chat.id")
    account_id: int = Field(primary_key=True, foreign_key="account.id", index=True)
    joined_at: datetime = Field(sa_type=Utc)
    read_id: int = 0
    """The newest message that was on the account's screen."""
