"""Households are counted once over all groups of their village, whatever is told where, by whom and in which order.

What the service counts is held against a model that knows the rules alone, after histories drawn by chance: residents
in two groups that we post in, residents behind the link of a group that people carry to, the head and a helper.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import permutations
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, create_engine, event
from sqlmodel import Session, col, select

from adapters.contract import Can, Limits
from bot import erasure, households, notices, reach, relays, residents, texts
from bot.errors import Refused
from bot.house import House, Messenger
from bot.notices import NewNotice
from bot.permissions import Actor
from store import migrations, places
from store import reach as figures
from store.crypto import Vault
from store.tables import (
    Account,
    Channel,
    Grade,
    Household,
    IssuerKind,
    Notice,
    NoticeTarget,
    Reach,
    RoleName,
    Unit,
    UnitKind,
    Wanted,
)
from tests import postgres
from tests.village import BY_HAND, COMPILED, EVERYTHING, NOW, PRAGMAS, World

HOUSEHOLDS = 62
HERE, BESIDE, ELSEWHERE = range(3)
"""The village that is looked at; another that gets the notice too; one that does not."""
REGISTERS = {HERE: HOUSEHOLDS, BESIDE: 5, ELSEWHERE: 3}
GROUPS = {"g1": HERE, "g2": HERE, "g3": BESIDE}
EVENTS, LOOKS = 120, 4
STEP = timedelta(seconds=1)


# ---------------------------------------------------------------- what should come out

Home = tuple[int, int]
"""(village, number)"""


@dataclass
class Person:
    """An account as the rules see it."""

    home: Home | None = None
    by_card: bool = False
    near: int | None = None
    """The village in whose register a typed number is looked up: that of the household, else where it first spoke."""
    told_in: int | None = None
    """Where it answered the notice; None: not yet."""


@dataclass
class Model:
    """The rules, without tables: who stands for which household, and by which evidence."""

    registers: dict[int, int]
    people: dict[str, Person] = field(default_factory=dict)
    erased: list[Person] = field(default_factory=list)
    ticks: set[tuple[Home, Grade]] = field(default_factory=set)
    browsers: set[str] = field(default_factory=set)
    """Who opened the carried link."""

    def who(self, user: str) -> Person:
        return self.people.setdefault(user, Person())

    def answers(self, user: str, village: int) -> None:
        person = self.who(user)
        if person.near is None:
            person.near = village
        if person.told_in is None:
            person.told_in = village

    def shows_card(self, user: str, home: Home) -> None:
        person = self.who(user)
        person.home, person.by_card, person.near = home, True, home[0]

    def types(self, user: str, number: int, village: int | None = None) -> None:
        person = self.who(user)
        where = person.near if village is None else village
        if where is None or not 1 <= number <= self.registers[where]:
            return
        if not person.by_card:
            person.home, person.near = (where, number), where

    def erases(self, user: str) -> None:
        """What counted goes on to count; who comes back is somebody new."""
        person = self.people.pop(user, None)
        if person is not None and person.told_in is not None:
            self.erased.append(person)

    def counts(self, village: int) -> dict[str, int]:
        best: dict[int, Grade] = {}
        unlinked = 0

        def known(number: int, grade: Grade) -> None:
            order = list(Grade)
            best[number] = min(best.get(number, grade), grade, key=order.index)

        for person in (*self.people.values(), *self.erased):
            if person.told_in is None:
                continue
            if person.home is None or person.home[0] == ELSEWHERE:
                unlinked += person.told_in == village
            elif person.home[0] == village:
                known(person.home[1], Grade.CARD if person.by_card else Grade.NUMBER)
        for (where, number), grade in self.ticks:
            if where == village:
                known(number, grade)
        grades = Counter(best.values())
        return {"households": self.registers[village], **{g.value: grades[g] for g in Grade}, "unlinked": unlinked}

    def missing(self, village: int) -> list[int]:
        took = {p.home for p in (*self.people.values(), *self.erased) if p.told_in is not None}
        took |= {home for home, _ in self.ticks}
        return [number for number in range(1, self.registers[village] + 1) if (village, number) not in took]


# ---------------------------------------------------------------- what does


@dataclass
class BusyWorld(World):
    """Nobody looks at what is said back, so that it is delivered only when somebody is to press it."""

    is_busy: bool = False

    def deliver(self) -> None:
        if not self.is_busy:
            super().deliver()


@dataclass
class Village:
    """The real thing, on real tables, after the notice went out; each doing keeps the model beside it."""

    world: BusyWorld
    head: Actor
    helper: Actor
    homes: dict[Home, Household]
    notice: Notice
    links: dict[int, str]
    """Token of the village's link, by village."""
    model: Model

    @property
    def session(self) -> Session:
        return self.world.session

    def _settled(self) -> None:
        self.session.commit()
        self.world.now += STEP

    def _web(self, work: Callable[[], object]) -> None:
        """What a page does: whole or not at all; a refusal is words for the person."""
        spot = self.session.begin_nested()
        try:
            work()
        except Refused:
            spot.rollback()
        else:
            spot.commit()
        self._settled()

    # in chats

    def presses(self, user: str, group: str) -> None:
        self.world.press(user, "Đã nắm", chat=group)
        self.model.answers(user, GROUPS[group])
        self._settled()

    def shows_card(self, user: str, home: Home) -> None:
        self.world.type(user, f"/start h_{households.card_token(self.world.house, self.homes[home])}")
        self.model.shows_card(user, home)
        self._settled()

    def types(self, user: str, number: int) -> None:
        self.world.type(user, f"nhà tôi số {number} ạ")
        self.model.types(user, number)
        self._settled()

    def erases(self, user: str) -> None:
        self.world.is_busy = False
        self.world.type(user, "/xoadulieu")
        self.world.press(user, texts.ERASE_YES)
        self.world.is_busy = True
        self.model.erases(user)
        self._settled()

    # behind the link that is carried into a group

    def web_answers(self, cookie: str, village: int) -> None:
        answer = partial(
            residents.answer, self.session, self.world.house, self.links[village], cookie, "got_it", session_keys=()
        )
        self._web(lambda: answer(now=self.world.now))
        self.model.answers(cookie, village)
        if village == HERE:
            self.model.browsers.add(cookie)

    def web_names(self, cookie: str, number: int) -> None:
        name = partial(residents.name_household, self.session, self.world.house, self.links[HERE], cookie, str(number))
        self._web(lambda: name(now=self.world.now))
        self.model.types(cookie, number, HERE)

    def web_card(self, cookie: str, home: Home) -> None:
        card = households.card_token(self.world.house, self.homes[home])
        join = partial(residents.join_by_card, self.session, self.world.house, card, cookie)
        self._web(lambda: join(now=self.world.now))
        self.model.shows_card(cookie, home)

    def web_erases(self, cookie: str) -> None:
        account = residents.account_of(self.session, self.world.house, cookie)
        if account is not None:
            erasure.erase(self.session, self.world.house, account, now=self.world.now)
        self.model.erases(cookie)
        self._settled()

    # people on duty

    def ticks(self, numbers: list[int], grade: Grade) -> None:
        actor = self.head if grade is Grade.HEAD else self.helper
        ids = [self.homes[HERE, number].id or 0 for number in numbers]
        reach.tick(self.session, actor, self.notice, self.world.villages[HERE], ids, now=self.world.now)
        self.model.ticks |= {((HERE, number), grade) for number in numbers}
        self._settled()

    def unticks(self, numbers: list[int], grade: Grade) -> None:
        actor = self.head if grade is Grade.HEAD else self.helper
        ids = [self.homes[HERE, number].id or 0 for number in numbers]
        reach.untick(self.session, actor, self.notice, self.world.villages[HERE], ids, now=self.world.now)
        self.model.ticks -= {((HERE, number), grade) for number in numbers}
        self._settled()

    # looking

    def counts(self, village: int) -> dict[str, int]:
        line = reach.of_notice(self.session, self.notice, [self.world.villages[village]]).villages[0]
        return {name: getattr(line, name) for name in ("households", *(grade.value for grade in Grade), "unlinked")}

    def agrees(self) -> None:
        """The figures are those of the model; what is missing is the rest; counting anew changes nothing."""
        assert {v: self.counts(v) for v in (HERE, BESIDE)} == {v: self.model.counts(v) for v in (HERE, BESIDE)}
        missing = reach.missing(self.session, self.world.house, self.head, self.notice, self.world.villages[HERE])
        assert [household.number for household in missing] == self.model.missing(HERE)
        assert self._line().opens == len(self.model.browsers)
        kept = self._rows()
        pairs = [(self.notice.id or 0, unit.id or 0) for unit in self.world.villages[:2]]
        figures.recount(self.session.connection(), pairs)
        self.session.expire_all()
        assert self._rows() == kept

    def agrees_on_buttons(self) -> None:
        """The running figure stands in both groups."""
        self.world.is_busy = False
        self.world.pass_time(timedelta(minutes=1))
        self.world.is_busy = True
        took = sum(self.model.counts(HERE)[grade.value] for grade in Grade)
        for group in ("g1", "g2"):
            (label,) = [button.label for row in self.world.posts(group)[-1].buttons for button in row if button.token]
            assert f"{took}/{HOUSEHOLDS} hộ" in label

    def _line(self) -> Reach:
        return self.session.get_one(Reach, (self.notice.id, self.world.villages[HERE].id), populate_existing=True)

    def _rows(self) -> list[dict[str, object]]:
        return [row.model_dump() for row in self.session.exec(select(Reach).order_by(col(Reach.unit_id)))]


