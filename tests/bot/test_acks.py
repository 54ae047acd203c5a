"""A press counts a household once, whatever is pressed where and how often."""

from datetime import timedelta
from itertools import permutations
from pathlib import Path

import pytest
from sqlmodel import col, select, update

from adapters.contract import Can
from bot import acks, calls, households, notices, reach, reach_sheet
from bot.notices import NewNotice
from bot.permissions import Actor, Duty, actor_of, targets_seen
from store import outbox
from store.tables import (
    Channel,
    Chat,
    Household,
    Notice,
    NoticeState,
    Outbox,
    Person,
    RoleName,
    State,
    Wanted,
    WebSession,
)
from tests.village import EVERYTHING, World, a_commune


def sent(world: World, *, body: str = "Ngày mai tiêm chủng ở trạm y tế.", attend: bool = False) -> Notice:
    """A notice from the head of Bản 1, delivered to the groups of Bản 1."""
    head = world.linked(world.head(), "head")
    world.type(head, f"/thongbao {body}")
    if attend:
        world.press(head, "Hỏi: Đã nắm")
    world.press(head, "Gửi đi")
    notice = world.latest()
    assert notice.state is NoticeState.PUBLISHED
    return notice


def row(world: World, notice: Notice, village: int = 0) -> reach.VillageReach:
    return reach.of_notice(world.session, notice, [world.villages[village]]).villages[0]


def has_card(world: World, user: str, household: Household) -> None:
    answer = world.type(user, f"/start h_{households.card_token(world.house, household)}")
    assert f"hộ số {household.number}" in answer[0]


