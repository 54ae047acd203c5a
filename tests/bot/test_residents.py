"""Residents before a village's link: counted once with everybody else, whatever happens in which order."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from random import Random

import pytest
from sqlmodel import col, select, update

from bot import erasure, households, kits, reach, residents
from bot.errors import Conflict, Invalid, NotFound
from bot.permissions import actor_of
from store.tables import (
    Account,
    Audience,
    Channel,
    Chat,
    ChatKind,
    Grade,
    Lane,
    Notice,
    NoticeTarget,
    Outbox,
    Receipt,
    ReceiptKind,
    RelayGroup,
    RoleName,
    State,
    Unit,
)
from tests.bot.test_acks import has_card, row, sent, the_head
from tests.village import World, a_commune


@dataclass
class Town:
    """A commune whose villages have groups on a messenger, and one each that notices are carried to."""

    world: World
    channel_id: int

    def relay(self, village: Unit, *, audience_id: int | None = None) -> Chat:
        session, now = self.world.session, self.world.now
        chat = Chat(
            channel_id=self.channel_id,
            address_key=f"r:{village.code}:{audience_id}",
            sealed_address=self.world.house.vault.seal("r"),
            kind=ChatKind.GROUP,
            title=f"Zalo {village.name}",
            unit_id=village.id,
            audience_id=audience_id,
            bound_at=now,
            created_at=now,
        )
        session.add(chat)
        session.flush()
        carrier = self.world.person("Người chuyển", RoleName.HELPER, village)
        session.add(RelayGroup(chat_id=chat.id or 0, carrier_id=carrier.id))
        session.commit()
        return chat

    def link(self, notice: Notice, village: Unit) -> str:
        """The village's token, its kit in the carrier's hand."""
        session, world = self.world.session, self.world
        chats = session.exec(select(Chat).where(Chat.channel_id == self.channel_id, Chat.unit_id == village.id)).all()
        kits.queue(session, world.house, notice, chats, lane=Lane.NOTICE, now=world.now)
        mine = (col(Outbox.notice_id) == notice.id, col(Outbox.channel_id) == self.channel_id)
        session.exec(update(Outbox).where(*mine).values(state=State.HANDED, sent_at=world.now))
        session.commit()
        session.expire_all()
        return session.get_one(NoticeTarget, (notice.id, village.id)).link_token or ""

    def answer(self, token: str, browser: str, word: str = "got_it") -> None:
        world = self.world
        residents.answer(world.session, world.house, token, browser, word, session_keys=[], now=world.now)
        world.session.commit()

    def number(self, token: str, browser: str, number: int) -> None:
        world = self.world
        residents.name_household(world.session, world.house, token, browser, str(number), now=world.now)
        world.session.commit()

    def opened(self, token: str, browser: str) -> bool:
        world = self.world
        counted = residents.opened(world.session, world.house, token, browser, session_keys=[], now=world.now)
        world.session.commit()
        return counted

    def figures(self, notice: Notice, village: int = 0) -> tuple[int, int, int, int]:
        """(card, number, head, unlinked)"""
        self.world.session.expire_all()
        found = row(self.world, notice, village)
        return found.card, found.number, found.head, found.unlinked


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with a_commune(tmp_path) as world:
        channel = world.session.exec(select(Channel).where(Channel.adapter == "relay")).one()
        yield Town(world, channel.id or 0)


STEPS = ("card press", "number press", "link", "head tick")


def test_every_order_of_presses_links_and_ticks_gives_the_same_union(town: Town) -> None:
    world = town.world
    village = world.villages[0]
    world.group(village, "g1")
    world.group(village, "g2")
    town.relay(village)
    homes = world.households(village, 62)
    head = world.linked(world.head(), "head")
    actor = the_head(world)
    for number, order in enumerate(permutations(STEPS)):
        world.type(head, f"/thongbao Lần {number}")
        world.press(head, "Gửi đi")
        notice = world.latest()
        token = town.link(notice, village)
        for step in order:
            match step:
                case "card press":
                    has_card(world, f"card {number}", homes[0])
                    world.press(f"card {number}", "Đã nắm", chat="g1")
                case "number press":
                    world.press(f"number {number}", "Đã nắm", chat="g2")
                    world.type(f"number {number}", "2")
                case "link":
                    town.answer(token, f"link {number}")
                    town.number(token, f"link {number}", 3)
                    town.answer(token, f"same house {number}")
                    town.number(token, f"same house {number}", 1)
                    town.answer(token, f"alone {number}")
                case _:
                    ticked = [homes[i].id or 0 for i in (0, 2, 3)]
                    reach.tick(world.session, actor, notice, village, ticked, now=world.now)
        assert town.figures(notice) == (1, 2, 1, 1), order


@pytest.mark.parametrize("seed", range(3))
def test_an_evening_of_sixty_two_households_over_two_groups_and_a_link_is_the_exact_union(
    town: Town, seed: int
) -> None:
    """A model keeps beside it what each account last said of itself; the figures must be the model's, all the time."""
    world, dice = town.world, Random(seed)
    village, other = world.villages[:2]
    world.group(village, "g1")
    world.group(village, "g2")
    town.relay(village)
    homes = world.households(village, 62)
    (far,) = world.households(other, 1)
    notice = sent(world)
    actor, token = the_head(world), town.link(notice, village)
    house_of: dict[str, tuple[int, Grade]] = {}
    answered: set[str] = set()
    ticked: set[int] = set()
    for _ in range(110):
        who = dice.choice("tb") + str(dice.randrange(40))
        number = dice.randrange(1, 63)
        by_link = who[0] == "b"
        match dice.randrange(7):
            case 0 | 1 | 2 | 3:
                if by_link:
                    town.answer(token, who)
                else:
                    world.press(who, "Đã nắm", chat=dice.choice(("g1", "g2")))
                answered.add(who)
            case 4 if who in answered:
                if house_of.get(who, (0, Grade.NUMBER))[1] is Grade.CARD:
                    continue
                if by_link:
                    town.number(token, who, number)
                else:
                    world.type(who, str(number))
                house_of[who] = (number, Grade.NUMBER)
            case 5:
                home = far if dice.random() < 0.2 else homes[number - 1]
                if by_link:
                    card = households.card_token(world.house, home)
                    residents.join_by_card(world.session, world.house, card, who, now=world.now)
                    world.session.commit()
                else:
                    has_card(world, who, home)
                house_of[who] = (0 if home is far else number, Grade.CARD)
            case 6:
                reach.tick(world.session, actor, notice, village, [homes[number - 1].id or 0], now=world.now)
                world.session.commit()
                ticked.add(number)
    best: dict[int, Grade] = dict.fromkeys(ticked, Grade.HEAD)
    ranks = list(Grade)
    for who in answered:
        number, grade = house_of.get(who, (0, Grade.NUMBER))
        if number:
            best[number] = min(best.get(number, Grade.VISIT), grade, key=ranks.index)
    alone = sum(not house_of.get(who, (0, Grade.NUMBER))[0] for who in answered)
    grades = list(best.values())
    expected = (grades.count(Grade.CARD), grades.count(Grade.NUMBER), grades.count(Grade.HEAD), alone)
    assert town.figures(notice) == expected
    assert row(world, notice).opens == len({who for who in answered if who[0] == "b"})


