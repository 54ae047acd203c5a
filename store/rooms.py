"""Rooms of the web chat, a messenger of our own: messages, members, what was seen.

Addresses of rooms are what other messengers call a chat id: "g:{unit code}" is a village's group,
"g:{unit code}:{audience id}" the group of another audience, "p:{sender id}" the private chat with one browser. Messages
hold a payload that `bot.messages` writes and reads; it lies here sealed, because residents talk in it and a head's
lists name households. Each change of a room gets a number (`change`) that rises in the order of commits, so that a
browser can ask for what is newer than what it has.
"""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete as sql_delete
from sqlalchemy import func, or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from store.crypto import Vault
from store.tables import (
    Account,
    Attachment,
    Audience,
    Channel,
    ChannelFile,
    Chat,
    ChatKind,
    Content,
    Role,
    RoleName,
    RoomMember,
    RoomMessage,
    Standing,
    StoredFile,
    Table,
    Unit,
)

CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
PAGE = 30
"""Messages shown at once."""
MOST_CHANGES = 200
KEPT = timedelta(days=90)
"""How long residents' talk and private rooms are kept."""
SEALED_FOR = "room message"
MOST_READ = 100
"""Posts of ours that one report of reading can cover."""
SEEN_AS = {
    RoleName.VILLAGE_HEAD: 1,
    RoleName.OFFICIAL: 2,
    RoleName.ADMIN: 2,
    RoleName.POLICE: 3,
    RoleName.HELPER: 4,
}
"""Duties that a room shows beside a message, the one that counts most first."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as a room shows it."""

    id: int
    change: int
    key: str
    account_id: int | None
    """None: we wrote it."""
    only_account_id: int | None
    payload: str
    file_id: int | None
    reply_to: str | None
    is_deleted: bool
    at: datetime
    duty: RoleName | None = None
    """The author's duty over this place, if any."""
    quoted: str | None = None
    """Payload of the message that it replies to."""

    def visible_to(self, account_id: int | None) -> bool:
        return self.only_account_id is None or self.only_account_id == account_id


@dataclass(frozen=True, slots=True)
class Group:
    """A group as the list of rooms shows it."""

    code: str
    name: str
    members: int


# ---------------------------------------------------------------- rooms and people


def group_address(unit_code: str, audience_id: int | None = None) -> str:
    return f"g:{unit_code}" if audience_id is None else f"g:{unit_code}:{audience_id}"


def private_address(sender_id: str) -> str:
    return f"p:{sender_id}"


def invitation(vault: Vault, unit_code: str, audience_id: int) -> str:
    """What stands in the address of a group that only invited people find."""
    return vault.sign("room", f"{unit_code}~{audience_id}")


def address_of(vault: Vault, code: str) -> str | None:
    """The room that /chat/{code} means: a unit's code, or an invitation. None for what can be neither."""
    if CODE.fullmatch(code):
        return group_address(code)
    unit_code, _, audience_id = (vault.unsign("room", code) or "").rpartition("~")
    return group_address(unit_code, int(audience_id)) if unit_code and audience_id.isdecimal() else None


def find(session: Session, vault: Vault, channel_id: int, room: str) -> Chat | None:
    """The chat at this address; None when there is no such room."""
    key = vault.fingerprint("chat", str(channel_id), room)
    return session.exec(select(Chat).where(Chat.channel_id == channel_id, Chat.address_key == key)).one_or_none()


def ensure_group(
    session: Session, vault: Vault, channel_id: int, unit: Unit, *, now: datetime, audience: Audience | None = None
) -> Chat:
    """The group of this village (or of this audience there), made and bound to it when it is not there yet."""
    address = group_address(unit.code, audience.id if audience else None)
    title = f"{unit.name} – {audience.name}" if audience else unit.name
    chat = _chat(session, vault, channel_id, address, ChatKind.GROUP, now=now)
    if chat.bound_at is None:
        chat.title, chat.bound_at = title, now
        chat.unit_id, chat.audience_id = unit.id, audience.id if audience else None
        session.flush()
    return chat


def groups(session: Session, channel_id: int) -> list[Group]:
    """The villages that have a group here, by name. Groups of other audiences are found by invitation alone."""
    members = select(func.count()).where(RoomMember.chat_id == Chat.id).scalar_subquery()
    rows = session.exec(
        select(Unit.code, Unit.name, members)
        .join(Chat, col(Chat.unit_id) == Unit.id)
        .where(
            Chat.channel_id == channel_id,
            Chat.kind == ChatKind.GROUP,
            Chat.standing != Standing.GONE,
            col(Chat.audience_id).is_(None),
            col(Unit.valid_to).is_(None),
        )
        .order_by(Unit.folded)
    )
    return [Group(code, name, count) for code, name, count in rows]


