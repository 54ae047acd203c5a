"""A notice in somebody's hand, from the kit that is given to the report that it is in the group, or to a call."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import Session, col, create_engine, select, update

from adapters.contract import Can, FileKind
from adapters.text import joined, plain
from bot import corrections, errands, kits, notices, people, reach, relays, residents, tasks
from bot.errors import Conflict, NotFound
from bot.notices import NewFile, NewNotice
from store import migrations, outbox, sessions
from store.tables import (
    Audit,
    Chat,
    Errand,
    Holder,
    Lane,
    Notice,
    NoticeKind,
    NoticeRevision,
    NoticeTarget,
    Outbox,
    Person,
    Proof,
    Reach,
    Receipt,
    ReceiptKind,
    Role,
    RoleName,
    State,
    Task,
    WebSession,
)
from store.tables import FileKind as StoredKind
from tests import postgres
from tests.village import EVERYTHING, World, a_commune, settled

BODY = "Sáng mai tiêm chủng lúc 8 giờ ở trạm y tế."
HEAD, BACKUP, OFFICIAL = "trưởng bản", "phó bản", "cán bộ"
"""Their accounts."""
NAME = "Trưởng bản Bản 1"
W, URGENT_W = errands.PATIENCE, errands.URGENT_PATIENCE
MORNING = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
"""8:00 there: twelve hours of patience pass before the night."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_commune(tmp_path, approval=frozenset()) as commune:
        commune.now = MORNING
        yield commune


def publish(world: World, *, urgent: bool = False, villages: int = 1, body: str = BODY, **more: object) -> Notice:
    """A notice of the commune that is out, with all that follows at once."""
    author = world.actor(world.official("Người soạn"))
    unit_ids = tuple(village.id or 0 for village in world.villages[:villages])
    new = NewNotice(body=body, unit_ids=unit_ids, is_urgent=urgent, **more)  # type: ignore[arg-type]
    notice = notices.draft(world.session, world.house, author, new, now=world.now, origin="test")
    notices.submit(world.session, world.house, author, notice, now=world.now)
    world.session.commit()
    world.deliver()
    return notice


def carried_by(world: World, *, backup: bool = False) -> tuple[Person, Chat]:
    """A village whose group the head carries to, with a chat of the head's."""
    head = world.head(0)
    world.linked(head, HEAD)
    other = world.person("Phó bản", RoleName.HELPER, world.villages[0]) if backup else None
    if other is not None:
        world.linked(other, BACKUP)
    return head, world.relay_group(world.villages[0], head, other, title="Bản Nà Mẫu")


def an_official(world: World) -> Person:
    official = world.official("Cán bộ trực")
    world.linked(official, OFFICIAL)
    return official


def errand(world: World) -> Errand:
    """The newest one."""
    world.session.expire_all()
    return world.session.exec(select(Errand).order_by(col(Errand.outbox_id).desc())).first()  # type: ignore[return-value]


def state(world: World, outbox_id: int | None = None) -> State:
    world.session.expire_all()
    return world.session.get_one(Outbox, outbox_id or errand(world).outbox_id).state


def heard(world: World, user: str, after: int = 0) -> list[str]:
    """What a private chat shows now, beside what linking it said."""
    return [words for words in world.texts(user)[after:] if not words.startswith("Đã liên kết")]


def refresh(world: World) -> None:
    world.session.commit()
    world.deliver()


def figures(world: World, notice: Notice) -> Reach:
    world.session.expire_all()
    return world.session.get_one(Reach, (notice.id, world.villages[0].id))


def message_id(world: World, user: str, words: str) -> str:
    """Of the newest message in the private chat that holds the words."""
    found = [
        row_id
        for row_id, message in sorted(world.shown.items())
        if world._address(row_id) == user and words in joined(message.text)
    ]
    return f"m{found[-1]}"


# ---------------------------------------------------------------- the kit


def test_the_carrier_gets_the_words_the_picture_and_apart_what_to_do(world: World):
    carried_by(world)
    notice = publish(world)
    target = world.session.get_one(NoticeTarget, (notice.id, world.villages[0].id))
    linked, text, picture, todo = world.posts(HEAD)
    assert "Đã liên kết" in joined(linked.text)
    face = notices.face_of(world.session, world.house, notice, now=world.now)
    assert text.text == plain(kits.texts_of(face, f"https://loa.xa.example/t/{target.link_token}")[0]), "no markup"
    assert text.buttons == ()
    assert picture.file is not None
    assert picture.file.kind is FileKind.PHOTO
    assert joined(todo.text) == "Chuyển 2 tin trên vào nhóm Bản Nà Mẫu, xong trả lời 1."
    assert [button.label for row in todo.buttons for button in row] == ["✅ Đã chuyển"]
    assert state(world) is State.HANDED
    row = figures(world, notice)
    assert (row.chats, row.given, row.handed, row.carried, row.sent) == (1, 1, 1, 0, 0)


def test_recordings_and_papers_follow_the_picture(world: World):
    carried_by(world)
    files = (
        NewFile(kind=StoredKind.DOCUMENT, name="lịch.pdf", media_type="application/pdf", content=b"%PDF-1"),
        NewFile(kind=StoredKind.VOICE, name="mong.ogg", media_type="audio/ogg", content=b"OggS", language="hmn"),
    )
    notice = publish(world, files=files)
    *_, picture, voice, paper, todo = world.posts(HEAD)
    kinds = [message.file.kind for message in (picture, voice, paper) if message.file]
    assert kinds == [FileKind.PHOTO, FileKind.VOICE, FileKind.DOCUMENT]
    assert joined(voice.text) == f"{notice.code} · 🔊 Nghe bằng tiếng Mông"
    assert "Chuyển 4 tin trên" in joined(todo.text)
    (kit,) = errands.waiting(world.session, world.house, errand(world).person_id or 0)
    assert [use.name for use in (*kit.voices, *kit.documents)] == ["mong.ogg", "lịch.pdf"]


def test_where_no_files_are_taken_fewer_messages_stand_above(tmp_path: Path):
    with a_commune(tmp_path, approval=frozenset(), can=EVERYTHING & ~Can.FILES) as world:
        carried_by(world)
        publish(world)
        assert heard(world, HEAD)[-1].startswith("Chuyển tin trên vào nhóm")


def test_a_drawing_that_failed_holds_nothing_back(world: World):
    carried_by(world)
    world.picture = None
    publish(world)
    assert len(heard(world, HEAD)) == 2
    assert errand(world).picture_id is None


