"""Figures of groups that people carry to: given, carried, opened and acknowledged are four things, and stay apart."""

from datetime import timedelta

import pytest
from sqlmodel import col, select, update

from bot import errands, notices, reach, reach_sheet, texts
from bot.errors import Conflict, Invalid, NotFound
from bot.notices import NewNotice
from bot.permissions import Actor
from store import reach as store_reach
from store.tables import (
    Audit,
    Household,
    Notice,
    NoticeState,
    NoticeTarget,
    Outbox,
    Person,
    RelayGroup,
    RoleName,
    State,
)
from tests.village import World


def out(world: World, villages: int = 2) -> Notice:
    """A notice of the commune to its first villages, delivered."""
    author = world.actor(world.official())
    unit_ids = tuple(village.id or 0 for village in world.villages[:villages])
    new = NewNotice(body="Mai họp.", unit_ids=unit_ids)
    notice = notices.draft(world.session, world.house, author, new, now=world.now, origin="test")
    notices.publish(world.session, world.house, notice, by=author, now=world.now)
    world.session.commit()
    world.deliver()
    return notice


def carriers(world: World, count: int = 2) -> list[Person]:
    """Heads of the first villages, each with a linked account and an existing group of the village."""
    heads = [world.head(number) for number in range(count)]
    for number, head in enumerate(heads):
        world.linked(head, f"head{number}")
        world.relay_group(world.villages[number], head)
    return heads


def carry(world: World, head: Person) -> None:
    (kit,) = errands.waiting(world.session, world.house, head.id or 0)
    errands.done(world.session, world.house, world.actor(head), kit.outbox_id, at=world.now, now=world.now)
    world.session.commit()


def figures(world: World, notice: Notice) -> reach.NoticeReach:
    world.session.expire_all()
    return reach.of_notice(world.session, notice, world.villages[:2])


def tick(world: World, who: Person, notice: Notice, homes: list[Household]) -> list[int]:
    ids = [home.id or 0 for home in homes]
    return reach.tick(world.session, world.actor(who), notice, world.villages[0], ids, now=world.now)


def helper(world: World, number: int = 0) -> Person:
    return world.person("Tổ công nghệ số", RoleName.HELPER, world.villages[number])


def test_given_and_carried_and_the_time_between_are_told(world: World) -> None:
    one, two = carriers(world)
    notice = out(world)
    total = figures(world, notice).total
    assert (total.given, total.carried, total.opens, total.carried_median) == (2, 0, 0, None)
    assert total.by_machine == (0, 0)
    world.now += timedelta(minutes=9)
    carry(world, one)
    found = figures(world, notice)
    assert (found.total.given, found.total.carried, found.total.carried_median) == (2, 1, timedelta(minutes=9))
    (done,), (waits,) = (village.in_hand for village in found.villages)
    assert (done.state, done.done_at) == ("sent", world.now)
    assert (waits.state, waits.name, waits.holder) == ("handed", two.name, "carrier")
    assert found.words.startswith("2 bản: 2 đã giao, 1 đã chuyển (trung vị 9 phút), ")


def test_what_nobody_could_be_given_is_not_given_even_when_it_expires(world: World) -> None:
    carriers(world)
    unreached = world.person("Người chưa nối máy", RoleName.HELPER, world.villages[1])
    group = world.session.exec(select(RelayGroup).order_by(col(RelayGroup.chat_id).desc())).first()
    assert group is not None
    group.carrier_id = unreached.id
    notice = out(world)
    total = figures(world, notice).total
    assert (total.by_hand, total.handed, total.given, total.carried) == (2, 2, 1, 0)
    world.session.exec(update(Outbox).where(col(Outbox.notice_id) == notice.id).values(state=State.EXPIRED))
    store_reach.recount(world.session.connection(), [(notice.id or 0, village.id or 0) for village in world.villages])
    total = figures(world, notice).total
    assert (total.handed, total.failed, total.given) == (0, 2, 1), "it was given, whatever came of it"


def test_what_an_official_carried_themselves_was_given_too(world: World) -> None:
    unreached = world.head()
    world.relay_group(world.villages[0], unreached)
    notice, official = out(world), world.actor(world.official("Cán bộ gọi"))
    (line,) = errands.overdue(world.session, world.house, official, now=world.now)
    assert figures(world, notice).total.given == 0
    errands.done(world.session, world.house, official, line.outbox_id, at=world.now, now=world.now)
    store_reach.recount(world.session.connection(), [(notice.id or 0, world.villages[0].id or 0)])
    total = figures(world, notice).total
    assert (total.given, total.carried) == (1, 1)