def has_group(session: Session, unit_id: int) -> bool:
    """Whether the village has a room of its own, in which residents can write to us."""
    room = (
        select(Chat.id)
        .join(Channel, col(Channel.id) == Chat.channel_id)
        .where(
            Chat.unit_id == unit_id,
            col(Chat.audience_id).is_(None),
            Chat.kind == ChatKind.GROUP,
            Chat.standing != Standing.GONE,
            Channel.adapter == "webchat",
        )
    )
    return session.exec(room.limit(1)).first() is not None


def account_of(session: Session, vault: Vault, channel_id: int, sender_id: str) -> Account | None:
    """Whose browser this is; None while it only looked."""
    key = vault.fingerprint("user", str(channel_id), sender_id)
    return session.exec(select(Account).where(Account.channel_id == channel_id, Account.user_key == key)).one_or_none()


def ensure_account(
    session: Session, vault: Vault, channel_id: int, sender_id: str, *, now: datetime, unit_id: int | None = None
) -> Account:
    """The browser's account with its private room, made when they are not there yet."""
    account = account_of(session, vault, channel_id, sender_id)
    if account is None:
        key = vault.fingerprint("user", str(channel_id), sender_id)
        _insert_once(session, Account, channel_id=channel_id, user_key=key, created_at=now)
        account = account_of(session, vault, channel_id, sender_id)
        assert account is not None
    if account.private_chat_id is None:
        chat = _chat(session, vault, channel_id, private_address(sender_id), ChatKind.PRIVATE, now=now)
        account.private_chat_id = chat.id
        session.flush()
        join(session, _id(chat.id), _id(account.id), now=now)
    if unit_id is not None:
        account.unit_id = unit_id
    session.flush()
    return account


def join(session: Session, chat_id: int, account_id: int, *, now: datetime) -> bool:
    """Make the account a member. False: it was one. What its first page shows can still be reported as seen."""
    if session.get(RoomMember, (chat_id, account_id)) is not None:
        return False
    newest = select(RoomMessage.id).where(RoomMessage.chat_id == chat_id).order_by(col(RoomMessage.id).desc())
    first_page = session.exec(newest.limit(PAGE)).all()
    read_id = _id(first_page[-1]) - 1 if first_page else 0
    _insert_once(session, RoomMember, chat_id=chat_id, account_id=account_id, joined_at=now, read_id=read_id)
    return True


def leave(session: Session, chat_id: int, account_id: int) -> bool:
    """False: the account was no member."""
    member = session.get(RoomMember, (chat_id, account_id))
    if member is None:
        return False
    session.delete(member)
    return True


def is_member(session: Session, chat_id: int, account_id: int) -> bool:
    return session.get(RoomMember, (chat_id, account_id)) is not None


def count_members(session: Session, chat_id: int) -> int:
    return session.exec(select(func.count()).where(RoomMember.chat_id == chat_id)).one()


def forget(session: Session, account_id: int) -> None:
    """Take away what the account wrote, what only it was shown, its private room's talk and its memberships.

    The account's row stays.
    """
    private = select(Account.private_chat_id).where(Account.id == account_id)
    about = or_(
        col(RoomMessage.account_id) == account_id,
        col(RoomMessage.only_account_id) == account_id,
        col(RoomMessage.chat_id).in_(private),
    )
    for message in session.exec(select(RoomMessage).where(about).order_by(RoomMessage.chat_id)):  # type: ignore[arg-type]
        _hide(message, _next_change(session, message.chat_id))
        message.account_id = message.only_account_id = None
        session.flush()
    session.exec(sql_delete(RoomMember).where(col(RoomMember.account_id) == account_id))


def forget_old(session: Session, *, now: datetime) -> int:
    """Take away what residents wrote, and all that private rooms hold, once it is old; what groups were told stays.

    Returns how many messages. Their bare rows stay, since the numbers of a room's changes must not begin anew.
    """
    private = select(Chat.id).where(Chat.kind == ChatKind.PRIVATE)
    talk = or_(
        col(RoomMessage.account_id).is_not(None),
        col(RoomMessage.only_account_id).is_not(None),
        col(RoomMessage.chat_id).in_(private),
    )
    old = (col(RoomMessage.at) < now - KEPT, col(RoomMessage.is_deleted).is_(False), talk)
    files = session.exec(select(RoomMessage.file_id).where(*old, col(RoomMessage.file_id).is_not(None))).all()
    taken = update(RoomMessage).where(*old).values(is_deleted=True, sealed_payload=b"", file_id=None)
    forgotten = session.connection().execute(taken).rowcount
    for file_id in set(files):
        if file_id is not None and not _is_used(session, file_id):
            session.connection().execute(sql_delete(StoredFile).where(col(StoredFile.id) == file_id))
    session.expire_all()
    return forgotten