def test_the_same_row_handed_twice_is_one_errand_and_one_kit(world: World):
    carried_by(world)
    publish(world)
    before = len(world.posts(HEAD))
    row = world.session.get_one(Outbox, errand(world).outbox_id)
    for _ in range(3):
        errands.hand(world.session, world.house, row, b"another picture", now=world.now)
    refresh(world)
    assert len(world.posts(HEAD)) == before
    assert len(world.session.exec(select(Errand)).all()) == 1
    assert len(world.session.exec(select(Task).where(col(Task.key).startswith("errand:"))).all()) == 1


def test_the_kit_goes_to_every_chat_of_the_carrier_once(tmp_path: Path):
    with a_commune(tmp_path, approval=frozenset(), messengers=2) as world:
        head, _ = carried_by(world)
        code = people.new_link_code(world.session, world.house, head, now=world.now)
        world.type("trưởng bản, máy kia", f"/lienket {code}", on=world.others[0])
        publish(world)
        assert heard(world, HEAD) == heard(world, "trưởng bản, máy kia")
        world.press(HEAD, "✅ Đã chuyển")
        told = [world.posts(user)[-1] for user in (HEAD, "trưởng bản, máy kia")]
        assert [joined(message.text)[:8] for message in told] == ["✅ Đã ghi"] * 2, "both chats say so"


@pytest.mark.parametrize(
    "adapters",
    [pytest.param("stub", id="posted"), pytest.param("relay", id="carried")],
)
def test_only_groups_that_are_carried_to_get_links(world: World, adapters: str):
    if adapters == "relay":
        carried_by(world)
    else:
        world.group(world.villages[0], "g1")
    notice = publish(world)
    target = world.session.get_one(NoticeTarget, (notice.id, world.villages[0].id))
    assert (target.link_token is not None) == (adapters == "relay")


def test_a_group_that_nobody_carries_to_fails_in_words(world: World):
    world.relay_group(world.villages[0], None)
    notice = publish(world)
    row = world.session.exec(select(Outbox).where(Outbox.notice_id == notice.id)).one()
    assert (row.state, row.error) == (State.FAILED, "no_carrier")
    (line,) = reach.of_notice(world.session, notice, world.villages[:1]).villages
    assert line.problems[0].words == "chưa có người chuyển tay"


def test_a_carrier_named_later_gets_what_had_failed(world: World):
    chat = world.relay_group(world.villages[0], None)
    notice = publish(world)
    head = world.head(0)
    world.linked(head, HEAD)
    author = world.actor(world.session.get_one(Person, notice.author_id))
    relays.put(
        world.session,
        world.house,
        author,
        world.villages[0],
        title=chat.title,
        members=None,
        carrier_id=head.id,
        backup_id=None,
        now=world.now,
        chat_id=chat.id,
    )
    notices.resend(world.session, author, notice, ["failed"], now=world.now)
    refresh(world)
    assert len(heard(world, HEAD)) == 3


# ---------------------------------------------------------------- "1"


def test_one_records_the_kit_that_waits(world: World):
    head, _ = carried_by(world)
    notice = publish(world)
    world.now += timedelta(minutes=14)
    (said,) = world.type(HEAD, "1")
    assert said == (
        f"✅ Đã ghi: {notice.code}, Bản 1: đã chuyển vào nhóm Bản Nà Mẫu lúc 8:14. Không còn tin nào chờ bác chuyển."
    )
    found = errand(world)
    assert (found.proof, found.done_by_id, found.done_at) == (Proof.TOLD, head.id, world.now)
    assert state(world) is State.SENT
    row = figures(world, notice)
    assert (row.given, row.handed, row.carried, row.sent) == (1, 0, 1, 1)
    assert errands.waiting(world.session, world.house, head.id or 0) == []


@pytest.mark.parametrize("words", ["1", " 1. ", "Đã chuyển", "da chuyen", "ĐÃ CHUYỂN RỒI!", "xong rồi"])
def test_it_is_told_in_several_ways(world: World, words: str):
    carried_by(world)
    publish(world)
    assert "✅ Đã ghi" in world.type(HEAD, words)[0]
    assert state(world) is State.SENT


@pytest.mark.parametrize("words", ["12", "11", "số 1 nhà tôi", "chưa chuyển", "không chuyển được"])
def test_other_words_record_nothing(world: World, words: str):
    carried_by(world)
    publish(world)
    world.type(HEAD, words)
    assert state(world) is State.HANDED


def test_one_of_a_carrier_is_never_a_households_number(world: World):
    carried_by(world)
    world.households(world.villages[0], 3)
    world.account(HEAD).unit_id = world.villages[0].id
    world.session.commit()
    assert world.type(HEAD, "1") == ["Không có tin nào chờ bác chuyển."]
    assert world.account(HEAD).household_id is None


def test_one_of_a_resident_is_the_households_number(world: World):
    carried_by(world)
    publish(world)
    world.households(world.villages[0], 3)
    world.type("dân", "chào")
    world.account("dân").unit_id = world.villages[0].id
    world.session.commit()
    assert "hộ số 1" in world.type("dân", "1")[0]
    assert state(world) is State.HANDED


def test_one_of_somebody_with_a_duty_who_carries_nowhere_is_a_households_number(world: World):
    carried_by(world)
    publish(world)
    world.households(world.villages[0], 3)
    an_official(world)
    world.account(OFFICIAL).unit_id = world.villages[0].id
    world.session.commit()
    assert "hộ số 1" in world.type(OFFICIAL, "1")[0]


def test_of_several_kits_it_is_the_newest_unless_another_is_replied_to(world: World):
    head, _ = carried_by(world)
    first = publish(world, body="Tin một.")
    second = publish(world, body="Tin hai.")
    third = publish(world, body="Tin ba.")
    (said,) = world.type(HEAD, "1")
    assert third.code in said
    assert "Còn 2 thông báo" in said
    (said,) = world.type(HEAD, "1", reply_to=message_id(world, HEAD, "Tin một."))
    assert first.code in said
    assert [kit.code for kit in errands.waiting(world.session, world.house, head.id or 0)] == [second.code]
    assert second.code in world.type(HEAD, "1")[0]
    assert world.type(HEAD, "1") == ["Không có tin nào chờ bác chuyển."]


def test_what_is_urgent_waits_on_top(world: World):
    head, _ = carried_by(world)
    ordinary, urgent = publish(world, body="Tin thường."), publish(world, body="Lũ về.", urgent=True)
    newest = publish(world, body="Tin mới.")
    codes = [kit.code for kit in errands.waiting(world.session, world.house, head.id or 0)]
    assert codes == [urgent.code, newest.code, ordinary.code]