def test_groups_that_people_carry_to_are_never_the_machines(world: World) -> None:
    """Neither before anybody was given it, nor where nobody is named."""
    world.group(world.villages[0], "g1")
    world.relay_group(world.villages[1], None)
    author = world.linked(world.official(), "office")
    world.type(author, "/thongbao Mai họp.")
    world.type(author, "1 2")
    world.press(author, "Gửi đi")
    world.pass_time(timedelta(minutes=1))
    notice = world.latest()
    (said,) = [text for text in world.texts("office") if text.startswith(f"📣 {notice.code}")]
    assert said.splitlines() == [
        f"📣 {notice.code}: đã gửi 1/1 nhóm",
        "0/1 nhóm giao người chuyển tay, 0 đã chuyển",
        "⚠️ 1 nhóm chưa gửi được",
    ]
    found = figures(world, notice)
    assert (found.total.by_machine, found.total.by_hand) == ((1, 1), 1)
    assert found.words == "2 bản: máy gửi 1/1 nhóm; chuyển tay 0/1 đã giao, 0 đã chuyển, 0 tài khoản"


def test_progress_before_anybody_was_given_it_counts_no_group_of_theirs_as_ours(world: World) -> None:
    carriers(world)
    author = world.actor(world.official())
    unit_ids = tuple(village.id or 0 for village in world.villages[:2])
    new = NewNotice(body="Mai họp.", unit_ids=unit_ids)
    notice = notices.draft(world.session, world.house, author, new, now=world.now, origin="test")
    notices.publish(world.session, world.house, notice, by=author, now=world.now)
    total = figures(world, notice).total
    assert (total.chats, total.by_hand, total.given, total.by_machine) == (2, 2, 0, (0, 0))


def test_without_a_group_that_people_carry_to_opens_cannot_be_measured(world: World) -> None:
    world.group(world.villages[0], "g1")
    found = figures(world, out(world))
    assert found.total.opens is None
    assert found.total.by_machine == (1, 1)
    row = dict(zip(reach_sheet.COLUMNS, reach_sheet.csv_rows(found)[-1], strict=True))
    assert (row["Lượt mở (ước lượng)"], row["Giao"], row["Đã chuyển"]) == (texts.NOT_MEASURABLE, "", "")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param(
            {},
            "14 bản: 14 đã giao, 13 đã chuyển (trung vị 9 phút), 612/840 hộ: 395 tự xác nhận, 61 tự khai, "
            "118 trưởng bản ghi, 38 tổ đến nhà",
            id="all of it",
        ),
        pytest.param(
            {"carried": 0, "median": None, "number_": 0, "visit": 0, "head": 0},
            "14 bản: 14 đã giao, 0 đã chuyển, 395/840 hộ: 395 tự xác nhận",
            id="nothing carried yet",
        ),
        pytest.param(
            {"given": 0, "carried": 0, "median": None, "card": 0, "number_": 0, "visit": 0, "head": 0},
            "14 bản: 0 đã giao, 0 đã chuyển, 0/840 hộ",
            id="nothing given yet",
        ),
        pytest.param(
            {"villages": 8, "machine": (7, 7), "by_hand": 1, "given": 1, "carried": 1, "number_": 0, "visit": 0},
            "8 bản: máy gửi 7/7 nhóm; chuyển tay 1/1 đã giao, 1 đã chuyển (trung vị 9 phút), 513/840 hộ: "
            "395 tự xác nhận, 118 trưởng bản ghi",
            id="of both kinds",
        ),
        pytest.param(
            {"by_hand": 0, "given": 0, "carried": 0, "card": 0, "number_": 0, "visit": 0, "head": 0},
            "14 bản: 0/840 hộ",
            id="nothing to carry",
        ),
        pytest.param(
            {"households": 0, "card": 0, "number_": 0, "visit": 0, "head": 0, "unlinked": 7},
            "14 bản: 14 đã giao, 13 đã chuyển (trung vị 9 phút), 7 tài khoản",
            id="no register",
        ),
        pytest.param(
            {"card": 0, "number_": 0, "visit": 0, "unlinked": 5},
            "14 bản: 14 đã giao, 13 đã chuyển (trung vị 9 phút), 118/840 hộ, và 5 tài khoản chưa gắn hộ: "
            "118 trưởng bản ghi",
            id="accounts apart",
        ),
    ],
)
def test_the_table_in_one_line(changes: dict[str, int], line: str) -> None:
    values = {
        "villages": 14,
        "machine": (0, 0),
        "by_hand": 14,
        "given": 14,
        "carried": 13,
        "median": timedelta(minutes=9),
        "households": 840,
        "card": 395,
        "number_": 61,
        "head": 118,
        "visit": 38,
        "unlinked": 0,
        **changes,
    }
    assert texts.relay_line(**values) == line  # type: ignore[arg-type]


def test_the_line_is_told_in_a_chat_and_in_the_file(world: World) -> None:
    (one, _) = carriers(world)
    world.households(world.villages[0], 3)
    notice = out(world)
    carry(world, one)
    official = world.linked(world.official("Cán bộ xem"), "office")
    (answer,) = world.type(official, f"/baocao {notice.code}")
    assert figures(world, notice).words in answer
    assert "lượt mở (ước lượng): 0" in answer
    assert "đã đọc" not in answer
    rows = reach_sheet.csv_rows(figures(world, notice))
    first = dict(zip(rows[0], rows[1], strict=True))
    assert (first["Giao"], first["Đã chuyển"], first["Lượt mở (ước lượng)"]) == ("1", "1", "0")
    assert {"Nhóm còn mang tin cũ", "Số người trưởng bản đếm (không cộng vào hộ)"} <= set(rows[0])