def _is_used(session: Session, file_id: int) -> bool:
    """A message, a notice or a messenger still needs the file."""
    uses = (
        select(RoomMessage.file_id).where(RoomMessage.file_id == file_id),
        select(Attachment.file_id).where(Attachment.file_id == file_id),
        select(ChannelFile.file_id).where(ChannelFile.file_id == file_id),
        select(Content.id).where(col(Content.payload).contains(f'"file":[{file_id},', autoescape=True)),
    )
    return any(session.exec(use.limit(1)).first() is not None for use in uses)


# ---------------------------------------------------------------- what is said


def post(
    session: Session,
    vault: Vault,
    chat_id: int,
    *,
    key: str,
    payload: str,
    now: datetime,
    account_id: int | None = None,
    only_account_id: int | None = None,
    file_id: int | None = None,
    reply_to: str | None = None,
) -> int:
    """Show a message in the room and return its id. The same `key` again changes nothing."""
    change = _next_change(session, chat_id)
    told = session.exec(select(RoomMessage.id).where(RoomMessage.chat_id == chat_id, RoomMessage.key == key)).first()
    if told is not None:
        return told
    message = RoomMessage(
        chat_id=chat_id,
        key=key,
        change=change,
        account_id=account_id,
        only_account_id=only_account_id,
        sealed_payload=_sealed(vault, payload),
        file_id=file_id,
        reply_to=reply_to,
        at=now,
    )
    session.add(message)
    session.flush()
    return _id(message.id)


def edit(
    session: Session, vault: Vault, chat_id: int, message_id: str, *, payload: str, file_id: int | None = None
) -> bool:
    """Make our message say this. False: there is no such message. A payload without a file leaves the file as it is."""
    message = _ours(session, chat_id, message_id)
    if message is None or message.is_deleted:
        return False
    before = _opened(vault, message.sealed_payload)
    payload = _with_file_of(before, payload)
    if before != payload:
        message.change = _next_change(session, chat_id)
        message.sealed_payload = _sealed(vault, payload)
        message.file_id = file_id or message.file_id
    return True


def delete(session: Session, chat_id: int, message_id: str) -> bool:
    """Take our message away, its words included. False: there is no such message."""
    message = _ours(session, chat_id, message_id)
    if message is None or message.is_deleted:
        return False
    _hide(message, _next_change(session, chat_id))
    return True


def press_id(chat_id: int, message_id: int, account_id: int, client_id: str) -> str:
    """Names one press of a button; `whisper` finds the presser by it."""
    return f"{chat_id}.{message_id}.{account_id}.{client_id}"


def whisper(session: Session, vault: Vault, press: str, payload: str, *, now: datetime) -> bool:
    """Show the presser alone what their press did; the answer to a later press of the same message replaces it.

    False: there is no such room or account any more.
    """
    chat_id, message_id, account_id = (int(part) for part in press.split(".")[:3])
    if session.get(Chat, chat_id) is None or session.get(Account, account_id) is None:
        return False
    change = _next_change(session, chat_id)
    key = f"w:{account_id}:{message_id}"
    before = session.exec(select(RoomMessage).where(RoomMessage.chat_id == chat_id, RoomMessage.key == key)).first()
    if before is None:
        session.add(
            RoomMessage(
                chat_id=chat_id,
                key=key,
                change=change,
                only_account_id=account_id,
                sealed_payload=_sealed(vault, payload),
                reply_to=str(message_id),
                at=now,
            )
        )
    else:
        before.change, before.is_deleted, before.at = change, False, now
        before.sealed_payload = _sealed(vault, payload)
        before.only_account_id = account_id
    session.flush()
    return True


def fetch(session: Session, ref: str) -> bytes | None:
    """The bytes of a file in a room; `ref` is what an event of ours calls it: the stored file's id."""
    return (
        session.exec(select(StoredFile.content).where(StoredFile.id == int(ref))).first() if ref.isdecimal() else None
    )


# ---------------------------------------------------------------- what is seen


def message(session: Session, vault: Vault, chat_id: int, message_id: int, viewer: int | None) -> Shown | None:
    """One message, if it is in this room, not taken away, and this account may see it."""
    wanted = _visible(chat_id, viewer).where(col(RoomMessage.id) == message_id)
    found = _shown(session, vault, chat_id, session.exec(wanted).all())
    return found[0] if found and not found[0].is_deleted else None