def test_a_conversation_under_way_goes_first_but_for_a_reply(world: World):
    carried_by(world)
    notice = publish(world)
    world.type(HEAD, "/thongbao")
    world.type(HEAD, "1")
    assert state(world) is State.HANDED, "it is the text of a new notice"
    (said,) = world.type(HEAD, "1", reply_to=message_id(world, HEAD, "Chuyển 2 tin trên"))
    assert notice.code in said
    assert state(world) is State.SENT


def test_after_a_list_of_households_a_newer_kit_is_what_one_means(world: World):
    carried_by(world)
    world.households(world.villages[0], 3)
    old = publish(world, body="Tin một.")
    world.type(HEAD, "1")
    world.type(HEAD, f"/chuanam {old.code}")
    world.now += timedelta(minutes=5)
    new = publish(world, body="Tin hai.")
    world.now += timedelta(minutes=5)
    (said,) = world.type(HEAD, "1")
    assert f"✅ Đã ghi: {new.code}" in said
    assert "hộ số 1 thì bấm nút" in said
    assert state(world) is State.SENT
    assert figures(world, old).head == 0, "no false tick"
    assert "hộ số 1" in world.press(HEAD, "Hộ 1")
    assert figures(world, old).head == 1
    world.type(HEAD, "2")
    assert figures(world, old).head == 2, "other numbers are households"


def test_after_a_kit_a_newer_list_of_households_is_what_one_means(world: World):
    carried_by(world)
    world.households(world.villages[0], 3)
    notice = publish(world)
    world.now += timedelta(minutes=5)
    world.type(HEAD, f"/chuanam {notice.code}")
    world.type(HEAD, "1")
    assert state(world) is State.HANDED
    assert figures(world, notice).head == 1


def test_telling_twice_says_that_it_is_known(world: World):
    carried_by(world)
    publish(world)
    instruction = message_id(world, HEAD, "Chuyển 2 tin trên")
    world.type(HEAD, "1", reply_to=instruction)
    at = errand(world).done_at
    world.now += timedelta(minutes=1)
    assert "đã được ghi là chuyển rồi" in world.type(HEAD, "1", reply_to=instruction)[0]
    assert errand(world).done_at == at
    assert len(world.session.exec(select(Audit).where(Audit.action == "errand done")).all()) == 1


# ---------------------------------------------------------------- the button, and taking it back


def test_the_button_records_and_offers_to_take_it_back(world: World):
    carried_by(world)
    notice = publish(world)
    world.now += timedelta(minutes=74)
    assert "✅ Đã ghi" in world.press(HEAD, "✅ Đã chuyển")
    assert heard(world, HEAD)[-1] == f"✅ Đã ghi: {notice.code}, Bản 1: đã chuyển vào nhóm Bản Nà Mẫu lúc 9:14."
    world.now += timedelta(minutes=29)
    assert "chưa chuyển" in world.press(HEAD, "↩️ Bấm nhầm")
    assert heard(world, HEAD)[-1] == "Chuyển 2 tin trên vào nhóm Bản Nà Mẫu, xong trả lời 1."
    found = errand(world)
    assert (found.done_at, found.proof, found.done_by_id) == (None, None, None)
    assert state(world) is State.HANDED
    assert figures(world, notice).carried == 0
    world.pass_time(W + timedelta(minutes=1))
    assert any("⏰" in words for words in heard(world, HEAD)), "it is asked for anew"
    world.press(HEAD, "✅ Đã chuyển")
    assert state(world) is State.SENT


def test_after_half_an_hour_it_stays(world: World):
    carried_by(world)
    publish(world)
    world.press(HEAD, "✅ Đã chuyển")
    world.now += timedelta(minutes=31)
    assert "quá 30 phút" in world.press(HEAD, "↩️ Bấm nhầm")
    assert state(world) is State.SENT


def test_what_residents_have_opened_since_is_not_taken_back(world: World):
    carried_by(world)
    notice = publish(world)
    world.press(HEAD, "✅ Đã chuyển")
    world.now += timedelta(minutes=1)
    seen = Receipt(
        notice_id=notice.id or 0,
        kind=ReceiptKind.OPENED,
        who="d:x",
        unit_id=world.villages[0].id,
        first_at=world.now,
        at=world.now,
    )
    world.session.add(seen)
    refresh(world)
    assert "đã mở liên kết" in world.press(HEAD, "↩️ Bấm nhầm")
    assert state(world) is State.SENT


@pytest.mark.parametrize("token", ["k:zz:done", "k:1", "k::done", "k:1:else", "k:99999999999999999999:done"])
def test_a_made_up_button_does_nothing(world: World, token: str):
    carried_by(world)
    publish(world)
    assert world.press_token(HEAD, token)
    assert state(world) is State.HANDED


def test_a_stranger_with_the_buttons_token_does_nothing(world: World):
    carried_by(world)
    publish(world)
    token = f"k:{errand(world).outbox_id:x}:done"
    other = world.head(1)
    world.linked(other, "trưởng bản 2")
    assert "Không tìm thấy" in world.press_token("trưởng bản 2", token)
    assert world.press_token("dân", token)
    assert state(world) is State.HANDED


# ---------------------------------------------------------------- rights


def test_holder_carrier_backup_and_officials_see_a_kit_and_nobody_else(world: World):
    head, _ = carried_by(world, backup=True)
    publish(world)
    number = errand(world).outbox_id
    backup = world.session.exec(select(Person).where(Person.name == "Phó bản")).one()
    for person in (head, backup, an_official(world)):
        assert errands.kit_for(world.session, world.house, world.actor(person), number).group == "Bản Nà Mẫu"
    for person in (world.head(1), world.person("Người xem", RoleName.VIEWER, world.commune)):
        actor = world.actor(person)
        with pytest.raises(NotFound):
            errands.kit_for(world.session, world.house, actor, number)
        with pytest.raises(NotFound):
            errands.done(world.session, world.house, actor, number, at=world.now, now=world.now)
        with pytest.raises(NotFound):
            errands.take_back(world.session, world.house, actor, number, now=world.now)
    with pytest.raises(NotFound):
        errands.kit_for(world.session, world.house, world.actor(head), 10_000)


def test_whoever_lost_the_office_carries_nothing_any_more(world: World):
    head, _ = carried_by(world)
    publish(world)
    number = errand(world).outbox_id
    role = world.session.exec(select(Role).where(Role.person_id == head.id)).one()
    role.revoked_at = world.now
    world.session.commit()
    with pytest.raises(NotFound):
        errands.done(world.session, world.house, world.actor(head), number, at=world.now, now=world.now)
    assert "Không tìm thấy" in world.type(HEAD, "1")[0]
    world.pass_time(W)
    assert errand(world).holder is Holder.COMMUNE, "no reminder goes to somebody without a duty"