def test_an_account_counts_in_the_village_of_its_link_until_a_house_is_named(town: Town) -> None:
    world = town.world
    here, there = world.villages[:2]
    for village in (here, there):
        world.group(village, f"g{village.id}")
        town.relay(village)
    (home,) = world.households(there, 1)
    person = world.official()
    notice = _to(world, person, [here, there])
    token, other = town.link(notice, here), town.link(notice, there)
    town.answer(token, "b")
    assert (town.figures(notice, 0), town.figures(notice, 1)) == ((0, 0, 0, 1), (0, 0, 0, 0))
    town.answer(other, "b")
    assert (town.figures(notice, 0), town.figures(notice, 1)) == ((0, 0, 0, 1), (0, 0, 0, 0)), (
        "once, where it was first"
    )
    town.number(other, "b", 1)
    assert (town.figures(notice, 0), town.figures(notice, 1)) == ((0, 0, 0, 0), (0, 1, 0, 0))
    (far,) = world.households(world.villages[2], 1)
    residents.join_by_card(world.session, world.house, households.card_token(world.house, far), "b", now=world.now)
    assert (town.figures(notice, 0), town.figures(notice, 1)) == ((0, 0, 0, 1), (0, 0, 0, 0))
    assert home.number == 1


def test_an_answer_changed_through_another_villages_link_is_changed_where_it_counts(town: Town) -> None:
    world = town.world
    here, there = world.villages[:2]
    for village in (here, there):
        world.group(village, f"g{village.id}")
        town.relay(village)
    notice = _to(world, world.official(), [here, there], attend=True)
    token, other = town.link(notice, here), town.link(notice, there)
    town.answer(token, "b", "join")
    town.answer(other, "b", "absent")
    world.session.expire_all()
    found = row(world, notice, 0)
    assert (found.join, found.absent, found.unlinked) == (0, 1, 1)
    assert row(world, notice, 1).unlinked == 0


def test_a_group_that_changed_hands_leaves_the_answer_where_its_link_was(town: Town) -> None:
    world = town.world
    village = world.villages[0]
    world.group(village, "g1")
    chat = town.relay(village)
    world.households(village, 1)
    (far,) = world.households(world.villages[2], 1)
    notice = sent(world)
    token = town.link(notice, village)
    town.answer(token, "b")
    town.number(token, "b", 1)
    chat.unit_id = world.villages[1].id
    world.session.add(chat)
    world.session.commit()
    residents.join_by_card(world.session, world.house, households.card_token(world.house, far), "b", now=world.now)
    assert town.figures(notice) == (0, 0, 0, 1)