def by_key(session: Session, vault: Vault, chat_id: int, key: str) -> Shown | None:
    """The message of this key, whoever may see it."""
    wanted = select(RoomMessage).where(RoomMessage.chat_id == chat_id, RoomMessage.key == key)
    found = _shown(session, vault, chat_id, session.exec(wanted).all())
    return found[0] if found else None


def history(
    session: Session, vault: Vault, chat_id: int, viewer: int | None, *, before: int | None = None, limit: int = PAGE
) -> list[Shown]:
    """The newest messages (older than `before`) that this account may see, oldest first.

    What was whispered to it comes with the message that it is about.
    """
    said = _visible(chat_id, None).where(col(RoomMessage.is_deleted).is_(False))
    if before is not None:
        said = said.where(col(RoomMessage.id) < before)
    page = list(session.exec(said.order_by(col(RoomMessage.id).desc()).limit(limit)).all())
    if viewer is not None:
        about = [f"w:{viewer}:{m.id}" for m in page]
        notes = _visible(chat_id, viewer).where(col(RoomMessage.key).in_(about), col(RoomMessage.is_deleted).is_(False))
        page += session.exec(notes).all()
    return _shown(session, vault, chat_id, sorted(page, key=lambda m: _id(m.id)))


def changes_since(
    session: Session, vault: Vault, chat_id: int, since: int, *, limit: int = MOST_CHANGES
) -> list[Shown]:
    """What changed after `since`, in the order of the changes, whoever may see it: the caller asks `visible_to`."""
    newer = select(RoomMessage).where(RoomMessage.chat_id == chat_id, RoomMessage.change > since)
    return _shown(session, vault, chat_id, session.exec(newer.order_by(col(RoomMessage.change)).limit(limit)).all())


def versions(session: Session, chat_ids: Collection[int]) -> dict[int, int]:
    """The newest change of each room; 0 for a silent one."""
    newest = select(RoomMessage.chat_id, func.max(RoomMessage.change)).where(col(RoomMessage.chat_id).in_(chat_ids))
    return dict.fromkeys(chat_ids, 0) | dict(session.exec(newest.group_by(col(RoomMessage.chat_id))).all())


def unread(session: Session, chat_id: int, account_id: int) -> int:
    """How many of our messages came after the newest that was on the account's screen."""
    member = session.get(RoomMember, (chat_id, account_id))
    return session.exec(
        select(func.count()).where(
            RoomMessage.chat_id == chat_id,
            col(RoomMessage.id) > (member.read_id if member else 0),
            col(RoomMessage.account_id).is_(None),
            or_(col(RoomMessage.only_account_id).is_(None), col(RoomMessage.only_account_id) == account_id),
            col(RoomMessage.is_deleted).is_(False),
        )
    ).one()


def mark_read(session: Session, chat_id: int, account_id: int, up_to: int) -> list[int]:
    """Remember what was on the member's screen. Returns our posts among it that were not before, oldest first."""
    member = session.get(RoomMember, (chat_id, account_id))
    newest = session.exec(select(func.max(RoomMessage.id)).where(RoomMessage.chat_id == chat_id)).one() or 0
    up_to = min(up_to, newest)
    if member is None or member.read_id >= up_to:
        return []
    posts = session.exec(
        select(RoomMessage.id)
        .where(
            RoomMessage.chat_id == chat_id,
            col(RoomMessage.id) > member.read_id,
            col(RoomMessage.id) <= up_to,
            col(RoomMessage.account_id).is_(None),
            col(RoomMessage.only_account_id).is_(None),
            col(RoomMessage.is_deleted).is_(False),
        )
        .order_by(col(RoomMessage.id).desc())
        .limit(MOST_READ)
    ).all()
    member.read_id = up_to
    return sorted(_id(post) for post in posts)


# ---------------------------------------------------------------- inside


def _chat(session: Session, vault: Vault, channel_id: int, address: str, kind: ChatKind, *, now: datetime) -> Chat:
    """The chat at this address, made when it is not there yet."""
    chat = find(session, vault, channel_id, address)
    if chat is None:
        _insert_once(
            session,
            Chat,
            channel_id=channel_id,
            address_key=vault.fingerprint("chat", str(channel_id), address),
            sealed_address=vault.seal(address),
            kind=kind,
            created_at=now,
        )
        chat = find(session, vault, channel_id, address)
        assert chat is not None
    return chat