def test_the_time_of_a_press_is_kept_within_what_is_possible(world: World):
    head, _ = carried_by(world)
    publish(world)
    given, actor = errand(world).handed_at, world.actor(head)
    number = errand(world).outbox_id
    world.now += timedelta(minutes=20)
    offline = world.now - timedelta(minutes=5)
    for at, kept in (
        (offline, offline),
        (given - timedelta(days=1), given),
        (world.now + timedelta(days=1), world.now),
    ):
        assert errands.done(world.session, world.house, actor, number, at=at, now=world.now)
        assert errand(world).done_at == kept
        errands.take_back(world.session, world.house, actor, number, now=world.now)


def test_lately_done_says_what_may_be_taken_back(world: World):
    head, _ = carried_by(world)
    publish(world)
    world.type(HEAD, "1")

    def lately() -> list[bool]:
        found = errands.lately_done(world.session, world.house, head.id or 0, now=world.now)
        return [line.may_take_back for line in found]

    assert lately() == [True]
    world.now += timedelta(hours=1)
    assert lately() == [False]
    world.now += timedelta(hours=48)
    assert lately() == []


# ---------------------------------------------------------------- opened by somebody else


def test_a_first_open_proves_that_it_was_carried(world: World):
    head, _ = carried_by(world)
    signed_in(world, head)
    notice = publish(world)
    opened(world, notice)
    refresh(world)
    world.pass_time(timedelta(seconds=1))
    assert state(world) is State.SENT
    assert (errand(world).proof, errand(world).done_by_id) == (Proof.OPENED, None)
    assert "bà con đã mở liên kết" in heard(world, HEAD)[-1]
    assert world.posts(HEAD)[-1].buttons == ()
    assert figures(world, notice).carried == 1


def test_with_two_groups_an_open_does_not_tell_which(world: World):
    head, _ = carried_by(world)
    world.relay_group(world.villages[0], head, title="Nhóm kia")
    notice = publish(world)
    signed_in(world, head)
    opened(world, notice)
    states = world.session.exec(select(Outbox.state).where(Outbox.notice_id == notice.id)).all()
    assert states == [State.HANDED, State.HANDED]
    world.type(HEAD, "1")
    opened(world, notice, "another browser")
    states = world.session.exec(select(Outbox.state).where(Outbox.notice_id == notice.id)).all()
    assert sorted(states) == [State.HANDED, State.SENT], "it stands in the first group"


def test_an_open_after_a_correction_does_not_tell_which_words_were_carried(world: World):
    head, _ = carried_by(world)
    signed_in(world, head)
    notice = publish(world)
    author = world.actor(world.session.get_one(Person, notice.author_id))
    corrections.correct(world.session, world.house, author, notice, "Chín giờ, không phải tám giờ.", now=world.now)
    refresh(world)
    opened(world, notice)
    opened(world, notice, "another browser")
    assert state(world) is State.HANDED, "perhaps the old words stand in the group, though nobody said so"


def test_while_the_carriers_browser_is_unknown_one_open_proves_nothing(world: World):
    head, _ = carried_by(world)
    notice = publish(world)
    opened(world, notice, "perhaps the head's own")
    opened(world, notice, "perhaps the head's own")
    assert state(world) is State.HANDED
    opened(world, notice, "another browser")
    assert state(world) is State.SENT
    signed_in(world, head)
    second = publish(world, body="Tin hai.")
    opened(world, second)
    assert state(world) is State.SENT


def test_a_backup_who_was_asked_must_be_known_too(world: World):
    head, _ = carried_by(world, backup=True)
    signed_in(world, head)
    notice = publish(world)
    world.pass_time(2 * W)
    assert errand(world).holder is Holder.BACKUP
    opened(world, notice, "perhaps the backup's own")
    assert state(world) is State.HANDED
    opened(world, notice, "another browser")
    assert state(world) is State.SENT


def opened(world: World, notice: Notice, browser: str = "a browser") -> None:
    """A browser opened the village's link."""
    target = world.session.get_one(NoticeTarget, (notice.id, world.villages[0].id))
    token = target.link_token or ""
    residents.opened(world.session, world.house, token, browser, session_keys=[], now=world.now)
    world.session.commit()


def signed_in(world: World, person: Person) -> WebSession:
    """The person's phone at /truong."""
    sessions.open_session(world.session, f"phone of {person.id}", person.id or 0, now=world.now, is_phone=True)
    world.session.commit()
    return world.session.exec(select(WebSession).where(WebSession.person_id == person.id)).one()


def test_carriers_and_backups_carry_for_their_village_alone(world: World):
    head, _ = carried_by(world, backup=True)
    backup = world.session.exec(select(Person).where(Person.name == "Phó bản")).one()
    here, there = (village.id or 0 for village in world.villages[:2])
    assert [errands.carries(world.session, person.id or 0, here) for person in (head, backup)] == [True, True]
    assert not errands.carries(world.session, head.id or 0, there)
    assert not errands.carries(world.session, world.head(1).id or 0, here)


# ---------------------------------------------------------------- reminders, backup, commune


@pytest.mark.parametrize(
    ("urgent", "patience"), [pytest.param(False, W, id="ordinary"), pytest.param(True, URGENT_W, id="urgent")]
)
def test_first_a_reminder_then_the_backup_then_the_commune(world: World, urgent: bool, patience: timedelta):
    carried_by(world, backup=True)
    an_official(world)
    notice = publish(world, urgent=urgent)
    moment = timedelta(seconds=1)

    world.pass_time(patience - moment)
    assert not any("⏰" in words for words in heard(world, HEAD))
    world.pass_time(moment)
    assert sum("⏰" in words for words in heard(world, HEAD)) == 1
    assert heard(world, BACKUP) == []

    world.pass_time(patience - moment)
    assert errand(world).holder is Holder.CARRIER
    world.pass_time(moment)
    assert errand(world).holder is Holder.BACKUP
    *kit, todo = heard(world, BACKUP)
    assert len(kit) == 2
    assert todo.startswith(f"{NAME} chưa báo đã chuyển, nhờ bác chuyển giúp. Chuyển 2 tin trên")
    assert "đã nhờ Phó bản" in heard(world, HEAD)[-1]

    world.pass_time(patience - moment)
    assert heard(world, OFFICIAL) == []
    world.pass_time(moment)
    assert errand(world).holder is Holder.COMMUNE
    assert (errand(world).person_id, state(world)) == (None, State.HANDED)
    world.pass_time(timedelta(minutes=1))
    (call,) = heard(world, OFFICIAL)
    assert f"{notice.code}: chưa ai báo đã chuyển tin" in call
    assert call.startswith("📞 🚨 KHẨN" if urgent else "📞 TB-")
    assert "Bản 1, nhóm Bản Nà Mẫu" in call
    world.pass_time(timedelta(days=2))
    assert len(heard(world, OFFICIAL)) == 1, "said once"
    assert sum("⏰" in words for words in heard(world, HEAD)) <= 1


