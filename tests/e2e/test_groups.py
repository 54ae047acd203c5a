"""Groups change while notices are on their way: they move, throw the bot out, or forbid it to write."""

import pytest
from sqlmodel import Session, col, func, select

from bot import texts
from store.tables import Chat, ChatKind, RoleName
from tests.e2e.service import until
from tests.e2e.town import Town, a_town

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]

GROUPS = 60
FIRST = 5
ORDERS = (("to", "from"), ("from", "to"), ())


async def test_groups_that_become_supergroups_during_a_broadcast_get_it_once_whatever_is_told_first(tmp_path):
    async def furnish(town: Town) -> None:
        await town.add_groups("ban-1", GROUPS, type="group")

    async with a_town(tmp_path, before=furnish) as town:
        token = await town.official()
        groups = town.groups["ban-1"]
        notice = await town.send(token, "Lịch phun thuốc diệt muỗi.")
        await until(lambda: are_sent(town, FIRST), "the first sends")
        moved = {}
        for old, announce in zip(groups[-3:], ORDERS, strict=True):
            told = await town.stub.control.migrate(old, announce=announce)
            moved[old] = told["new_id"]
        counts = await town.stub.control.message_counts()
        assert not any(counts[str(old)] for old in moved), "the groups moved before their turn came"
        figures = (await town.reached(token, notice["code"]))["total"]
        assert (figures["sent"], figures["failed"], figures["unknown"]) == (GROUPS, 0, 0)
        await once_each(town, [moved.get(group, group) for group in groups])
        assert await town.count(groups_known) == GROUPS

        # One more notice goes to the new addresses straight away; a group moved long ago is told of again.
        await town.stub.control.migrate(groups[0], announce=("from", "to"))
        calls = len(town.stub.control.seen)
        second = await town.send(token, "Lịch phun thuốc, đợt hai.")
        figures = (await town.reached(token, second["code"]))["total"]
        assert figures["sent"] == GROUPS
        asked = {one.chat for one in town.stub.control.seen[calls:] if one.method.startswith("send")}
        assert not asked & set(moved)
        assert await town.count(groups_known) == GROUPS
        assert (await town.stub.control.stats())["throttled_by_client"] == 0
        assert town.service.errors() == []


@pytest.mark.parametrize("is_told", [True, False], ids=["and Telegram tells", "and a send finds out"])
async def test_groups_that_throw_the_bot_out_or_forbid_it_to_write_are_named_and_hold_nobody_up(tmp_path, is_told):
    async def furnish(town: Town) -> None:
        await town.add_groups("ban-1", GROUPS)

    async with a_town(tmp_path, before=furnish) as town:
        token = await town.official()
        head, person = (
            town.new_user(),
            await town.add_person("Trưởng bản 1", RoleName.VILLAGE_HEAD, town.villages["ban-1"]),
        )
        await town.says(head, f"/lienket {await town.link_code(person)}", hears="Đã liên kết")
        removed, muted = town.groups["ban-1"][-2:]
        notice = await town.send(token, "Họp chi hội phụ nữ.")
        await until(lambda: are_sent(town, FIRST), "the first sends")
        if is_told:
            await town.stub.control.stand(removed, "kicked")
            await town.stub.control.stand(muted, "restricted", can_write=False)
        else:
            chats = town.stub.control.bot().chats
            chats[removed].standing, chats[muted].can_write = "kicked", False

        figures = await town.reached(token, notice["code"])
        total, [village] = figures["total"], figures["villages"]
        assert (total["sent"], total["failed"], total["unknown"]) == (GROUPS - 2, 2, 0)
        assert {one["error"] for one in village["failures"]} == {"chat_gone", "no_right"}
        assert (await town.starts())[removed] <= 1
        await once_each(town, town.groups["ban-1"][:-2])
        if is_told:
            await town.heard(head, texts.LOST_GONE)
            await town.heard(head, texts.LOST_MUTED)
        await town.says(head, f"/baocao {notice['code']}", hears="2 chưa gửi được")

        # The next notice does not even try the group that is gone; the other one is tried and may write again.
        await town.stub.control.stand(muted, "member")
        starts = await town.starts()
        second = await town.send(token, "Họp chi hội phụ nữ, đổi giờ.")
        total = (await town.reached(token, second["code"]))["total"]
        assert (total["sent"], total["failed"]) == (GROUPS - 1, 1)
        assert (await town.starts())[removed] == starts[removed]
        # Back in the group, it is the village's as before.
        await town.stub.control.stand(removed, "member")
        await until(lambda: is_in(town, removed), "the bot is back")
        resent = await town.http.post(
            f"{town.service.url}/api/v1/notices/{second['code']}/resend",
            json={"states": ["failed"]},
            headers={"authorization": f"Bearer {token}"},
        )
        assert resent.json()["resent"] == 1
        await town.heard(removed, "đổi giờ")
        assert town.service.errors() == []


async def are_sent(town: Town, number: int) -> bool:
    return (await town.stub.control.stats())["sent"] >= number


async def once_each(town: Town, groups: list[int]) -> None:
    counts = await town.stub.control.message_counts()
    assert {counts[str(group)] for group in groups} == {1}


async def is_in(town: Town, group: int) -> bool:
    return not await town.count(lambda session: standing_gone(session))


def standing_gone(session: Session) -> int:
    return session.exec(select(func.count()).where(Chat.standing == "gone")).one()


def groups_known(session: Session) -> int:
    """Groups tied to a village; an address that a group left stays as a row of its own, tied to nothing."""
    bound = select(func.count()).where(Chat.kind == ChatKind.GROUP, col(Chat.unit_id).is_not(None))
    return session.exec(bound).one()
