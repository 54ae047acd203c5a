"""Groups that exist already and that no account of ours may enter: who carries notices into them."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, or_, select

from adapters.contract import Can
from adapters.text import clean
from bot import chats, people
from bot.errors import Conflict, Invalid, NotFound
from bot.house import House
from bot.later import later
from bot.permissions import NOT_FOUND, Actor, Duty
from store import audit, outbox, sessions
from store.outbox import Step
from store.places import folded
from store.tables import (
    Audience,
    Channel,
    Chat,
    ChatKind,
    Errand,
    Outbox,
    Person,
    RelayGroup,
    Role,
    RoleName,
    State,
    Unit,
)

RELAY = "relay"
"""The adapter whose chats these are."""
MAIN = "main"
LONGEST = 100
"""Letters of a group's name, as Zalo allows."""
MOST_MEMBERS = 100_000
ON_ITS_WAY = (State.QUEUED, State.LEASED, State.SENDING)
"""A row that is being handed over: for the first time, or again after a crash."""
WAITS = (*ON_ITS_WAY, State.HANDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLine:
    """One such group of a village, as the console shows it."""

    chat_id: int
    title: str
    members: int | None
    audience: str
    """'' for the village's own group."""
    carrier_id: int | None
    carrier: str
    backup_id: int | None
    backup: str
    reachable: bool
    """Whether anything reaches the carrier or the backup."""


@dataclass(frozen=True, slots=True)
class Split:
    """How groups are reached."""

    posted: int
    """Groups in which an account of ours posts."""
    by_hand: int
    """Groups into which people carry."""
    carriers: int
    """People who do."""
    idle: tuple[int, ...]
    """Villages with a group that nobody is named to carry to."""


# ---------------------------------------------------------------- setting up


def put(
    session: Session,
    house: House,
    actor: Actor | None,
    village: Unit,
    *,
    title: str,
    members: int | None,
    carrier_id: int | None,
    backup_id: int | None,
    now: datetime,
    chat_id: int | None = None,
    audience_id: int | None = None,
) -> Chat:
    """Note a group of the village, or (`chat_id`) change what is known of it. `actor` None: the machine's own operator.

    Raises NotFound without the duty, Invalid in words for what must be mended, Conflict for a name that the village's
    groups have already, or when relay is switched off.
    """
    if actor is not None and not actor.may(Duty.ENROL, village):
        raise NotFound(NOT_FOUND)
    title = _checked(session, village, title, members, carrier_id, backup_id, audience_id)
    chat = _known(session, village, chat_id) if chat_id is not None else None
    for line in of_village(session, village, now=now):
        if folded(line.title) == folded(title) and line.chat_id != chat_id:
            raise Conflict(f"{village.name} đã có nhóm “{line.title}”.")
    is_new = chat is None
    if chat is None:
        chat = _made(session, house, actor, village, now=now)
    if chat.members != members or is_new:
        chat.members, chat.members_at = members, now if members is not None else None
    chat.title, chat.audience_id = title, audience_id
    session.add(chat)
    session.flush()
    group = session.get(RelayGroup, chat.id) or RelayGroup(chat_id=chat.id or 0)
    was_with = (group.carrier_id, group.backup_id)
    group.carrier_id, group.backup_id = carrier_id, backup_id
    session.add(group)
    session.flush()
    if was_with != (carrier_id, backup_id) and not is_new:
        _pass_on(session, group, {carrier_id, backup_id} - {*was_with, None}, now=now)
    audit.note(
        session,
        at=now,
        person_id=actor.person_id if actor else None,
        unit_id=village.id,
        action="relay group noted" if is_new else "relay group changed",
        subject=f"chat:{chat.id}",
        detail=f"carrier {carrier_id}, backup {backup_id}",
    )
    return chat


def _checked(
    session: Session,
    village: Unit,
    title: str,
    members: int | None,
    carrier_id: int | None,
    backup_id: int | None,
    audience_id: int | None,
) -> str:
    """The group's name as it is kept, when all the rest may be kept too."""
    title = " ".join(clean(title).split())
    if not title:
        raise Invalid("Chưa có tên nhóm. Bác ghi đúng tên nhóm trên Zalo.", "title")
    if len(title) > LONGEST:
        raise Invalid(f"Tên nhóm dài quá {LONGEST} chữ.", "title")
    if members is not None and not 0 <= members <= MOST_MEMBERS:
        raise Invalid(f"Số người trong nhóm từ 0 đến {MOST_MEMBERS}.", "members")
    may = {person.id for person in candidates(session, village)}
    for person_id, field in ((carrier_id, "carrier"), (backup_id, "backup")):
        if person_id is not None and person_id not in may:
            raise Invalid(f"Người này không giữ việc gì ở {village.name}. Giao việc cho họ trước.", field)
    if audience_id is not None:
        audience = session.get(Audience, audience_id)
        if audience is None or not village.path.startswith(session.get_one(Unit, audience.unit_id).path):
            raise NotFound(NOT_FOUND)
    return title


def _known(session: Session, village: Unit, chat_id: int) -> Chat:
    chat = session.get(Chat, chat_id)
    if chat is None or chat.unit_id != village.id or session.get(RelayGroup, chat_id) is None:
        raise NotFound(NOT_FOUND)
    return chat


def _made(session: Session, house: House, actor: Actor | None, village: Unit, *, now: datetime) -> Chat:
    channel = session.exec(select(Channel).where(Channel.adapter == RELAY, Channel.name == MAIN)).first()
    if channel is None or channel.id is None:
        raise Conflict("Chưa bật cách chuyển tay. Quản trị thêm relay vào ADAPTERS rồi khởi động lại.")
    address = f"r:{secrets.token_hex(16)}"
    return Chat(
        channel_id=channel.id,
        address_key=chats.address_key(house.vault, channel.id, address),
        sealed_address=house.vault.seal(address),
        kind=ChatKind.GROUP,
        unit_id=village.id,
        bound_by_id=actor.person_id if actor else None,
        bound_at=now,
        created_at=now,
    )


def _pass_on(session: Session, group: RelayGroup, new: Iterable[int | None], *, now: datetime) -> None:
    """Others carry to this group from now on: what waits for it is looked at at once. `new`: who was not named yet."""
    waiting = (
        select(Errand.outbox_id)
        .join(Outbox, col(Outbox.id) == Errand.outbox_id)
        .where(Errand.chat_id == group.chat_id, col(Outbox.state).in_(WAITS))
    )
    for outbox_id in session.exec(waiting).all():
        # A key for each change: of two within a second, neither must be lost.
        key = f"{outbox_id}:{group.carrier_id}:{group.backup_id}"
        later(session, "carry", key, now, outbox=outbox_id, new=sorted(id_ for id_ in new if id_ is not None))


def close(session: Session, actor: Actor | None, chat: Chat, *, now: datetime) -> None:
    """The group is served no longer: what waits for it is dropped. Raises NotFound without the duty."""
    group = session.get(RelayGroup, chat.id)
    if group is None or chat.unit_id is None:
        raise NotFound(NOT_FOUND)
    if actor is not None and not actor.may(Duty.ENROL, session.get_one(Unit, chat.unit_id)):
        raise NotFound(NOT_FOUND)
    session.flush()
    connection = session.connection()
    outbox.lapse(connection, chat_id=chat.id, now=now)
    waiting = select(Outbox.id).where(Outbox.chat_id == chat.id, col(Outbox.state).in_(WAITS))
    for row_id in session.exec(waiting).all():
        outbox.advance(connection, row_id or 0, Step.GIVE_BACK)
        outbox.advance(connection, row_id or 0, Step.CANCEL)
        later(session, "carry", str(row_id), now, outbox=row_id)
    audit.note(
        session,
        at=now,
        person_id=actor.person_id if actor else None,
        unit_id=chat.unit_id,
        action="relay group closed",
        subject=f"chat:{chat.id}",
    )
    group.carrier_id = group.backup_id = None
    chat.unit_id = chat.audience_id = chat.bound_by_id = chat.bound_at = None
    session.add_all((group, chat))
    session.flush()


# ---------------------------------------------------------------- looking


def of_village(session: Session, village: Unit, *, now: datetime) -> list[RelayLine]:
    """Its groups that are reached by hand."""
    rows = session.exec(
        select(Chat, RelayGroup)
        .join(RelayGroup, col(RelayGroup.chat_id) == Chat.id)
        .where(Chat.unit_id == village.id)
        .order_by(col(Chat.id))
    ).all()
    people_ids = {person_id for _, group in rows for person_id in (group.carrier_id, group.backup_id)}
    names = {person.id: person.name for person in session.exec(select(Person).where(col(Person.id).in_(people_ids)))}
    audience_ids = {chat.audience_id for chat, _ in rows}
    audiences = {row.id: row.name for row in session.exec(select(Audience).where(col(Audience.id).in_(audience_ids)))}
    return [
        RelayLine(
            chat_id=chat.id or 0,
            title=chat.title,
            members=chat.members,
            audience=audiences.get(chat.audience_id, ""),
            carrier_id=group.carrier_id,
            carrier=names.get(group.carrier_id, ""),
            backup_id=group.backup_id,
            backup=names.get(group.backup_id, ""),
            reachable=any(
                reachable(session, person_id, village, now=now) for person_id in (group.carrier_id, group.backup_id)
            ),
        )
        for chat, group in rows
    ]


def candidates(session: Session, village: Unit) -> list[Person]:
    """Who may carry for the village: active, with a duty there other than reading figures; the village's own first."""
    above = [int(part) for part in village.path.strip("/").split("/")]
    rows = session.exec(
        select(Person, Role.unit_id)
        .join(Role, col(Role.person_id) == Person.id)
        .where(
            col(Person.is_active),
            col(Role.unit_id).in_(above),
            col(Role.revoked_at).is_(None),
            Role.role != RoleName.VIEWER,
        )
        .order_by(Person.name, col(Person.id))
    ).all()
    own = [person for person, unit_id in rows if unit_id == village.id]
    others = [person for person, unit_id in rows if unit_id != village.id]
    return list({person.id: person for person in (*own, *others)}.values())


def reachable(session: Session, person_id: int | None, village: Unit, *, now: datetime) -> bool:
    """Whether the person may carry for the village and anything brings a kit to them: a chat, or a linked phone that
    is still good."""
    if person_id is None or not may_carry(session, person_id, village):
        return False
    if people.private_chats(session, person_id):
        return True
    return sessions.is_signed_in(session, person_id, now=now, is_phone=True)


def may_carry(session: Session, person_id: int, village: Unit) -> bool:
    """Whether the person is one of `candidates`."""
    return any(person.id == person_id for person in candidates(session, village))


def carries_any(session: Session, person_id: int) -> bool:
    """Whether the person is carrier or backup of any group."""
    theirs = or_(RelayGroup.carrier_id == person_id, RelayGroup.backup_id == person_id)
    return session.exec(select(RelayGroup.chat_id).where(theirs).limit(1)).first() is not None


def by_hand(session: Session, house: House, channel_ids: Sequence[int]) -> frozenset[int]:
    """Which of these channels people carry for; also of one that is closed now."""
    kept = session.exec(select(Channel.id).where(col(Channel.id).in_(list(channel_ids)), col(Channel.hands_over)))
    open_now = (id_ for id_ in channel_ids if id_ in house.messengers and Can.HANDS_OVER in house.messengers[id_].can)
    return frozenset((*(channel_id or 0 for channel_id in kept), *open_now))


def split(session: Session, house: House, groups: Sequence[Chat]) -> Split:
    """How these groups are reached."""
    hands = by_hand(session, house, list({group.channel_id for group in groups}))
    carried = {group.id or 0: group for group in groups if group.channel_id in hands}
    named = {
        row.chat_id: row.carrier_id or row.backup_id
        for row in session.exec(select(RelayGroup).where(col(RelayGroup.chat_id).in_(list(carried))))
    }
    idle = dict.fromkeys(chat.unit_id or 0 for chat_id, chat in carried.items() if named.get(chat_id) is None)
    carriers = {person_id for person_id in named.values() if person_id is not None}
    return Split(len(groups) - len(carried), len(carried), len(carriers), tuple(idle))