def test_a_report_of_the_carrier_counts_also_while_the_backup_has_it(world: World):
    carried_by(world, backup=True)
    publish(world)
    world.pass_time(2 * W)
    assert errand(world).holder is Holder.BACKUP
    assert "✅ Đã ghi" in world.type(HEAD, "1")[0]
    assert state(world) is State.SENT
    shown = heard(world, BACKUP)[-1]
    assert "đã chuyển" in shown
    assert NAME in shown, "the backup reads who did it"
    assert world.posts(BACKUP)[-1].buttons == ()


def test_a_backup_who_was_not_asked_yet_tells_nothing_with_a_one(world: World):
    carried_by(world, backup=True)
    publish(world)
    assert world.type(BACKUP, "1") == ["Không có tin nào chờ bác chuyển."]
    assert state(world) is State.HANDED


def test_after_a_report_nobody_is_reminded(world: World):
    carried_by(world, backup=True)
    publish(world)
    world.type(HEAD, "1")
    world.pass_time(timedelta(days=2))
    assert not any("⏰" in words for words in heard(world, HEAD))
    assert heard(world, BACKUP) == []


@pytest.mark.parametrize("same", [True, False], ids=["the carrier is the backup", "no backup"])
def test_without_somebody_else_it_is_the_communes(world: World, same: bool):
    head = world.head(0)
    world.linked(head, HEAD)
    world.relay_group(world.villages[0], head, head if same else None)
    publish(world)
    world.pass_time(2 * W)
    assert errand(world).holder is Holder.COMMUNE


def test_whom_nothing_reaches_is_passed_over_at_once(world: World):
    head, backup = world.head(0), world.person("Phó bản", RoleName.HELPER, world.villages[0])
    world.linked(backup, BACKUP)
    world.relay_group(world.villages[0], head, backup)
    publish(world)
    assert (errand(world).holder, errand(world).person_id) == (Holder.BACKUP, backup.id)
    assert len(heard(world, BACKUP)) == 3
    world.pass_time(W)
    assert "⏰" in heard(world, BACKUP)[-1], "the first one asked is reminded once"
    world.pass_time(W)
    assert errand(world).holder is Holder.COMMUNE


def test_where_nothing_reaches_anybody_it_is_the_communes_at_once(world: World):
    head = world.head(0)
    people.set_phone(world.session, world.house, world.actor(head), head, "0912 345 678", world.now)
    world.relay_group(world.villages[0], head)
    official = an_official(world)
    publish(world)
    assert (errand(world).holder, state(world)) == (Holder.COMMUNE, State.HANDED)
    world.pass_time(timedelta(minutes=1))
    (call,) = heard(world, OFFICIAL)
    assert head.name in call
    assert "0912345678" not in call, "a chat keeps what was written"
    (line,) = errands.overdue(world.session, world.house, world.actor(official), now=world.now)
    assert (line.carrier, line.phone, line.title) == (head.name, "0912345678", BODY)
    assert errands.overdue(world.session, world.house, world.actor(world.head(1)), now=world.now) == []
    assert errands.done(
        world.session, world.house, world.actor(official), line.outbox_id, at=world.now, now=world.now
    ), "told on the phone"
    assert errands.overdue(world.session, world.house, world.actor(official), now=world.now) == []


def test_a_phone_signed_in_reaches_a_carrier_without_a_chat(world: World):
    head = world.head(0)
    world.session.add(
        WebSession(
            token_key="phone",
            person_id=head.id or 0,
            is_phone=True,
            created_at=world.now,
            seen_at=world.now,
            expires_at=world.now + timedelta(days=90),
        )
    )
    world.relay_group(world.villages[0], head)
    publish(world)
    assert (errand(world).holder, errand(world).person_id) == (Holder.CARRIER, head.id)
    (kit,) = errands.waiting(world.session, world.house, head.id or 0)
    assert kit.instruction == "Chuyển tin vào nhóm Nhóm Zalo Bản 1. Xong bấm “Đã chuyển”."
    assert kit.link_path.startswith("/t/")


def test_a_chat_linked_meanwhile_gets_the_kit_with_the_reminder(world: World):
    head, _ = carried_by(world)
    world.session.exec(select(Person)).all()
    account = world.account(HEAD)
    account.person_id = None
    world.session.add(
        WebSession(
            token_key="phone",
            person_id=head.id or 0,
            is_phone=True,
            created_at=world.now,
            seen_at=world.now,
            expires_at=world.now + timedelta(days=90),
        )
    )
    world.session.commit()
    publish(world)
    assert heard(world, HEAD) == []
    world.linked(head, HEAD)
    world.pass_time(W)
    assert [words[:2] for words in heard(world, HEAD)][-2:] == ["Ch", "⏰ "]
    assert len(heard(world, HEAD)) == 4


def test_officials_hear_of_villages_together_and_of_later_ones_again(world: World):
    for number in range(3):
        world.relay_group(world.villages[number], world.head(number))
    an_official(world)
    late = world.session.exec(select(Person).where(Person.name == "Trưởng bản Bản 3")).one()
    world.linked(late, HEAD)
    publish(world, villages=3)
    world.pass_time(timedelta(minutes=1))
    (call,) = heard(world, OFFICIAL)
    assert [line[:8] for line in call.split("\n")[1:]] == ["• Bản 1,", "• Bản 2,"]
    world.pass_time(2 * W + timedelta(minutes=1))
    _, call = heard(world, OFFICIAL)
    assert [line[:8] for line in call.split("\n")[1:]] == ["• Bản 3,"]


# ---------------------------------------------------------------- nights


def test_at_night_only_what_is_urgent_wakes_people(world: World):
    carried_by(world)
    world.now = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)  # 18:00 there
    publish(world)
    task = world.session.exec(select(Task).where(col(Task.key).startswith("errand:"))).one()
    assert task.due_at == datetime(2026, 11, 21, 22, 30, tzinfo=UTC), "5:30 in the morning"
    urgent = publish(world, urgent=True, body="Lũ về.")
    world.pass_time(timedelta(hours=6))  # midnight
    reminded = [words for words in heard(world, HEAD) if "⏰" in words]
    assert len(reminded) == 1
    assert urgent.code in reminded[0]