@contextmanager
def a_village(engine: Engine, *, registers: dict[int, int] = REGISTERS) -> Iterator[Village]:
    """Three villages with registers; two groups and a carried one in the first; a notice to two of the villages."""
    with Session(engine, expire_on_commit=False) as session:
        world = _commune(session)
        homes = {
            (village, household.number): household
            for village, count in registers.items()
            for household in world.households(world.villages[village], count)
        }
        for group, village in GROUPS.items():
            world.group(world.villages[village], group)
        head, helper = world.head(HERE), world.person("Tổ công nghệ số", RoleName.HELPER, world.villages[HERE])
        official = world.actor(world.official())
        session.commit()
        world.linked(head, "head")
        for village in (HERE, BESIDE):
            relays.put(
                session,
                world.house,
                official,
                world.villages[village],
                title="Bản mình",
                members=120,
                carrier_id=head.id if village == HERE else official.person_id,
                backup_id=None,
                now=world.now,
            )
        notice = _published(world, official)
        world.deliver()
        world.is_busy = True
        links = {
            village: session.get_one(NoticeTarget, (notice.id, world.villages[village].id)).link_token or ""
            for village in (HERE, BESIDE)
        }
        yield Village(world, world.actor(head), world.actor(helper), homes, notice, links, Model(registers))