def test_a_household_counts_once_however_often_and_wherever_its_people_press(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    world.group(village, "g2")
    homes = world.households(village, 5)
    for user in ("a", "b"):
        has_card(world, user, homes[0])
    notice = sent(world)

    assert "hộ số 1" in world.press("a", "Đã nắm", chat="g1")
    assert "1/5 hộ" in world.press("a", "Đã nắm", chat="g1")
    assert "đã được ghi rồi" in world.press("a", "Đã nắm", chat="g2")
    assert "1/5 hộ" in world.press("b", "Đã nắm", chat="g2")
    found = row(world, notice)
    assert (found.acknowledged, found.card, found.unlinked) == (1, 1, 0)
    assert found.words == "1/5 hộ"


def test_somebody_without_a_household_is_asked_once_and_stays_apart(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    world.households(village, 5)
    notice = sent(world)
    assert "số hộ" in world.press("x", "Đã nắm", chat="g1")
    assert "số hộ" not in world.press("x", "Đã nắm", chat="g1")
    assert row(world, notice).words == "0/5 hộ, và 1 tài khoản chưa gắn hộ"


def test_without_a_register_the_figure_is_accounts_never_households(world: World) -> None:
    world.group(world.villages[0], "g1")
    notice = sent(world)
    assert "1 tài khoản" in world.press("x", "Đã nắm", chat="g1")
    assert row(world, notice).words == "1 tài khoản"


def test_typing_the_number_later_moves_the_press_to_the_household(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    world.households(village, 5)
    notice = sent(world)
    world.press("x", "Đã nắm", chat="g1")
    assert "hộ số 3" in world.type("x", "3")[0]
    found = row(world, notice)
    assert (found.number, found.card, found.unlinked) == (1, 0, 0)
    assert "không có hộ số 9" in world.type("x", "hộ 9")[0]


def test_moving_to_another_household_moves_and_never_doubles(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    homes = world.households(village, 5)
    notice = sent(world)
    world.press("x", "Đã nắm", chat="g1")
    world.type("x", "3")
    world.type("x", "4")
    has_card(world, "x", homes[4])
    found = row(world, notice)
    assert (found.acknowledged, found.card, found.number, found.unlinked) == (1, 1, 0, 0)


def test_a_card_is_not_weakened_by_typing_its_number(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    homes = world.households(village, 2)
    has_card(world, "x", homes[0])
    notice = sent(world)
    world.press("x", "Đã nắm", chat="g1")
    world.type("x", "1")
    assert row(world, notice).card == 1


def test_a_relative_from_another_village_is_an_account_here(world: World) -> None:
    world.group(world.villages[0], "g1")
    world.households(world.villages[0], 2)
    (home,) = world.households(world.villages[1], 1)
    has_card(world, "x", home)
    notice = sent(world)
    world.press("x", "Đã nắm", chat="g1")
    assert row(world, notice).words == "0/2 hộ, và 1 tài khoản chưa gắn hộ"


def test_an_old_card_and_a_forged_card_are_refused(world: World) -> None:
    (home,) = world.households(world.villages[0], 1)
    token = households.card_token(world.house, home)
    assert "không dùng được" in world.type("x", f"/start h_{token[:-1]}{'A' if token[-1] != 'A' else 'B'}")[0]
    home.card_version += 1
    world.session.commit()
    assert "không dùng được" in world.type("x", f"/start h_{token}")[0]


STEPS = ("card press", "number press", "head tick", "unlinked press")


@pytest.mark.parametrize("order", list(permutations(STEPS)), ids=lambda order: " → ".join(order))
def test_every_order_of_evidence_gives_the_same_union(tmp_path: Path, order: tuple[str, ...]) -> None:
    with a_commune(tmp_path, villages=1) as world:
        village = world.villages[0]
        world.group(village, "g1")
        homes = world.households(village, 4)
        notice = sent(world)
        head = the_head(world)
        for step in order:
            if step == "card press":
                has_card(world, "card", homes[0])
                world.press("card", "Đã nắm", chat="g1")
            elif step == "number press":
                world.press("number", "Đã nắm", chat="g1")
                world.type("number", "2")
            elif step == "head tick":
                reach.tick(world.session, head, notice, village, [homes[0].id or 0, homes[2].id or 0], now=world.now)
            else:
                world.press("unlinked", "Đã nắm", chat="g1")
        found = row(world, notice)
        assert (found.card, found.number, found.head, found.unlinked) == (1, 1, 1, 1)
        assert found.acknowledged == 3


def the_head(world: World) -> Actor:
    """Whose account `head` is."""
    person_id = world.account("head").person_id
    assert person_id is not None
    return actor_of(world.session, person_id)


def test_an_answer_can_be_changed_and_the_latest_counts(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    homes = world.households(village, 3)
    has_card(world, "a", homes[0])
    notice = sent(world, attend=True)
    assert notice.wanted is Wanted.ATTEND
    world.press("a", "Tham gia", chat="g1")
    assert "Đã đổi hộ số 1: vắng" in world.press("a", "Vắng", chat="g1")
    found = row(world, notice)
    assert (found.join, found.absent, found.acknowledged) == (0, 1, 1)


def test_a_call_for_help_reaches_the_head_at_once(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    homes = world.households(village, 3)
    has_card(world, "a", homes[1])
    sent(world, attend=True)
    world.press("a", "Cần giúp", chat="g1")
    assert any("Hộ số 2 bấm “Cần giúp”" in text for text in world.texts("head"))


def phone_of(world: World, head: Person, *, lives: timedelta = timedelta(days=90)) -> None:
    """The head signed in at /truong with a phone, and has no chat."""
    world.session.add(
        WebSession(
            token_key=f"phone of {head.id}",
            person_id=head.id or 0,
            is_phone=True,
            created_at=world.now,
            seen_at=world.now,
            expires_at=world.now + lives,
        )
    )
    world.session.commit()


def asking(world: World, head: Person) -> Notice:
    """A notice to which Bản 1 may answer that it needs help, of a head who has no chat."""
    world.group(world.villages[0], "g1")
    new = NewNotice(body="Lũ về.\nRa nhà văn hoá.", unit_ids=(world.villages[0].id or 0,), wanted=Wanted.ATTEND)
    actor = world.actor(head)
    notice = notices.draft(world.session, world.house, actor, new, now=world.now, origin="api")
    notices.submit(world.session, world.house, actor, notice, now=world.now)
    world.deliver()
    return notice


def heard(world: World, notice: Notice, user: str = "a") -> bool:
    world.session.expire_all()
    return acks.is_heard(world.session, world.account(user), notice)


def open_calls(world: World, who: Person) -> list[tuple[str, str, int | None]]:
    found = calls.help_calls(world.session, world.actor(who), now=world.now)
    return [(call.code, call.title, call.household) for call in found]


def test_a_call_for_help_stands_on_the_page_of_a_head_without_a_chat(world: World) -> None:
    head, other, official = world.head(), world.head(1), world.official()
    notice = asking(world, head)
    phone_of(world, head)
    has_card(world, "a", world.households(world.villages[0], 3)[1])
    assert "chưa báo được ai" not in world.press("a", "Cần giúp", chat="g1")
    assert heard(world, notice)
    for reader in (head, official):
        assert open_calls(world, reader) == [(notice.code, "Lũ về.", 2)]
    for reader in (other, world.person("Người xem", RoleName.VIEWER, world.commune)):
        assert open_calls(world, reader) == []


def test_an_open_call_is_one_a_house_and_ends_with_its_next_answer_or_the_notice(world: World) -> None:
    head, homes = world.head(), world.households(world.villages[0], 3)
    notice = asking(world, head)
    for user in ("a", "b"):
        has_card(world, user, homes[0])
        world.press(user, "Cần giúp", chat="g1")
    world.press("x", "Cần giúp", chat="g1")
    both = [(notice.code, "Lũ về.", None), (notice.code, "Lũ về.", 1)]
    assert open_calls(world, head) == both
    reach.tick(world.session, world.actor(head), notice, world.villages[0], [homes[0].id or 0], now=world.now)
    assert open_calls(world, head) == both, "to be told is not to be helped"
    world.now += timedelta(minutes=1)
    world.press("a", "Tham gia", chat="g1")
    assert open_calls(world, head) == both[:1]
    notice.state = NoticeState.RECALLED
    assert open_calls(world, head) == []
    notice.state = NoticeState.PUBLISHED
    world.now += calls.OPEN_FOR
    assert open_calls(world, head) == []


def test_an_expired_phone_hears_nothing(world: World) -> None:
    head = world.head()
    phone_of(world, head, lives=timedelta(minutes=-1))
    asking(world, head)
    assert "chưa báo được ai" in world.press("a", "Cần giúp", chat="g1")


def test_whether_a_call_was_heard_is_remembered_after_its_message_is_dropped(world: World) -> None:
    world.group(world.villages[0], "g1")
    notice = sent(world, attend=True)
    world.press("a", "Cần giúp", chat="g1")
    world.press("b", "Tham gia", chat="g1")
    assert heard(world, notice)
    later = world.now + timedelta(days=30)
    assert outbox.forget_replies(world.session.connection(), before=later, limit=1000)
    assert world.session.exec(select(Outbox).where(col(Outbox.key).startswith("help:"))).all() == []
    assert heard(world, notice)
    assert not heard(world, notice, "b"), "who never called was never heard"


@pytest.mark.parametrize("state", [State.FAILED, State.EXPIRED, State.CANCELLED])
def test_a_call_whose_message_got_nowhere_was_not_heard(world: World, state: State) -> None:
    world.group(world.villages[0], "g1")
    notice = sent(world, attend=True)
    world.press("a", "Cần giúp", chat="g1")
    world.session.exec(update(Outbox).where(col(Outbox.key).startswith("help:")).values(state=state))
    assert not heard(world, notice)
    phone_of(world, the_person(world, "head"))
    assert heard(world, notice), "the head's page has it"


def the_person(world: World, user: str) -> Person:
    return world.session.get_one(Person, world.account(user).person_id)


def test_many_presses_are_one_edit_with_the_running_count_in_every_group(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    world.group(village, "g2")
    homes = world.households(village, 30)
    for number, home in enumerate(homes):
        has_card(world, f"u{number}", home)
    sent(world)
    for number in range(30):
        world.press(f"u{number}", "Đã nắm", chat="g1")
    edits_before = _edits(world)
    world.pass_time(timedelta(seconds=10))
    assert _edits(world) - edits_before == 2, "one edit a group"
    for group in ("g1", "g2"):
        (post,) = world.posts(group)
        assert post.buttons[0][0].label == "✅ Đã nắm · 30/30 hộ"


def _edits(world: World) -> int:
    from sqlmodel import func, select

    from store.tables import Action, Outbox

    return world.session.exec(
        select(func.count())
        .select_from(Outbox)
        .join(Chat, Chat.id == Outbox.chat_id)  # type: ignore[arg-type]
        .where(Outbox.action == Action.EDIT, Chat.kind == "group")
    ).one()


def test_the_median_is_of_first_answers(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    homes = world.households(village, 3)
    for user, home in zip("abc", homes, strict=True):
        has_card(world, user, home)
    notice = sent(world)
    for user, wait in (("a", 2), ("b", 8), ("c", 60)):
        world.now += timedelta(minutes=wait)
        world.press(user, "Đã nắm", chat="g1")
    world.now += timedelta(days=1)
    world.press("a", "Đã nắm", chat="g1")
    assert row(world, notice).median == timedelta(minutes=10)


def test_the_missing_list_is_for_the_head_alone_and_can_be_ticked_and_unticked(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    world.households(village, 3)
    notice = sent(world)
    world.press("x", "Đã nắm", chat="g1")
    world.type("x", "2")
    official = world.linked(world.official(), "official")

    assert "chỉ trưởng thôn, bản xem được" in world.type(official, f"/chuanam {notice.code}")[0]
    (listed,) = world.type("head", f"/chuanam {notice.code}")
    assert "còn 2/3 hộ" in listed
    assert "Hộ 2" not in listed
    assert "hộ số 3" in world.type("head", "3")[0]
    assert row(world, notice).head == 1
    assert "hộ số 1" in world.press("head", "Hộ 1").lower()
    assert row(world, notice).head == 2
    assert "Đã bỏ ghi hộ số 1" in world.press("head", "Ghi nhầm hộ 1")
    assert row(world, notice).head == 1
    world.press("head", "Hộ 1")
    assert any("Không còn hộ nào" in text for text in world.texts("head"))


def test_a_press_on_a_stopped_notice_says_so(world: World) -> None:
    world.group(world.villages[0], "g1")
    notice = sent(world)
    notice.state = NoticeState.RECALLED
    world.session.add(notice)
    world.session.commit()
    assert "đã dừng" in world.press("x", "Đã nắm", chat="g1")


def test_figures_are_the_same_in_the_chat_and_in_the_table(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    homes = world.households(village, 4)
    has_card(world, "a", homes[0])
    notice = sent(world)
    world.press("a", "Đã nắm", chat="g1")
    (said,) = world.type("head", f"/baocao {notice.code}")
    assert "đã gửi 1/1 nhóm" in said
    assert "không đo được" in said
    assert "đã nắm: 1/4 hộ" in said
    assert "1 tự xác nhận" in said
    assert "Đã nắm: 1/4 hộ" in world.type("x", "/baocao", group="g1")[0]


def test_the_file_of_figures_says_what_cannot_be_measured(world: World) -> None:
    world.group(world.villages[0], "g1")
    notice = sent(world)
    head = the_head(world)
    villages = targets_seen(world.session, head, notice, Duty.FIGURES)
    header, line, total = reach_sheet.csv_rows(reach.of_notice(world.session, notice, villages))
    cells = dict(zip(header, line, strict=True))
    assert cells["Đã xem"] == "không đo được"
    assert cells["Hộ đã nắm"] == "không có sổ hộ"
    assert cells["Đã gửi"] == "1"
    assert total[0] == "Cộng"


def test_a_group_that_changed_hands_still_counts_for_the_village_it_was_told_as(world: World) -> None:
    group = world.group(world.villages[0], "g1")
    notice = sent(world)
    group.unit_id = world.villages[1].id
    world.session.add(group)
    world.session.commit()
    world.press("x", "Đã nắm", chat="g1")
    assert row(world, notice).unlinked == 1
    assert row(world, notice, village=1).unlinked == 0


def test_a_made_up_button_counts_nothing(world: World) -> None:
    world.group(world.villages[0], "g1")
    world.group(world.villages[1], "g2")
    notice = sent(world)
    (row_id,) = [r for r, m in world.shown.items() if world.texts("g1") and m in world.posts("g1")]
    told = world.press_token("x", f"a:{notice.code}:got_it~{row_id:x}", chat="g2")
    assert "không dùng được" in told
    assert "không dùng được" in world.press_token("x", f"a:{notice.code}:got_it", chat="g1")
    assert row(world, notice).unlinked == 0


def test_a_mistyped_number_does_not_move_somebody_with_a_card(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    homes = world.households(village, 5)
    has_card(world, "x", homes[0])
    assert "bằng thẻ" in world.type("x", "3")[0]
    assert world.account("x").household_id == homes[0].id


def test_numbers_are_understood_in_a_sentence_and_forgetting_is_no_shame(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    world.households(village, 12)
    sent(world)
    world.press("x", "Đã nắm", chat="g1")
    assert "hộ số 12" in world.type("x", "nhà tôi số 12 ạ")[0]
    assert "Không sao" in world.type("y", "tôi không nhớ")[0]


def test_changing_ones_mind_calls_the_head_once(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    sent(world, attend=True)
    for _ in range(3):
        world.press("x", "Cần giúp", chat="g1")
        world.press("x", "Vắng", chat="g1")
    assert sum("Cần giúp” ở" in text for text in world.texts("head")) == 1


def test_somebody_who_calls_for_help_and_reaches_nobody_is_told_so(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    person = world.head()
    notice = notices.draft(
        world.session,
        world.house,
        world.actor(person),
        NewNotice(body="Lũ về.", unit_ids=(village.id or 0,), wanted=Wanted.ATTEND),
        now=world.now,
        origin="api",
    )
    notices.submit(world.session, world.house, world.actor(person), notice, now=world.now)
    world.deliver()
    assert "chưa báo được ai" in world.press("x", "Cần giúp", chat="g1")


def test_the_figure_on_the_button_follows_ticks_and_numbers_too(world: World) -> None:
    village = world.villages[0]
    world.group(village, "g1")
    homes = world.households(village, 5)
    notice = sent(world)
    world.press("x", "Đã nắm", chat="g1")
    world.pass_time(timedelta(seconds=10))
    world.type("x", "2")
    reach.tick(world.session, the_head(world), notice, village, [homes[3].id or 0], now=world.now)
    world.session.commit()
    world.pass_time(timedelta(seconds=10))
    (post,) = world.posts("g1")
    assert post.buttons[0][0].label == "✅ Đã nắm · 2/5 hộ"


def test_whoever_presses_has_seen_it_where_seeing_is_told(tmp_path: Path) -> None:
    with a_commune(tmp_path, can=EVERYTHING | Can.TELL_READ) as world:
        channel = world.session.get_one(Channel, world.messenger.channel_id)
        channel.tells_read = True
        world.group(world.villages[0], "g1")
        notice = sent(world)
        world.press("x", "Đã nắm", chat="g1")
        world.press("x", "Đã nắm", chat="g1")
        assert row(world, notice).seen == 1