# ---------------------------------------------------------------- ticks and bare numbers


def test_a_household_ticked_by_both_counts_once_by_the_better_grade_in_every_order(world: World) -> None:
    homes, head, help_ = world.households(world.villages[0], 3), world.head(), helper(world)
    notice = out(world)
    assert tick(world, help_, notice, homes[:2]) == [1, 2]
    assert tick(world, head, notice, homes[1:]) == [2, 3]
    assert tick(world, help_, notice, homes[:2]) == [], "twice is once"
    village = figures(world, notice).villages[0]
    assert (village.acknowledged, village.head, village.visit) == (3, 2, 1)
    reach.untick(
        world.session, world.actor(head), notice, world.villages[0], [home.id or 0 for home in homes], now=world.now
    )
    village = figures(world, notice).villages[0]
    assert (village.acknowledged, village.head, village.visit) == (2, 0, 2), "only the own ticks were taken back"


def test_a_helper_sees_numbers_and_never_labels(world: World) -> None:
    homes, head, help_ = world.households(world.villages[0], 2), world.head(), helper(world)
    for home in homes:
        home.sealed_label = world.house.vault.seal(f"nhà số {home.number}")
    notice = out(world)

    def seen(who: Person) -> list[str]:
        actor = world.actor(who)
        return [h.label for h in reach.missing(world.session, world.house, actor, notice, world.villages[0])]

    assert seen(head) == ["nhà số 1", "nhà số 2"]
    assert seen(help_) == ["", ""]
    tick(world, help_, notice, homes[:1])
    mine = reach.ticked(world.session, world.actor(help_), notice, world.villages[0])
    assert [home.number for home in mine] == [1]
    assert reach.ticked(world.session, world.actor(head), notice, world.villages[0]) == []


def test_a_helper_ticks_in_chat_too(world: World) -> None:
    world.households(world.villages[0], 3)
    notice = out(world)
    user = world.linked(helper(world), "helper")
    assert "còn 3/3 hộ" in world.type(user, f"/chuanam {notice.code}")[-1]
    assert "đã đến nhà hộ số 2" in " ".join(world.type(user, "2"))
    assert figures(world, notice).villages[0].visit == 1


@pytest.mark.parametrize("role", [RoleName.OFFICIAL, RoleName.POLICE, RoleName.VIEWER, RoleName.ADMIN])
def test_nobody_else_ticks_or_counts(world: World, role: RoleName) -> None:
    homes = world.households(world.villages[0], 1)
    notice = out(world)
    who = world.person("Người khác", role, world.commune)
    with pytest.raises(NotFound):
        tick(world, who, notice, homes)
    with pytest.raises(NotFound):
        count(world, world.actor(who), notice, 3)


def count(world: World, actor: Actor, notice: Notice, people: int | None) -> None:
    reach.tell_count(world.session, actor, notice, world.villages[0], people, now=world.now)


def test_a_bare_number_is_kept_apart_and_taken_back(world: World) -> None:
    world.households(world.villages[0], 3)
    head, notice = world.actor(world.head()), out(world)
    for _ in range(2):
        count(world, head, notice, 25)
    village = figures(world, notice).villages[0]
    assert (village.told_count, village.acknowledged, village.unlinked) == (25, 0, 0)
    assert figures(world, notice).total.told_count == 25
    target = world.session.get_one(NoticeTarget, (notice.id, world.villages[0].id))
    assert (target.told_by_id, target.told_at) == (head.person_id, world.now)
    count(world, head, notice, None)
    assert figures(world, notice).villages[0].told_count is None
    noted = world.session.exec(select(Audit.detail).where(Audit.action == "people counted")).all()
    assert noted == ["25", "taken back"]
    for wrong in (-1, 10_001):
        with pytest.raises(Invalid):
            count(world, head, notice, wrong)
    with pytest.raises(NotFound):
        count(world, world.actor(helper(world)), notice, 1)


@pytest.mark.parametrize("state", [NoticeState.RECALLED, NoticeState.CANCELLED])
def test_what_is_over_is_neither_ticked_nor_counted_and_can_still_be_taken_back(
    world: World, state: NoticeState
) -> None:
    homes, head, notice = world.households(world.villages[0], 2), world.head(), out(world)
    tick(world, head, notice, homes[:1])
    count(world, world.actor(head), notice, 25)
    notice.state = state
    world.session.add(notice)
    with pytest.raises(Conflict):
        tick(world, head, notice, homes[1:])
    with pytest.raises(Conflict):
        count(world, world.actor(head), notice, 26)
    village = world.villages[0]
    assert reach.untick(world.session, world.actor(head), notice, village, [homes[0].id or 0], now=world.now) == 1
    count(world, world.actor(head), notice, None)
    line = figures(world, notice).villages[0]
    assert (line.acknowledged, line.told_count) == (0, None)
