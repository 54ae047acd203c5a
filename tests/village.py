"""A small commune to test decisions in: real tables on a real SQLite file, people who type and press.

Nothing is sent; what would be sent is read from the outbox, and `World.deliver` plays the messenger that took it.
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
    Sender,
    Standing,
    StandingChanged,
)
from adapters.text import joined
from bot import inbox, people
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

    def group(self, village: Unit | None, chat_id: str) -> Chat:
        chat = Chat(
            channel_id=self.messenger.channel_id,
            address_key=self.house.vault.fingerprint("chat", str(self.messenger.channel_id), chat_id),
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
        self, user: str, text: str, *, group: str = "", files: tuple[tuple[FileRef, bytes], ...] = ()
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
            files=tuple(ref for ref, _ in files),
        )
        before = self._last()
        self._handle(message, {ref.ref: content for ref, content in files})
        return self._said(before, chat.id)

    def press(self, user: str, label: str, *, chat: str = "", row: int | None = None) -> str:
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
        return self.press_token(user, button.token, chat=chat, message_id=f"m{row_id}")

    def press_token(self, user: str, token: str, *, chat: str = "", message_id: str = "m0") -> str:
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
        answers = self._handle(pressed, {})
        assert len(answers) == 1, "a press is always answered, once"
        return answers[0].text

    def standing(self, chat_id: str, standing: Standing, user: str = "someone") -> None:
        chat = ChatRef(chat_id, ChatKind.GROUP, f"Nhóm {chat_id}")
        event_id = str(next(self.ids))
        self._handle(
            StandingChanged(event_id=event_id, chat=chat, sender=Sender(user), standing=standing, at=self.now), {}
        )

    def _handle(self, event: object, files: dict[str, bytes]) -> list[PressAnswer]:
        answers = inbox.handle(self.session, self.house, self.messenger, event, now=self.now, files=files)  # type: ignore[arg-type]
        self.session.commit()
        self.deliver()
        return answers

    # ------------------------------------------------------------ what the messenger does

    def deliver(self) -> None:
        """Take everything that waits, in order, as a messenger does when all goes well."""
        connection = self.session.connection()
        channel_id = self.messenger.channel_id
        epoch = outbox.take_channel(
            connection, channel_id, owner="test", now=self.now, lease=timedelta(minutes=1), alone=True
        )
        assert epoch is not None
        while works := outbox.claim(connection, channel_id, epoch, now=self.now, limit=100):
            outbox.start(connection, [work.id for work in works], epoch)
            for work in works:
                message = of_payload(work.payload)
                if work.action == "post":
                    self.shown[work.id] = message
                elif work.target_message:
                    self.shown[int(work.target_message.removeprefix("m"))] = message
            outcomes = [
                outbox.Outcome(id=work.id, chat_id=work.chat_id, step=outbox.Step.ACCEPTED, message_id=f"m{work.id}")
                for work in works
            ]
            outbox.record(connection, outcomes, epoch, now=self.now)
        self.session.commit()
        self.session.expire_all()

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
) -> Iterator[World]:
    """A commune with villages that have neither groups nor registers yet, on one messenger that can do everything."""
    # Statements are compiled once for all tests: that is most of what a fresh engine costs.
    engine = create_engine(f"sqlite:///{folder / 'loa.db'}").execution_options(compiled_cache=COMPILED)
    event.listen(
        engine,
        "connect",
        lambda connection, _: connection.executescript("PRAGMA foreign_keys=ON; PRAGMA synchronous=OFF"),
    )
    Table.metadata.create_all(engine)
    with Session(engine, expire_on_commit=False) as session:
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
        session.flush()
        messenger = Messenger(channel.id or 0, "stub", "main", can, Limits(text=4096, caption=1024))
        house = House(
            Vault("a secret of at least thirty-two characters"),
            public_url,
            ZoneInfo("Asia/Ho_Chi_Minh"),
            approval,
            {messenger.channel_id: messenger},
        )
        session.commit()
        yield World(session, house, messenger, commune, places)
    engine.dispose()


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