def test_opens_are_counted_once_each_whatever_household_they_come_from(town: Town) -> None:
    world = town.world
    village = world.villages[0]
    world.group(village, "g1")
    town.relay(village)
    world.households(village, 3)
    notice = sent(world)
    token = town.link(notice, village)
    assert [town.opened(token, who) for who in ("a", "a", "b")] == [True, False, True]
    town.answer(token, "a")
    town.number(token, "a", 1)
    town.number(token, "a", 2)
    assert row(world, notice).opens == 2
    kept = world.session.exec(select(Receipt).where(Receipt.kind == ReceiptKind.OPENED)).all()
    assert {(r.account_id, r.household_id, r.unit_id) for r in kept} == {(None, None, village.id)}
    assert len({r.who for r in kept}) == 2
    (account,) = world.session.exec(select(Account).where(Account.channel_id == town.channel_id)).all()
    erasure.erase(world.session, world.house, account, now=world.now)
    world.session.commit()
    assert not town.opened(token, "a"), "a browser that was forgotten does not open it a second time"
    assert town.figures(notice) == (0, 1, 0, 0)


def test_the_carrier_is_not_counted_and_the_answer_is(town: Town) -> None:
    world = town.world
    village = world.villages[0]
    world.group(village, "g1")
    town.relay(village)
    notice = sent(world)
    token = town.link(notice, village)
    world.session.exec(update(RelayGroup).values(backup_id=_carrier(town).id))
    town.answer(token, "b")
    account = world.session.exec(select(Account).where(Account.channel_id == town.channel_id)).one()
    world.session.delete(world.session.exec(select(Receipt).where(Receipt.kind == ReceiptKind.OPENED)).one())
    account.person_id = _carrier(town).id
    world.session.commit()
    assert not town.opened(token, "b")
    assert town.opened(token, "neighbour")
    assert town.figures(notice)[3] == 1


def test_a_notice_of_another_audience_works_alike(town: Town) -> None:
    world = town.world
    village = world.villages[0]
    audience = Audience(unit_id=village.id or 0, name="Chi hội phụ nữ")
    world.session.add(audience)
    world.session.flush()
    chat = world.group(village, "g1")
    chat.audience_id = audience.id
    world.session.add(chat)
    town.relay(village, audience_id=audience.id)
    world.households(village, 2)
    notice = _to(world, world.head(), [village], audience_id=audience.id)
    token = town.link(notice, village)
    town.opened(token, "b")
    town.answer(token, "b")
    town.number(token, "b", 2)
    assert town.figures(notice) == (0, 1, 0, 0)


def test_what_cannot_be_is_refused_in_words_and_leaves_nothing(town: Town) -> None:
    world = town.world
    village = world.villages[0]
    world.group(village, "g1")
    town.relay(village)
    notice = sent(world)
    token = town.link(notice, village)
    with pytest.raises(NotFound):
        town.answer("nobodysToken", "b")
    with pytest.raises(Invalid):
        town.answer(token, "b", "join")
    world.session.get_one(NoticeTarget, (notice.id, village.id)).link_revoked_at = world.now
    with pytest.raises(Conflict):
        town.answer(token, "b")
    with pytest.raises(Conflict):
        residents.forgot_household(world.session, world.house, token, "b", now=world.now)
    assert not town.opened(token, "b")
    assert world.session.exec(select(Receipt)).all() == []


def test_the_figure_on_the_groups_button_follows_the_link(town: Town) -> None:
    world = town.world
    village = world.villages[0]
    world.group(village, "g1")
    town.relay(village)
    world.households(village, 5)
    notice = sent(world)
    token = town.link(notice, village)
    town.answer(token, "b")
    town.number(token, "b", 4)
    world.pass_time(timedelta(seconds=10))
    (post,) = world.posts("g1")
    assert post.buttons[0][0].label == "✅ Đã nắm · 1/5 hộ"


def _carrier(town: Town):
    person_id = town.world.account("head").person_id
    assert person_id is not None
    from store.tables import Person

    return town.world.session.get_one(Person, person_id)


def _to(world: World, person, villages, *, attend: bool = False, audience_id: int | None = None) -> Notice:
    """A notice by this person, delivered."""
    from bot import notices
    from bot.notices import NewNotice
    from store.tables import Wanted

    notice = notices.draft(
        world.session,
        world.house,
        actor_of(world.session, person.id),
        NewNotice(
            body="Mời bà con.",
            unit_ids=tuple(village.id for village in villages),
            wanted=Wanted.ATTEND if attend else Wanted.ACKNOWLEDGE,
            audience_id=audience_id,
        ),
        now=world.now,
        origin="api",
    )
    notices.submit(world.session, world.house, actor_of(world.session, person.id), notice, now=world.now)
    world.deliver()
    return world.latest()