def _commune(session: Session) -> BusyWorld:
    connection, today = session.connection(), NOW.date()
    commune = places.put_unit(
        connection, code="xa", name="Xã Nà Mẫu", kind=UnitKind.COMMUNE, parent_id=None, today=today
    )
    places.put_issuers(connection, commune, {IssuerKind.COMMUNE: "UBND xã Nà Mẫu"})
    places.put_villages(connection, commune, {f"ban-{n}": f"Bản {n}" for n in (1, 2, 3)}, today=today)
    messengers = {}
    for adapter, can in (
        ("stub", EVERYTHING),
        ("webchat", EVERYTHING | Can.HOSTS_ROOMS),
        ("relay", BY_HAND),
    ):
        channel = Channel(adapter=adapter, name="main", hands_over=Can.HANDS_OVER in can, created_at=NOW)
        session.add(channel)
        session.flush()
        messengers[channel.id or 0] = Messenger(channel.id or 0, adapter, "main", can, Limits(text=4096, caption=1024))
    house = House(
        Vault("a secret of at least thirty-two characters"),
        "https://loa.xa.example",
        ZoneInfo("Asia/Ho_Chi_Minh"),
        frozenset(),
        messengers,
    )
    villages = list(session.exec(select(Unit).where(Unit.kind == UnitKind.VILLAGE).order_by(col(Unit.code))))
    stub = next(iter(messengers.values()))
    return BusyWorld(session, house, stub, session.get_one(Unit, commune), villages)