def _insert_once(session: Session, model: type[Table], **values: object) -> None:
    """Insert the row unless it is there: two requests of one browser may come at the same time."""
    connection = session.connection()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    row = model(**values).model_dump(exclude={"id"})
    connection.execute(insert(model.__table__).values(row).on_conflict_do_nothing())  # type: ignore[attr-defined]


def _next_change(session: Session, chat_id: int) -> int:
    """The number of the room's next change. Holds the chat's row until the commit: numbers are seen in their order."""
    session.exec(select(Chat.id).where(Chat.id == chat_id).with_for_update()).one()
    return (session.exec(select(func.max(RoomMessage.change)).where(RoomMessage.chat_id == chat_id)).one() or 0) + 1


def _ours(session: Session, chat_id: int, message_id: str) -> RoomMessage | None:
    found = session.get(RoomMessage, int(message_id)) if message_id.isdecimal() else None
    if found is None or found.chat_id != chat_id or found.account_id is not None or found.only_account_id is not None:
        return None
    return found


def _sealed(vault: Vault, payload: str) -> bytes:
    return vault.seal(payload, purpose=SEALED_FOR)


def _opened(vault: Vault, sealed: bytes) -> str:
    """Of a message that was taken away: an empty one."""
    return vault.open_text(sealed, purpose=SEALED_FOR) if sealed else "{}"


def _with_file_of(before: str, payload: str) -> str:
    """`payload`, with the file of the one before it when it names none."""
    file = json.loads(before).get("file")
    data = json.loads(payload)
    if file is None or "file" in data:
        return payload
    return json.dumps(data | {"file": file}, ensure_ascii=False, separators=(",", ":"))


def _hide(message: RoomMessage, change: int) -> None:
    message.change, message.is_deleted, message.sealed_payload, message.file_id = change, True, b"", None


def _visible(chat_id: int, viewer: int | None) -> SelectOfScalar[RoomMessage]:
    only = col(RoomMessage.only_account_id)
    allowed = only.is_(None) if viewer is None else or_(only.is_(None), only == viewer)
    return select(RoomMessage).where(RoomMessage.chat_id == chat_id, allowed)


def _shown(session: Session, vault: Vault, chat_id: int, messages: Sequence[RoomMessage]) -> list[Shown]:
    duties = _duties(session, chat_id, {m.account_id for m in messages if m.account_id is not None})
    quoted = _quoted(
        session, vault, chat_id, {int(m.reply_to) for m in messages if m.reply_to and m.reply_to.isdecimal()}
    )
    return [
        Shown(
            id=_id(m.id),
            change=m.change,
            key=m.key,
            account_id=m.account_id,
            only_account_id=m.only_account_id,
            payload=_opened(vault, m.sealed_payload),
            file_id=m.file_id,
            reply_to=m.reply_to,
            is_deleted=m.is_deleted,
            at=m.at,
            duty=duties.get(m.account_id) if m.account_id is not None else None,
            quoted=quoted.get(m.reply_to or ""),
        )
        for m in messages
    ]


def _quoted(session: Session, vault: Vault, chat_id: int, ids: Collection[int]) -> dict[str, str]:
    """Payloads by message id. What only one person may see is quoted to nobody."""
    if not ids:
        return {}
    rows = session.exec(
        select(RoomMessage.id, RoomMessage.sealed_payload).where(
            RoomMessage.chat_id == chat_id,
            col(RoomMessage.id).in_(ids),
            col(RoomMessage.only_account_id).is_(None),
            col(RoomMessage.is_deleted).is_(False),
        )
    )
    return {str(found): _opened(vault, sealed) for found, sealed in rows}


def _duties(session: Session, chat_id: int, account_ids: Collection[int]) -> dict[int, RoleName]:
    """What each of these accounts is for this room's place: its own or one above it."""
    path = session.exec(select(Unit.path).join(Chat, col(Chat.unit_id) == Unit.id).where(Chat.id == chat_id)).first()
    if not account_ids or path is None:
        return {}
    places = [int(part) for part in path.split("/") if part]
    rows = session.exec(
        select(Account.id, Role.role)
        .join(Role, col(Role.person_id) == Account.person_id)
        .where(col(Account.id).in_(account_ids), col(Role.unit_id).in_(places), col(Role.revoked_at).is_(None))
    )
    found = [(_id(account_id), RoleName(role)) for account_id, role in rows]
    known = [(account_id, role) for account_id, role in found if role in SEEN_AS]
    # The last one written wins: the duty that counts most.
    return dict(sorted(known, key=lambda pair: -SEEN_AS[pair[1]]))


def _id(value: int | None) -> int:
    assert value is not None, "flushed rows have ids"
    return value