def test_a_reminder_that_comes_due_while_we_were_away_waits_for_the_morning(world: World):
    carried_by(world)
    publish(world)
    outbox_id = errand(world).outbox_id
    world.now = datetime(2026, 11, 21, 15, 0, tzinfo=UTC)  # 22:00 there, the service was down since noon
    errands.remind(world.session, world.house, {"outbox": outbox_id}, world.now)
    assert not any("⏰" in words for words in heard(world, HEAD))
    world.pass_time(timedelta(hours=8))
    assert any("⏰" in words for words in heard(world, HEAD))


def test_officials_are_not_woken_for_an_ordinary_notice(world: World):
    world.relay_group(world.villages[0], world.head(0))
    an_official(world)
    world.now = datetime(2026, 11, 21, 15, 0, tzinfo=UTC)
    publish(world)
    world.pass_time(timedelta(hours=7))
    assert heard(world, OFFICIAL) == []
    world.pass_time(timedelta(minutes=30))
    assert len(heard(world, OFFICIAL)) == 1


# ---------------------------------------------------------------- an office changes hands, a notice is stopped


def test_a_handover_brings_what_is_still_to_be_carried(world: World):
    head, _ = carried_by(world)
    publish(world)
    coming = people.add_person(world.session, "Trưởng bản mới", None, now=world.now)
    world.linked(coming, "trưởng bản mới")
    people.handover(world.session, None, head, coming, now=world.now)
    world.session.commit()
    assert [kit.group for kit in errands.waiting(world.session, world.house, coming.id or 0)] == ["Bản Nà Mẫu"]
    world.pass_time(timedelta(seconds=1))
    assert len(heard(world, "trưởng bản mới")) == 3
    token = f"k:{errand(world).outbox_id:x}:done"
    world.press_token(HEAD, token)
    assert state(world) is State.HANDED, "the old account is nobody's any more"
    assert "✅ Đã ghi" in world.type("trưởng bản mới", "1")[0]
    assert errand(world).done_by_id == coming.id


def test_another_carrier_gets_at_once_what_waits(world: World):
    _, chat = carried_by(world)
    publish(world)
    world.pass_time(W)
    assert "⏰" in heard(world, HEAD)[-1]
    other = another(world)
    now_carry(world, chat, other)
    world.pass_time(timedelta(seconds=1))
    assert errand(world).person_id == other.id
    assert len(heard(world, BACKUP)) == 3
    asked = [message for message in world.posts(HEAD) if "đã nhờ Phó bản" in joined(message.text)]
    assert [message.buttons for message in asked] == [(), ()], "the old one is asked no more, nor reminded"
    world.type(HEAD, "1")
    assert state(world) is State.HANDED, "who is named no more reports nothing"
    world.pass_time(W)
    assert "⏰" in heard(world, BACKUP)[-1], "the new one is reminded"
    assert errand(world).holder is Holder.CARRIER
    world.pass_time(W)
    assert errand(world).holder is Holder.COMMUNE


def test_who_carries_again_is_asked_again(world: World):
    head, chat = carried_by(world)
    publish(world)
    other = another(world)
    now_carry(world, chat, other)
    world.pass_time(timedelta(seconds=1))
    now_carry(world, chat, head)
    world.pass_time(timedelta(seconds=1))
    assert heard(world, HEAD)[-1] == "Chuyển 2 tin trên vào nhóm Bản Nà Mẫu, xong trả lời 1."
    assert world.posts(HEAD)[-1].buttons
    assert "đã nhờ Trưởng bản" in heard(world, BACKUP)[-1]


def another(world: World) -> Person:
    """Somebody else of the village, with a chat."""
    other = world.person("Phó bản", RoleName.HELPER, world.villages[0])
    world.linked(other, BACKUP)
    return other


def now_carry(world: World, chat: Chat, carrier: Person | None, backup: Person | None = None) -> None:
    """Others are named for the group."""
    relays.put(
        world.session,
        world.house,
        None,
        world.villages[0],
        title=chat.title,
        members=None,
        carrier_id=carrier.id if carrier else None,
        backup_id=backup.id if backup else None,
        now=world.now,
        chat_id=chat.id,
    )
    world.session.commit()


@pytest.mark.parametrize("part", ["carrier", "backup"])
def test_whoever_is_named_after_the_commune_was_told_gets_it_by_the_same_ladder(world: World, part: str):
    head, chat = carried_by(world)
    official = world.actor(an_official(world))
    publish(world)
    world.pass_time(2 * W + timedelta(minutes=1))
    assert len(errands.overdue(world.session, world.house, official, now=world.now)) == 1
    world.now += timedelta(hours=14)  # the next morning
    other = another(world)
    now_carry(world, chat, *((other, None) if part == "carrier" else (head, other)))
    world.pass_time(timedelta(seconds=1))
    assert (errand(world).holder, errand(world).person_id) == (Holder(part), other.id)
    assert len(heard(world, BACKUP)) == 3
    assert errands.overdue(world.session, world.house, official, now=world.now) == []
    world.pass_time(W)
    assert "⏰" in heard(world, BACKUP)[-1]
    world.pass_time(W + timedelta(minutes=1))
    assert len(errands.overdue(world.session, world.house, official, now=world.now)) == 1
    assert len(heard(world, OFFICIAL)) == 2, "said again"


def test_a_coming_head_gets_what_was_left_to_the_commune(world: World):
    head, _ = carried_by(world)
    publish(world)
    world.pass_time(2 * W)
    coming = people.add_person(world.session, "Trưởng bản mới", None, now=world.now)
    world.linked(coming, "trưởng bản mới")
    people.handover(world.session, None, head, coming, now=world.now)
    world.session.commit()
    world.pass_time(timedelta(seconds=1))
    assert (errand(world).holder, errand(world).person_id) == (Holder.CARRIER, coming.id)


def test_who_was_named_before_is_not_asked_again_by_a_change_beside_them(world: World):
    head, chat = carried_by(world)
    publish(world)
    world.pass_time(2 * W)
    unreached = world.person("Phó bản", RoleName.HELPER, world.villages[0])
    now_carry(world, chat, head, unreached)
    world.pass_time(timedelta(seconds=1))
    assert errand(world).holder is Holder.COMMUNE


@pytest.mark.parametrize("again", [State.QUEUED, State.LEASED, State.SENDING])
def test_a_change_of_people_while_the_row_is_under_way_is_not_lost(world: World, again: State):
    _, chat = carried_by(world)
    publish(world)
    outbox_id = errand(world).outbox_id
    other = another(world)
    becomes(world, outbox_id, again)
    now_carry(world, chat, other)
    due(world)
    assert heard(world, HEAD)[-1].startswith("Chuyển 2 tin"), "nothing is withdrawn"
    becomes(world, outbox_id, State.HANDED)
    world.pass_time(errands.LOOK_AGAIN)
    assert errand(world).person_id == other.id
    assert len(heard(world, BACKUP)) == 3