def _published(world: World, author: Actor) -> Notice:
    new = NewNotice(
        body="Ngày mai tiêm chủng ở trạm y tế.",
        unit_ids=tuple(world.villages[village].id or 0 for village in (HERE, BESIDE)),
        wanted=Wanted.ACKNOWLEDGE,
    )
    notice = notices.draft(world.session, world.house, author, new, now=world.now, origin="test")
    notices.submit(world.session, world.house, author, notice, now=world.now)
    world.session.commit()
    return notice


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def engine(request, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        with _prepared(f"sqlite:///{tmp_path / 'loa.db'}") as made:
            yield made
        return
    server = postgres.server()
    with server.fresh(server.template("union", _migrated)) as url:
        made = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        yield made
        made.dispose()


def _migrated(url: str) -> None:
    migrations.upgrade(url)


@contextmanager
def _prepared(url: str) -> Iterator[Engine]:
    migrations.upgrade(url)
    made = create_engine(url).execution_options(compiled_cache=COMPILED)
    event.listen(made, "connect", lambda connection, _: connection.executescript(PRAGMAS))
    try:
        yield made
    finally:
        made.dispose()


# ---------------------------------------------------------------- every order


def presses_then_types(village: Village, number: int) -> None:
    village.presses(f"number{number}", "g2")
    village.types(f"number{number}", number)


def answers_by_link(village: Village, number: int) -> None:
    village.web_answers(f"web{number}", HERE)
    village.web_names(f"web{number}", number)


DOINGS: tuple[Callable[[Village, int], None], ...] = (
    lambda village, number: village.shows_card(f"card{number}", (HERE, number)),
    lambda village, number: village.presses(f"card{number}", "g1"),
    lambda village, number: village.ticks([number], Grade.HEAD),
    presses_then_types,
    answers_by_link,
)


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.long)])
def test_every_order_of_what_a_house_does_counts_it_once_by_its_card(tmp_path: Path, every: int) -> None:
    """A house for each order, all at the same time: 120 of them, or every fifth."""
    orders = list(permutations(DOINGS))[::every]
    with (
        _prepared(f"sqlite:///{tmp_path / 'loa.db'}") as engine,
        a_village(engine, registers={**REGISTERS, HERE: len(orders)}) as village,
    ):
        for step in range(len(DOINGS)):
            for number, order in enumerate(orders, start=1):
                order[step](village, number)
            village.agrees()
        assert village.counts(HERE) == {
            "households": len(orders), "card": len(orders), "number": 0, "head": 0, "visit": 0, "unlinked": 0
        }  # fmt: skip


# ---------------------------------------------------------------- chance


