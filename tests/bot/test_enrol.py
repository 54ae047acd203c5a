"""How a group becomes a village's, and how accounts become people's."""

from datetime import timedelta

import pytest

from adapters.contract import Standing
from bot import people
from bot.errors import NotFound
from store.tables import Chat, RoleName
from store.tables import Standing as Stands
from tests.village import World


def chat_of(world: World, chat_id: str) -> Chat:
    from sqlmodel import select

    key = world.house.vault.fingerprint("chat", str(world.messenger.channel_id), chat_id)
    return world.session.exec(select(Chat).where(Chat.address_key == key)).one()


def test_a_head_ties_the_group_with_a_one_time_code_and_the_bot_says_what_it_sees(world: World) -> None:
    person = world.head()
    head = world.linked(person, "head")
    world.standing("g1", Standing.MEMBER)
    code = people.new_bind_code(world.session, world.house, world.actor(person), world.villages[0], now=world.now)
    (answer,) = world.type(head, f"/dangky {code.lower()}", group="g1")
    assert "Đã nối nhóm này với Bản 1" in answer
    assert "Loa bản thấy" in answer
    assert chat_of(world, "g1").unit_id == world.villages[0].id
    assert "Mã không đúng" in world.type(head, f"/dangky {code}", group="g2")[0], "a code works once"


def test_the_deep_link_into_a_group_does_the_same(world: World) -> None:
    person = world.head()
    head = world.linked(person, "head")
    code = people.new_bind_code(world.session, world.house, world.actor(person), world.villages[0], now=world.now)
    assert "Đã nối" in world.type(head, f"/start g_{code.replace('-', '')}", group="g1")[0]


def test_somebody_who_read_the_code_in_the_group_cannot_use_it(world: World) -> None:
    person = world.head()
    code = people.new_bind_code(world.session, world.house, world.actor(person), world.villages[0], now=world.now)
    assert "chưa được giao" in world.type("villager", f"/dangky {code}", group="g1")[0]
    other = world.linked(world.head(1), "other")
    assert "chưa được giao" in world.type(other, f"/dangky {code}", group="g1")[0]
    assert chat_of(world, "g1").unit_id is None


def test_a_head_gets_no_code_for_a_foreign_village(world: World) -> None:
    with pytest.raises(NotFound):
        people.new_bind_code(world.session, world.house, world.actor(world.head()), world.villages[1], now=world.now)


def test_guessing_codes_is_stopped(world: World) -> None:
    answers = [world.type("x", f"/lienket AAAA-AA{n}A")[0] for n in range(2, 9)]
    assert "Mã không đúng" in answers[0]
    assert "thử sai nhiều lần" in answers[-1]
    person = world.head()
    code = people.new_link_code(world.session, world.house, person, now=world.now)
    assert "thử sai nhiều lần" in world.type("x", f"/lienket {code}")[0]
    world.now += timedelta(hours=5)
    assert "Đã liên kết" in world.type("x", f"/lienket {code}")[0]


def test_an_old_code_is_refused(world: World) -> None:
    code = people.new_link_code(world.session, world.house, world.head(), now=world.now)
    world.now += timedelta(days=4)
    assert "quá hạn" in world.type("x", f"/lienket {code}")[0]


def test_losing_a_group_is_told_to_its_head_and_coming_back_revives_it(world: World) -> None:
    world.group(world.villages[0], "g1")
    world.linked(world.head(), "head")
    world.standing("g1", Standing.GONE)
    assert chat_of(world, "g1").standing is Stands.GONE
    assert any("đã bị đưa ra khỏi nhóm" in text for text in world.texts("head"))
    world.standing("g1", Standing.MEMBER)
    assert chat_of(world, "g1").standing is Stands.MEMBER
    world.standing("g1", Standing.MUTED)
    assert any("không cho Loa bản viết" in text for text in world.texts("head"))


def test_a_new_group_is_greeted_and_ordinary_talk_is_answered_by_silence(world: World) -> None:
    world.standing("g1", Standing.MEMBER)
    assert "chưa nối với bản nào" in world.texts("g1")[0]
    assert world.type("x", "/khongco", group="g1") == []
    assert world.type("x", "chào cả nhà", group="g1") == []


def test_private_words_are_met_with_help(world: World) -> None:
    assert "/trogiup" in world.type("x", "/khongco")[0]
    assert "Đã nắm" in world.type("x", "/trogiup")[0]
    assert "/xoadulieu" in world.type("x", "/quyenriengtu")[0]
    assert "Không có việc nào" in world.type("x", "/huy")[0]


def test_an_office_is_handed_over_in_one_action(world: World) -> None:
    leaving = world.head()
    old = world.linked(leaving, "old")
    coming = people.add_person(world.session, "Trưởng bản mới", None, now=world.now)
    world.type(old, "/thongbao Đang viết dở")
    assert people.handover(world.session, None, leaving, coming, now=world.now) == 1
    world.session.commit()
    assert "trưởng bản hoặc cán bộ" in world.type(old, "/thongbao")[0]
    assert "không dùng được" in world.press(old, "Gửi đi")
    new = world.linked(coming, "new")
    assert "gõ nội dung" in world.type(new, "/thongbao")[0]


def test_only_a_manager_may_hand_an_office_over(world: World) -> None:
    from bot.errors import NotAllowed

    leaving, coming = world.head(), people.add_person(world.session, "Người mới", None, now=world.now)
    with pytest.raises(NotAllowed):
        people.handover(world.session, world.actor(world.official()), leaving, coming, now=world.now)
    admin = world.person("Quản trị", RoleName.ADMIN, world.commune)
    assert people.handover(world.session, world.actor(admin), leaving, coming, now=world.now) == 1


def test_erasing_forgets_the_person_and_keeps_the_figures(world: World) -> None:
    from sqlmodel import select

    from bot import reach
    from store.tables import Account, Receipt

    village = world.villages[0]
    world.group(village, "g1")
    world.households(village, 2)
    head = world.linked(world.head(), "head")
    world.type(head, "/thongbao Họp.")
    world.press(head, "Gửi đi")
    notice = world.latest()
    world.press("x", "Đã nắm", chat="g1")
    world.type("x", "2")
    world.press("y", "Đã nắm", chat="g1")
    before = reach.of_notice(world.session, notice, [village]).total.words
    assert "Bác chắc chưa" in world.type("x", "/xoadulieu")[0]
    assert "Đã xoá" in world.press("x", "Xoá dữ liệu")
    key = world.house.vault.fingerprint("user", str(world.messenger.channel_id), "x")
    assert world.session.exec(select(Account).where(Account.user_key == key)).first() is None
    assert reach.of_notice(world.session, notice, [village]).total.words == before
    assert {r.account_id for r in world.session.exec(select(Receipt)).all()} == {None, world.account("y").id}
    private = chat_of(world, "x")
    world.pass_time(timedelta(minutes=5))
    world.session.refresh(private)
    assert world.house.vault.open_text(private.sealed_address) == "", "even where the private chat was is forgotten"
