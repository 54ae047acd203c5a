"""A small commune to test decisions in: real tables on a real SQLite file, people who type and press.

Nothing is sent; what would be sent is read from the outbox, and `World.deliver` plays the messengers that took it.
Groups that are reached by hand belong to a second channel: their rows become errands, with kits in private chats.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import create_engine, event
from sqlmodel import Session, col, select

from adapters.contract import (
    ButtonPressed,
    Can,
    ChatKind,
    ChatRef,
    FileRef,
    Limits,
    MessageReceived,
    NobodyCarries,
    Sender,
    Standing,
    StandingChanged,
)
from adapters.text import joined
from bot import errands, inbox, people, relays
from bot.house import House, Messenger
from bot.messages import Message, marked, of_payload
from bot.permissions import Actor, actor_of
from bot.turn import PressAnswer
from store import outbox
from store.crypto import Vault
from store.tables import (
    Account,
    Channel,
    Chat,
    Household,
    Issuer,
    IssuerKind,
    Notice,
    Outbox,
    Person,
    RoleName,
    Table,
    Unit,
    UnitKind,
)
from store.tables import ChatKind as StoredKind

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
ACCEPTED = outbox.Step.ACCEPTED
PRAGMAS = "PRAGMA foreign_keys=ON; PRAGMA synchronous=OFF"
COMPILED: dict[Any, Any] = {}
PICTURE = b"\x89PNG\r\n\x1a\n of a notice"
BY_HAND = Can.FILES | Can.HANDS_OVER | Can.SAFE_TO_REPEAT
EVERYTHING = Can.BUTTONS | Can.EDIT | Can.DELETE | Can.FILES | Can.ANSWER_PRESS | Can.COUNT_MEMBERS


@dataclass
class World:
    session: Session
    house: House
    messenger: Messenger
    commune: Unit
    villages: list[Unit]
    now: datetime = NOW
    ids: Iterator[int] = field(default_factory=lambda: count(1))
    shown: dict[int, Message] = field(default_factory=dict)
    """What each delivered post shows now, by outbox row."""
    addresses: dict[int, str] = field(default_factory=dict)
    """Where each post went, by outbox row."""
    others: list[Messenger] = field(default_factory=list)
    """Further messengers like the first, if the test asked for them."""
    picture: bytes | None = PICTURE
    """What the drawing of a notice gives."""

    # ------------------------------------------------------------ people

    def person(self, name: str, role: RoleName, unit: Unit) -> Person:
        person = people.add_person(self.session, name, None, now=self.now)
        people.grant(self.session, person, role, unit, by=None, now=self.now)
        return person

    def head(self, number: int = 0) -> Person:
        village = self.villages[number]
        return self.person(f"Trưởng bản {village.name}", RoleName.VILLAGE_HEAD, village)

    def official(self, name: str = "Cán bộ văn hoá") -> Person:
        return self.person(name, RoleName.OFFICIAL, self.commune)

    def actor(self, person: Person) -> Actor:
        assert person.id is not None
        return actor_of(self.session, person.id)

    def linked(self, person: Person, user: str) -> str:
        """Tie the account `user` to the person, the way people do it; returns `user`."""
        self.type(user, f"/lienket {people.new_link_code(self.session, self.house, person, now=self.now)}")
        return user

    # ------------------------------------------------------------ groups

    def relay_group(
        self, village: Unit, carrier: Person | None, backup: Person | None = None, *, title: str = "", members: int = 80
    ) -> Chat:
        """An existing group that no account of ours may enter."""
        return relays.put(
            self.session,
            self.house,
            self.actor(self.official("Cán bộ lập nhóm")),
            village,
            title=title or f"Nhóm Zalo {village.name}",
            members=members,
            carrier_id=carrier.id if carrier else None,
            backup_id=backup.id if backup else None,
            now=self.now,
        )

    def group(self, village: Unit | None, chat_id: str, *, on: Messenger | None = None) -> Chat:
        channel_id = (on or self.messenger).channel_id
        chat = Chat(
            channel_id=channel_id,
            address_key=self.house.vault.fingerprint("chat", str(channel_id), chat_id),
            sealed_address=self.house.vault.seal(chat_id),
            kind=StoredKind.GROUP,
            title=f"Nhóm {chat_id}",
            unit_id=village.id if village else None,
            created_at=self.now,
        )
        self.session.add(chat)
        self.session.flush()
        return chat

    def households(self, village: Unit, number: int) -> list[Household]:
        made = [Household(unit_id=village.id or 0, number=n) for n in range(1, number + 1)]
        self.session.add_all(made)
        self.session.flush()
        return made

    # ------------------------------------------------------------ what residents do

    def type(
        self,
        user: str,
        text: str,
        *,
        group: str = "",
        files: tuple[tuple[FileRef, bytes], ...] = (),
        reply_to: str | None = None,
        on: Messenger | None = None,
    ) -> list[str]:
        """Type in private, or in a group; returns what is said back in that chat."""
        chat = ChatRef(group, ChatKind.GROUP, f"Nhóm {group}") if group else ChatRef(user, ChatKind.PRIVATE)
        event_id = str(next(self.ids))
        message = MessageReceived(
            event_id=event_id,
            chat=chat,
            sender=Sender(user),
            message_id=event_id,
            text=text,
            at=self.now,
            reply_to=reply_to,
            files=tuple(ref for ref, _ in files),
        )
        before = self._last()
        self._handle(message, {ref.ref: content for ref, content in files}, on=on)
        return self._said(before, chat.id)

    def press(
        self, user: str, label: str, *, chat: str = "", row: int | None = None, on: Messenger | None = None
    ) -> str:
        """Press the newest button that begins with `label` in a chat; returns what the presser is told."""
        where = chat or user
        found = [
            (row_id, button)
            for row_id, message in sorted(self.shown.items(), reverse=True)
            if self._address(row_id) == where and row in (None, row_id)
            for line in marked(message.buttons, row_id)
            for button in line
            if label in button.label
        ]
        assert found, f"no button {label!r} in {where}"
        row_id, button = found[0]
        return self.press_token(user, button.token, chat=chat, message_id=f"m{row_id}", on=on)

    def press_token(
        self, user: str, token: str, *, chat: str = "", message_id: str = "m0", on: Messenger | None = None
    ) -> str:
        """What a messenger would hand us, made up or not; returns what the presser is told."""
        kind = ChatKind.GROUP if chat else ChatKind.PRIVATE
        event_id = str(next(self.ids))
        pressed = ButtonPressed(
            event_id=event_id,
            chat=ChatRef(chat or user, kind),
            sender=Sender(user),
            message_id=message_id,
            token=token,
            press_id=f"p{event_id}",
            at=self.now,
        )
        answers = self._handle(pressed, {}, on=on)
        assert len(answers) == 1, "a press is always answered, once"
        return answers[0].text

    def standing(self, chat_id: str, standing: Standing, user: str = "someone") -> None:
        chat = ChatRef(chat_id, ChatKind.GROUP, f"Nhóm {chat_id}")
        event_id = str(next(self.ids))
        self._handle(
            StandingChanged(event_id=event_id, chat=chat, sender=Sender(user), standing=standing, at=self.now), {}
        )

    def _handle(self, event: object, files: dict[str, bytes], *, on: Messenger | None = None) -> list[PressAnswer]:
        answers = inbox.handle(self.session, self.house, on or self.messenger, event, now=self.now, files=files)  # type: ignore[arg-type]
        self.session.commit()
        self.deliver()
        return answers

    # ------------------------------------------------------------ what the messenger does

    def deliver(self) -> None:
        """Take everything that waits, in order, as messengers do when all goes well; what is carried by hand first."""
        for messenger in sorted(self.house.messengers.values(), key=lambda m: Can.HANDS_OVER not in m.can):
            self._deliver(messenger.channel_id, by_hand=Can.HANDS_OVER in messenger.can)
        self.session.commit()
        self.session.expire_all()

    def _deliver(self, channel_id: int, *, by_hand: bool) -> None:
        connection = self.session.connection()
        epoch = outbox.take_channel(
            connection, channel_id, owner="test", now=self.now, lease=timedelta(minutes=1), alone=True
        )
        assert epoch is not None
        while works := outbox.claim(connection, channel_id, epoch, now=self.now, limit=100):
            outbox.start(connection, [work.id for work in works], epoch)
            if by_hand:
                outcomes = [self._hand(work) for work in works]
                outbox.record(connection, outcomes, epoch, now=self.now)
                continue
            for work in works:
                message = of_payload(work.payload)
                if work.action == "post":
                    self.shown[work.id] = message
                elif work.action == "delete" and work.target_message:
                    del self.shown[int(work.target_message.removeprefix("m"))]
                elif work.target_message:
                    self.shown[int(work.target_message.removeprefix("m"))] = message
            outcomes = [
                outbox.Outcome(
                    id=work.id,
                    chat_id=work.chat_id,
                    step=outbox.Step.ACCEPTED,
                    message_id=f"m{work.id}",
                    recalls=work.target_id if work.action == "delete" else None,
                )
                for work in works
            ]
            outbox.record(connection, outcomes, epoch, now=self.now)

    def _hand(self, work: outbox.Work) -> outbox.Outcome:
        row = self.session.get_one(Outbox, work.id)
        try:
            errands.hand(self.session, self.house, row, self.picture, now=self.now)
        except NobodyCarries:
            error, step = outbox.Failure.NO_CARRIER, outbox.Step.REFUSED
            return outbox.Outcome(id=work.id, chat_id=work.chat_id, step=step, error=error)
        self.session.flush()
        return outbox.Outcome(id=work.id, chat_id=work.chat_id, step=outbox.Step.HANDED)

    def pass_time(self, wait: timedelta) -> None:
        """Let time go by: what is due happens."""
        from bot import tasks
        from store.tables import Task

        until = self.now + wait
        while True:
            task = self.session.exec(select(Task).where(Task.due_at <= until).order_by(col(Task.due_at))).first()
            if task is None:
                break
            self.now = max(self.now, task.due_at)
            self.session.delete(task)
            self.session.flush()
            self.session.expunge(task)
            tasks.run(self.session, self.house, task, now=self.now)
            self.session.commit()
            self.deliver()
        self.now = until

    # ------------------------------------------------------------ looking

    def notice(self, code: str) -> Notice:
        return self.session.exec(select(Notice).where(Notice.code == code)).one()

    def latest(self) -> Notice:
        return self.session.exec(select(Notice).order_by(col(Notice.id).desc())).first()  # type: ignore[return-value]

    def account(self, user: str) -> Account:
        key = self.house.vault.fingerprint("user", str(self.messenger.channel_id), user)
        return self.session.exec(select(Account).where(Account.user_key == key)).one()

    def posts(self, chat_id: str) -> list[Message]:
        """What a chat shows now, oldest first."""
        return [message for row_id, message in sorted(self.shown.items()) if self._address(row_id) == chat_id]

    def texts(self, chat_id: str) -> list[str]:
        return [joined(message.text) for message in self.posts(chat_id)]

    def _address(self, row_id: int) -> str:
        if row_id not in self.addresses:
            chat = self.session.get_one(Chat, self.session.get_one(Outbox, row_id).chat_id)
            self.addresses[row_id] = self.house.vault.open_text(chat.sealed_address)
        return self.addresses[row_id]

    def _last(self) -> int:
        return max(self.shown, default=0)

    def _said(self, after: int, chat_id: str) -> list[str]:
        return [
            joined(message.text)
            for row_id, message in sorted(self.shown.items())
            if row_id > after and self._address(row_id) == chat_id
        ]


@contextmanager
def a_commune(
    folder: Path,
    *,
    villages: int = 3,
    public_url: str = "https://loa.xa.example",
    approval: frozenset[str] = frozenset({"commune", "urgent"}),
    can: Can = EVERYTHING,
    messengers: int = 1,
) -> Iterator[World]:
    """A commune with villages that have neither groups nor registers yet, on one messenger that can do everything.

    Beside it a channel of groups that people carry notices to, and as many further `messengers` as are asked for.
    """
    # Statements are compiled once for all tests: that is most of what a fresh engine costs.
    engine = create_engine(f"sqlite:///{folder / 'loa.db'}").execution_options(compiled_cache=COMPILED)
    event.listen(
        engine,
        "connect",
        lambda connection, _: connection.executescript("PRAGMA foreign_keys=ON; PRAGMA synchronous=OFF"),
    )
    Table.metadata.create_all(engine)
    with Session(engine, expire_on_commit=False) as session:
        yield settled(
            session, villages=villages, public_url=public_url, approval=approval, can=can, messengers=messengers
        )
    engine.dispose()


def settled(
    session: Session,
    *,
    villages: int = 3,
    public_url: str = "https://loa.xa.example",
    approval: frozenset[str] = frozenset({"commune", "urgent"}),
    can: Can = EVERYTHING,
    messengers: int = 1,
) -> World:
    """The same in a database of the test's own."""
    channel = Channel(adapter="stub", name="main", created_at=NOW)
    province = _unit(session, "Tỉnh", UnitKind.PROVINCE, None)
    commune = _unit(session, "Xã Nà Mẫu", UnitKind.COMMUNE, province)
    session.add(channel)
    session.add(Issuer(unit_id=commune.id or 0, kind=IssuerKind.COMMUNE, name="UBND xã Nà Mẫu"))
    places = []
    for number in range(1, villages + 1):
        village = _unit(session, f"Bản {number}", UnitKind.VILLAGE, commune)
        session.add(Issuer(unit_id=village.id or 0, kind=IssuerKind.VILLAGE, name=f"Trưởng bản {number}"))
        places.append(village)
    relay = Channel(adapter=relays.RELAY, name="main", hands_over=True, repeats=True, created_at=NOW)
    more = [Channel(adapter="stub", name=f"m{n}", created_at=NOW) for n in range(2, messengers + 1)]
    session.add_all((relay, *more))
    session.flush()
    limits = Limits(text=4096, caption=1024)
    messenger = Messenger(channel.id or 0, "stub", "main", can, limits)
    others = [Messenger(found.id or 0, "stub", found.name, can, limits) for found in more]
    carried = Messenger(relay.id or 0, relays.RELAY, "main", BY_HAND, Limits(text=900, caption=900))
    house = House(
        Vault("a secret of at least thirty-two characters"),
        public_url,
        ZoneInfo("Asia/Ho_Chi_Minh"),
        approval,
        {found.channel_id: found for found in (messenger, carried, *others)},
    )
    session.commit()
    return World(session, house, messenger, commune, places, others=others)


def _unit(session: Session, name: str, kind: UnitKind, parent: Unit | None) -> Unit:
    unit = Unit(
        parent_id=parent.id if parent else None,
        kind=kind,
        path="",
        name=name,
        folded=name.lower(),
        code=name.lower().replace(" ", "-"),
        valid_from=date(2025, 7, 1),
    )
    session.add(unit)
    session.flush()
    unit.path = f"{parent.path if parent else '/'}{unit.id}/"
    session.flush()
    return unit