def becomes(world: World, outbox_id: int, state_: State) -> None:
    world.session.exec(update(Outbox).where(col(Outbox.id) == outbox_id).values(state=state_))
    world.session.commit()
    world.session.expire_all()


def due(world: World) -> None:
    """Run the tasks that are due, with no messenger at work."""
    for task in world.session.exec(select(Task).where(Task.due_at <= world.now)).all():
        world.session.delete(task)
        world.session.flush()
        world.session.expunge(task)
        tasks.run(world.session, world.house, task, now=world.now)
    world.session.commit()


@pytest.mark.parametrize("how", ["the notice is stopped", "the group is closed"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_being_handed_over_when_it_is_stopped_is_nobodys_errand(world: World, how: str, when: str):
    """Before, or after, the kit was queued; in both the row is recorded as handed only then."""
    head, chat = carried_by(world)
    author = world.actor(world.official())
    new = NewNotice(body=BODY, unit_ids=(world.villages[0].id or 0,))
    notice = notices.draft(world.session, world.house, author, new, now=world.now, origin="test")
    notices.publish(world.session, world.house, notice, by=author, now=world.now)
    row = world.session.exec(select(Outbox).where(Outbox.notice_id == notice.id)).one()
    becomes(world, row.id or 0, State.SENDING)
    if when == "after":
        errands.hand(world.session, world.house, row, None, now=world.now)
    world.session.commit()
    if how == "the notice is stopped":
        notices.cancel(world.session, world.house, author, notice, now=world.now)
    else:
        relays.close(world.session, world.actor(head), chat, now=world.now)
    world.session.commit()
    if when == "before":
        errands.hand(world.session, world.house, row, None, now=world.now)
    outcome = outbox.Outcome(id=row.id or 0, chat_id=row.chat_id, step=outbox.Step.HANDED)
    outbox.record(world.session.connection(), [outcome], row.lease_epoch, now=world.now)
    world.session.commit()
    assert world.session.get_one(Outbox, row.id, populate_existing=True).state is State.HANDED
    world.pass_time(2 * W)
    assert state(world, row.id) is State.CANCELLED
    assert errands.waiting(world.session, world.house, head.id or 0) == []
    assert errands.overdue(world.session, world.house, author, now=world.now) == []
    assert not any("⏰" in words or words.startswith("Chuyển") for words in heard(world, HEAD))


def test_an_escalated_kit_stays_with_the_carrier_and_comes_to_the_backup(world: World):
    head, _ = carried_by(world, backup=True)
    backup = world.session.exec(select(Person).where(Person.name == "Phó bản")).one()
    publish(world)

    def waiting(person: Person) -> list[Holder]:
        return [kit.holder for kit in errands.waiting(world.session, world.house, person.id or 0)]

    assert (waiting(head), waiting(backup)) == ([Holder.CARRIER], [])
    world.pass_time(2 * W)
    assert (waiting(head), waiting(backup)) == ([Holder.BACKUP], [Holder.BACKUP])
    world.pass_time(W)
    assert (waiting(head), waiting(backup)) == ([Holder.COMMUNE], [Holder.COMMUNE])
    actor, number = world.actor(head), errand(world).outbox_id
    assert errands.done(world.session, world.house, actor, number, at=world.now, now=world.now)
    assert (waiting(head), waiting(backup)) == ([], [])


def test_whoever_has_no_duty_there_any_more_is_shown_no_kit(world: World):
    head, _ = carried_by(world)
    publish(world)
    role = world.session.exec(select(Role).where(Role.person_id == head.id)).one()
    role.revoked_at = world.now
    world.session.commit()
    assert errands.waiting(world.session, world.house, head.id or 0) == []


def test_whom_only_a_phone_reaches_is_not_reminded_and_no_time_is_spent_on_it(world: World):
    head, backup = world.head(0), world.person("Phó bản", RoleName.HELPER, world.villages[0])
    signed_in(world, head)
    world.linked(backup, BACKUP)
    world.relay_group(world.villages[0], head, backup)
    publish(world)
    world.pass_time(W)
    assert (errand(world).holder, errand(world).reminders) == (Holder.BACKUP, 0)
    world.pass_time(W)
    assert "⏰" in heard(world, BACKUP)[-1]
    assert errand(world).reminders == 1
    world.pass_time(W)
    assert errand(world).holder is Holder.COMMUNE


def test_when_a_person_first_had_it_is_kept(world: World):
    head = world.head(0)
    chat = world.relay_group(world.villages[0], head)
    notice = publish(world)
    assert errand(world).reached_at is None, "nobody could be given it"
    world.now += timedelta(hours=1)
    now_carry(world, chat, another(world))
    world.pass_time(timedelta(seconds=1))
    first = errand(world).reached_at
    assert first is not None
    assert figures(world, notice).given == 1
    world.pass_time(2 * W)
    assert errand(world).reached_at == first


def test_a_stopped_notice_is_not_to_be_carried(world: World):
    head, _ = carried_by(world, backup=True)
    an_official(world)
    notice = publish(world)
    author = world.actor(world.session.get_one(Person, notice.author_id))
    notices.cancel(world.session, world.house, author, notice, now=world.now)
    refresh(world)
    assert state(world) is State.CANCELLED
    assert errands.waiting(world.session, world.house, head.id or 0) == []
    assert heard(world, HEAD)[-1].startswith(f"⛔ {notice.code}")
    number = errand(world).outbox_id
    with pytest.raises(Conflict):
        errands.done(world.session, world.house, world.actor(head), number, at=world.now, now=world.now)
    assert "dừng" in world.type(HEAD, "1", reply_to=message_id(world, HEAD, "⛔"))[0]
    world.pass_time(timedelta(days=2))
    assert not any("⏰" in words for words in heard(world, HEAD))
    assert heard(world, BACKUP) == heard(world, OFFICIAL) == []


def test_a_kit_that_has_not_left_us_is_stopped_with_its_notice(world: World):
    carried_by(world)
    author = world.actor(world.official())
    new = NewNotice(body=BODY, unit_ids=(world.villages[0].id or 0,))
    notice = notices.draft(world.session, world.house, author, new, now=world.now, origin="test")
    notices.publish(world.session, world.house, notice, by=author, now=world.now)
    relay = next(m.channel_id for m in world.house.messengers.values() if Can.HANDS_OVER in m.can)
    world._deliver(relay, by_hand=True)  # the other channel is slow
    notices.cancel(world.session, world.house, author, notice, now=world.now)
    refresh(world)
    assert heard(world, HEAD) == []


def test_a_closed_group_is_not_carried_to(world: World):
    head, chat = carried_by(world)
    publish(world)
    relays.close(world.session, world.actor(head), chat, now=world.now)
    world.session.commit()
    world.pass_time(timedelta(seconds=1))
    assert state(world) is State.CANCELLED
    assert heard(world, HEAD)[-1].startswith("⛔")


def test_what_is_over_is_over(world: World):
    head, _ = carried_by(world)
    publish(world)
    number = errand(world).outbox_id
    world.now += timedelta(days=4)
    outbox.expire(world.session.connection(), now=world.now)
    world.session.commit()
    with pytest.raises(Conflict):
        errands.done(world.session, world.house, world.actor(head), number, at=world.now, now=world.now)


# ---------------------------------------------------------------- a newer revision


def test_a_newer_kit_takes_the_place_of_the_older_one(world: World):
    head, chat = carried_by(world)
    notice = publish(world)
    old = errand(world).outbox_id
    outbox.supersede(world.session.connection(), notice.id or 0, [chat.id or 0], now=world.now)
    notice.revision = 2
    world.session.add(
        NoticeRevision(
            notice_id=notice.id or 0,
            revision=2,
            body="Sáng kia tiêm chủng.",
            body_hash="x",
            author_id=notice.author_id,
            created_at=world.now,
        )
    )
    world.session.flush()
    kits.queue(world.session, world.house, notice, [chat], lane=Lane.NOTICE, now=world.now)
    refresh(world)
    new = errand(world).outbox_id
    assert new != old
    (kit,) = errands.waiting(world.session, world.house, head.id or 0)
    assert (kit.outbox_id, kit.is_correction) == (new, True)
    assert kit.texts[0].startswith("🔴 ĐÍNH CHÍNH · ")
    assert "rồi thu hồi tin cũ trong nhóm" in kit.instruction
    shown = heard(world, HEAD)
    assert any(words.startswith("⛔") for words in shown)
    assert shown[-1].startswith("Chuyển 2 tin sửa ở trên vào nhóm Bản Nà Mẫu, rồi thu hồi tin cũ")
    with pytest.raises(Conflict):
        errands.done(world.session, world.house, world.actor(head), old, at=world.now, now=world.now)
    assert "✅" in world.type(HEAD, "1")[0]
    assert state(world, new) is State.SENT


# ---------------------------------------------------------------- what the author sees


def test_the_summary_tells_machines_from_people(world: World):
    head, _ = carried_by(world)
    world.relay_group(world.villages[1], None)
    official = an_official(world)
    world.group(world.villages[2], "g3")
    world.type(OFFICIAL, "/thongbao Mai họp bản.")
    summary = world.type(OFFICIAL, "tất cả")[-1]
    assert "máy gửi 1 nhóm, 1 người chuyển tay vào 2 nhóm" in summary
    assert "⚠️ Chưa có người chuyển tay: Bản 2." in summary
    assert official.id != head.id


def test_where_all_is_carried_the_kit_is_shown(world: World):
    carried_by(world)
    said = world.type(HEAD, "/thongbao Mai họp bản.")
    assert "mở liên kết bấm “Đã nắm”" in said[0]
    assert "1 người chuyển tay" in said[-1]


def test_the_authors_progress_counts_what_people_carry(world: World):
    carried_by(world)
    an_official(world)
    world.group(world.villages[1], "g2")
    world.type(OFFICIAL, "/thongbao Mai họp bản.")
    world.type(OFFICIAL, "1 2")
    world.press(OFFICIAL, "✅ Gửi đi")
    world.pass_time(timedelta(seconds=5))
    code = world.latest().code
    assert heard(world, OFFICIAL)[-1] == f"📣 {code}: đã gửi 1/1 nhóm\n1 nhóm giao người chuyển tay, 0 đã chuyển"
    world.type(HEAD, "1")
    world.pass_time(timedelta(minutes=1))
    assert heard(world, OFFICIAL)[-1] == f"✅ {code}: đã gửi 1/1 nhóm\n1 nhóm giao người chuyển tay, 1 đã chuyển"


def test_approvers_read_how_many_people_carry(tmp_path: Path):
    with a_commune(tmp_path) as world:
        carried_by(world)
        an_official(world)
        author = world.actor(world.official("Người soạn"))
        new = NewNotice(body=BODY, unit_ids=(world.villages[0].id or 0,), is_urgent=True)
        notice = notices.draft(world.session, world.house, author, new, now=world.now, origin="test")
        notices.submit(world.session, world.house, author, notice, now=world.now)
        refresh(world)
        assert "gửi tới 1 bản, 1 người chuyển tay." in heard(world, OFFICIAL)[-1]


# ---------------------------------------------------------------- many villages


def test_fourteen_villages_fourteen_kits(tmp_path: Path):
    with a_commune(tmp_path, villages=14, approval=frozenset()) as world:
        world.now = MORNING
        for number, village in enumerate(world.villages):
            head = world.head(number)
            world.linked(head, f"trưởng bản {number}")
            world.relay_group(village, head)
        notice = publish(world, villages=14, kind=NoticeKind.MEETING)
        for number in range(14):
            assert len(heard(world, f"trưởng bản {number}")) == 3
        tokens = world.session.exec(select(NoticeTarget.link_token).where(NoticeTarget.notice_id == notice.id)).all()
        assert len(set(tokens)) == 14
        for number in range(13):
            world.type(f"trưởng bản {number}", "1")
        world.pass_time(2 * W + timedelta(minutes=1))
        (line,) = errands.overdue(world.session, world.house, world.actor(world.official()), now=world.now)
        assert line.village == "Bản 14"


# ---------------------------------------------------------------- the other database


@pytest.mark.postgres
def test_it_is_handed_over_told_and_taken_back_on_postgresql_too():
    server = postgres.server()
    with server.fresh(server.template("migrated", migrations.upgrade)) as url:
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        with Session(engine, expire_on_commit=False) as session:
            world = settled(session, approval=frozenset())
            world.now = MORNING
            head, _ = carried_by(world)
            notice = publish(world)
            assert len(heard(world, HEAD)) == 3
            assert "✅ Đã ghi" in world.press(HEAD, "✅ Đã chuyển")
            assert figures(world, notice).carried == 1
            assert "chưa chuyển" in world.press(HEAD, "↩️ Bấm nhầm")
            opened(world, notice)
            opened(world, notice, "another browser")
            refresh(world)
            assert (state(world), errand(world).proof) == (State.SENT, Proof.OPENED)
            assert len(errands.lately_done(session, world.house, head.id or 0, now=world.now)) == 1
        engine.dispose()