def lives(village: Village, chance: random.Random, events: int) -> None:
    """Residents, their relatives from elsewhere, and people on duty do what comes to their mind."""
    users = [f"u{number}" for number in range(90)]
    cookies = [f"{'c' * 30}{number}" for number in range(40)]
    mine = [home for home in village.homes if home[0] == HERE]
    theirs = [home for home in village.homes if home[0] != HERE]

    def home() -> Home:
        return chance.choice(mine) if chance.random() < 0.8 else chance.choice(theirs)

    def number() -> int:
        return chance.randint(1, HOUSEHOLDS) if chance.random() < 0.85 else chance.choice([0, 63, 900])

    def some() -> list[int]:
        return chance.sample(range(1, HOUSEHOLDS + 1), chance.randint(1, 3))

    def grade() -> Grade:
        return chance.choice([Grade.HEAD, Grade.VISIT])

    doings: list[tuple[int, Callable[[], None]]] = [
        (30, lambda: village.presses(chance.choice(users), chance.choice(list(GROUPS)))),
        (15, lambda: village.shows_card(chance.choice(users), home())),
        (15, lambda: village.types(chance.choice(users), number())),
        (15, lambda: village.web_answers(chance.choice(cookies), HERE if chance.random() < 0.8 else BESIDE)),
        (10, lambda: village.web_names(chance.choice(cookies), number())),
        (6, lambda: village.web_card(chance.choice(cookies), home())),
        (10, lambda: village.ticks(some(), grade())),
        (6, lambda: village.unticks(some(), grade())),
        (3, lambda: village.erases(chance.choice(users))),
        (2, lambda: village.web_erases(chance.choice(cookies))),
    ]
    weights = [weight for weight, _ in doings]
    for _ in range(events):
        chance.choices(doings, weights)[0][1]()


@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 40))])
def test_whatever_happens_the_figures_are_the_exact_union(engine: Engine, seed: int) -> None:
    """Looked at many times on the way, so that no error hides behind a later one."""
    chance = random.Random(seed)
    with a_village(engine) as village:
        for _ in range(LOOKS):
            lives(village, chance, EVENTS // LOOKS)
            village.agrees()
        village.agrees_on_buttons()


def test_a_household_that_changes_moves_with_all_its_account_said(engine: Engine) -> None:
    with a_village(engine) as village:
        village.presses("a", "g1")
        village.presses("a", "g2")
        village.types("a", 5)
        village.agrees()
        village.types("a", 99)
        village.types("a", 6)
        village.agrees()
        assert village.counts(HERE)["number"] == 1
        village.shows_card("a", (BESIDE, 2))
        village.agrees()
        assert (village.counts(HERE)["number"], village.counts(BESIDE)["card"]) == (0, 1)
        village.shows_card("a", (ELSEWHERE, 1))
        village.agrees()
        assert (village.counts(HERE)["unlinked"], village.counts(BESIDE)["card"]) == (1, 0)
        village.shows_card("a", (HERE, 7))
        village.types("a", 8)
        village.agrees()
        assert village.counts(HERE) == {
            "households": HOUSEHOLDS, "card": 1, "number": 0, "head": 0, "visit": 0, "unlinked": 0
        }  # fmt: skip


def test_each_kind_of_evidence_keeps_its_grade_beside_the_others(engine: Engine) -> None:
    with a_village(engine) as village:
        village.ticks([1, 2, 3, 4], Grade.VISIT)
        village.ticks([1, 2, 3], Grade.HEAD)
        village.presses("a", "g1")
        village.types("a", 2)
        village.web_card("c" * 32, (HERE, 1))
        village.web_answers("c" * 32, HERE)
        village.agrees()
        assert village.counts(HERE) == {
            "households": HOUSEHOLDS, "card": 1, "number": 1, "head": 1, "visit": 1, "unlinked": 0
        }  # fmt: skip
        village.web_erases("c" * 32)
        village.unticks([1, 2, 3], Grade.HEAD)
        village.unticks([2, 3], Grade.VISIT)
        village.agrees()
        assert village.counts(HERE) == {
            "households": HOUSEHOLDS, "card": 1, "number": 1, "head": 0, "visit": 1, "unlinked": 0
        }  # fmt: skip
        of_house_one = select(Account).where(Account.household_id == village.homes[HERE, 1].id)
        assert village.session.exec(of_house_one).all() == []
