"""/thongbao: written, seen, changed, sent from a phone."""

from datetime import timedelta

import pytest

from adapters.contract import FileKind, FileRef
from adapters.text import joined, width
from bot import notices, people
from bot.errors import Conflict
from bot.notices import NewNotice
from store.tables import NoticeState
from tests.village import World


def test_a_head_with_one_village_sends_in_three_steps(world: World) -> None:
    world.group(world.villages[0], "g1")
    head = world.linked(world.head(), "head")

    assert "gõ nội dung" in world.type(head, "/thongbao")[0]
    preview, control = world.type(head, "Mai 8 giờ họp bản ở nhà văn hoá.")
    assert "TIN CỦA TRƯỞNG BẢN 1" in preview
    assert "Mai 8 giờ họp bản" in preview
    assert "1 bản (Bản 1): 1 nhóm" in control
    assert "Đang gửi" in world.press(head, "Gửi đi")

    (post,) = world.posts("g1")
    assert joined(post.text) == preview
    assert [button.label for row in post.buttons for button in row] == ["✅ Đã nắm"]


def test_the_progress_message_is_one_and_ends_with_the_result(world: World) -> None:
    for number, village in enumerate(world.villages):
        world.group(village, f"g{number}")
    official = world.linked(world.official(), "official")
    world.type(official, "/thongbao Chợ phiên nghỉ thứ bảy này.")
    world.press(official, "1. Bản 1")
    world.press(official, "2. Bản 2")
    world.press(official, "Tiếp")
    world.press(official, "Gửi đi")
    world.pass_time(timedelta(seconds=10))

    (progress,) = [text for text in world.texts("official") if "đã gửi" in text]
    assert "đã gửi 2/2 nhóm" in progress
    assert world.press(official, "Xem kết quả") != ""
    assert any("Bản 1: đã gửi 1/1 nhóm" in text for text in world.texts("official"))
    assert world.posts("g2") == []


def test_villages_can_be_typed_and_untaken(world: World) -> None:
    official = world.linked(world.official(), "official")
    world.type(official, "/thongbao Họp.")
    assert "Đã chọn 1/3" in world.press(official, "3. Bản 3")
    assert "Đã chọn 0/3" in world.press(official, "3. Bản 3")
    assert "Chưa chọn" in world.press(official, "Tiếp")
    assert "2 bản (Bản 1, Bản 3)" in world.type(official, "1 3")[-1]


def test_nothing_leaves_after_huy(world: World) -> None:
    world.group(world.villages[0], "g1")
    head = world.linked(world.head(), "head")
    world.type(head, "/thongbao Họp.")
    assert "Đã bỏ" in world.type(head, "/huy")[0]
    assert world.press(head, "Gửi đi") == "Việc này đã xong rồi."
    assert world.posts("g1") == []


def test_a_recording_is_asked_for_its_language_and_follows_the_words(world: World) -> None:
    world.group(world.villages[0], "g1")
    head = world.linked(world.head(), "head")
    world.type(head, "/thongbao")
    voice = FileRef("v1", FileKind.VOICE, "", "audio/ogg", 5)
    assert "nói tiếng gì" in world.type(head, "", files=((voice, b"OggS voice"),))[0]
    assert world.press(head, "Tiếng Mông") == "Tiếng Mông"
    world.type(head, "Nghe ghi âm để biết lịch tiêm.")
    world.press(head, "Gửi đi")
    words, recording = world.posts("g1")
    assert "lịch tiêm" in joined(words.text)
    assert recording.file is not None
    assert recording.file.kind is FileKind.VOICE


def test_an_app_is_refused_and_the_words_stay(world: World) -> None:
    world.group(world.villages[0], "g1")
    head = world.linked(world.head(), "head")
    world.type(head, "/thongbao")
    program = FileRef("a1", FileKind.DOCUMENT, "VNeID.apk", "application/vnd.android.package-archive", 9)
    answers = world.type(head, "Cài ứng dụng này", files=((program, b"\x7fELF program"),))
    assert "phần mềm cài đặt" in answers[0]
    world.press(head, "Gửi đi")
    (post,) = world.posts("g1")
    assert post.file is None or post.file.name.startswith("TB-")


def test_a_file_that_could_not_be_fetched_is_said(world: World) -> None:
    head = world.linked(world.head(), "head")
    world.type(head, "/thongbao")
    lost = FileRef("x", FileKind.PHOTO, "anh.jpg", "image/jpeg", 5)
    assert "Không tải được tệp" in world.type(head, "Có ảnh", files=((lost, b""),))[0]


def test_what_is_changed_below_the_preview_is_shown_again(world: World) -> None:
    world.group(world.villages[0], "g1")
    world.official()
    head = world.linked(world.head(), "head")
    world.type(head, "/thongbao Họp.")
    world.press(head, "Hỏi: Đã nắm")
    newest = [
        message for message in world.posts("head") if any("Tham gia" in b.label for r in message.buttons for b in r)
    ]
    assert newest, "the preview asks who comes"
    world.press(head, "🚨 Khẩn: không")
    assert "🚨 KHẨN" in world.texts("head")[-2]
    assert "cần người thứ hai duyệt" in world.texts("head")[-1]


def test_buttons_of_a_preview_count_nothing(world: World) -> None:
    world.group(world.villages[0], "g1")
    head = world.linked(world.head(), "head")
    world.type(head, "/thongbao Họp.")
    assert "xem trước" in world.press(head, "✅ Đã nắm")


def test_a_resident_is_told_that_it_is_not_theirs(world: World) -> None:
    assert "trưởng bản hoặc cán bộ" in world.type("resident", "/thongbao")[0]


def test_an_official_for_all_villages_needs_a_second_person(world: World) -> None:
    for number, village in enumerate(world.villages):
        world.group(village, f"g{number}")
    author = world.linked(world.official(), "author")
    approver = world.linked(world.official("Phó chủ tịch xã"), "approver")
    world.type(author, "/thongbao Ngày mai cắt điện.")
    world.press(author, "Chọn tất cả")
    world.press(author, "Tiếp")
    assert "người duyệt" in world.press(author, "Gửi đi")
    assert world.posts("g0") == []
    assert world.latest().state is NoticeState.WAITING
    assert any("Ngày mai cắt điện" in text for text in world.texts("approver"))

    assert "đã duyệt" in world.press(approver, "Duyệt và phát")
    assert world.latest().state is NoticeState.PUBLISHED
    assert len(world.posts("g0")) == len(world.posts("g1")) == len(world.posts("g2")) == 1
    assert any("đã duyệt" in text for text in world.texts("author"))


def test_the_author_cannot_approve_and_a_second_approval_changes_nothing(world: World) -> None:
    for number, village in enumerate(world.villages):
        world.group(village, f"g{number}")
    author = world.linked(world.official(), "author")
    first = world.linked(world.official("Phó chủ tịch xã"), "first")
    second = world.linked(world.official("Chủ tịch xã"), "second")
    world.type(author, "/thongbao Họp dân.")
    world.press(author, "Chọn tất cả")
    world.press(author, "Tiếp")
    world.press(author, "Gửi đi")
    asked = [row for row, message in world.shown.items() if any("Duyệt" in b.label for r in message.buttons for b in r)]
    assert len(asked) == 2, "the author is not asked"
    buttons = {row: world.shown[row] for row in asked}
    world.press(first, "Duyệt và phát")
    world.shown.update(buttons)  # a press on the old button, sent before the edit was seen
    assert "vừa xử lý" in world.press(second, "Duyệt và phát")
    assert len(world.posts("g0")) == 1


def test_a_returned_notice_comes_back_with_its_reason(world: World) -> None:
    for number, village in enumerate(world.villages):
        world.group(village, f"g{number}")
    author = world.linked(world.official(), "author")
    approver = world.linked(world.official("Phó chủ tịch xã"), "approver")
    world.type(author, "/thongbao Họp dân.")
    world.type(author, "tất cả")
    world.press(author, "Gửi đi")
    world.press(approver, "Trả lại")
    world.type(approver, "Thiếu giờ họp.")
    assert world.latest().state is NoticeState.RETURNED
    assert any("Thiếu giờ họp" in text for text in world.texts("author"))
    assert world.posts("g0") == []


def test_an_old_button_never_sends_another_notice(world: World) -> None:
    for number, village in enumerate(world.villages):
        world.group(village, f"g{number}")
    official = world.linked(world.official(), "official")
    world.type(official, "/thongbao Tin thứ nhất.")
    world.press(official, "1. Bản 1")
    world.press(official, "Tiếp")
    (old,) = [
        row for row, message in world.shown.items() if any("Gửi đi" in b.label for r in message.buttons for b in r)
    ]
    world.type(official, "/thongbao Tin thứ hai.")
    world.press(official, "2. Bản 2")
    assert "đã xong" in world.press(official, "Gửi đi", row=old)
    assert world.posts("g0") == world.posts("g1") == []


def test_a_notice_whose_deadline_passed_while_it_waited_is_not_published(world: World) -> None:
    world.group(world.villages[0], "g0")
    author, approver = world.official(), world.official("Phó chủ tịch xã")
    due = world.now + timedelta(hours=1)
    new = NewNotice(body="Nộp đơn.", unit_ids=(world.villages[0].id or 0,), is_urgent=True, due_at=due)
    notice = notices.draft(world.session, world.house, world.actor(author), new, now=world.now, origin="api")
    assert notices.submit(world.session, world.house, world.actor(author), notice, now=world.now) is NoticeState.WAITING
    with pytest.raises(Conflict, match="Hạn"):
        notices.approve(world.session, world.house, world.actor(approver), notice, now=due + timedelta(minutes=1))


def test_the_deadline_stands_in_the_notice(world: World) -> None:
    world.group(world.villages[0], "g0")
    author = world.official()
    due = world.now + timedelta(days=2)
    new = NewNotice(body="Nộp đơn.", unit_ids=(world.villages[0].id or 0,), due_at=due)
    notice = notices.draft(world.session, world.house, world.actor(author), new, now=world.now, origin="api")
    notices.submit(world.session, world.house, world.actor(author), notice, now=world.now)
    world.deliver()
    assert "Hạn: 15:00, 23/11/2026" in world.texts("g0")[0]


def test_nobody_is_promised_a_second_person_who_does_not_exist(world: World) -> None:
    for number, village in enumerate(world.villages):
        world.group(village, f"g{number}")
    only = world.linked(world.official(), "only")
    world.type(only, "/thongbao Lũ về.")
    world.type(only, "tất cả")
    assert "người thứ hai" not in world.texts("only")[-1]
    assert "Đang gửi" in world.press(only, "Gửi đi")
    assert len(world.posts("g0")) == 1


def test_an_approver_sees_the_notice_by_the_lengths_of_the_own_chat(world: World) -> None:
    for number, village in enumerate(world.villages):
        world.group(village, f"g{number}")
    author = world.linked(world.official(), "author")
    world.linked(world.official("Phó chủ tịch xã"), "approver")
    world.type(author, "/thongbao " + "Cắt điện để sửa đường dây. " * 200)
    world.type(author, "tất cả")
    world.press(author, "Gửi đi")
    for message in world.posts("approver"):
        assert width(joined(message.text)) <= (1024 if message.file else 4096)


def test_returning_does_not_lose_a_notice_that_is_being_written(world: World) -> None:
    for number, village in enumerate(world.villages):
        world.group(village, f"g{number}")
    author = world.linked(world.official(), "author")
    approver = world.linked(world.official("Phó chủ tịch xã"), "approver")
    world.type(author, "/thongbao Họp dân.")
    world.type(author, "tất cả")
    world.press(author, "Gửi đi")
    world.type(approver, "/thongbao Đang viết dở")
    assert "đang soạn dở" in world.press(approver, "Trả lại")
    assert "1 bản" in world.type(approver, "1")[-1]


def test_a_reason_that_comes_too_late_ends_the_conversation(world: World) -> None:
    for number, village in enumerate(world.villages):
        world.group(village, f"g{number}")
    author = world.linked(world.official(), "author")
    slow = world.linked(world.official("Phó chủ tịch xã"), "slow")
    quick = world.official("Chủ tịch xã")
    world.type(author, "/thongbao Họp dân.")
    world.type(author, "tất cả")
    world.press(author, "Gửi đi")
    world.press(slow, "Trả lại")
    notices.approve(world.session, world.house, world.actor(quick), world.latest(), now=world.now)
    world.session.commit()
    assert "vừa xử lý" in world.type(slow, "Thiếu giờ.")[0]
    assert "Chưa hiểu" in world.type(slow, "Thiếu giờ.")[0]


def test_an_unfinished_notice_goes_with_the_office(world: World) -> None:
    for number, village in enumerate(world.villages):
        world.group(village, f"g{number}")
    leaving = world.official()
    author = world.linked(leaving, "author")
    approver = world.linked(world.official("Phó chủ tịch xã"), "approver")
    world.type(author, "/thongbao Họp dân.")
    world.type(author, "tất cả")
    world.press(author, "Gửi đi")
    coming = people.add_person(world.session, "Cán bộ mới", None, now=world.now)
    people.handover(world.session, None, leaving, coming, now=world.now)
    world.session.commit()
    assert "đã duyệt" in world.press(approver, "Duyệt và phát")
    assert world.latest().author_id == coming.id


def test_an_unreleased_notice_is_nobodys_business_yet(world: World) -> None:
    for number, village in enumerate(world.villages):
        world.group(village, f"g{number}")
    head = world.linked(world.head(), "head")
    author = world.linked(world.official(), "author")
    world.linked(world.official("Phó chủ tịch xã"), "approver")
    world.type(author, "/thongbao Họp dân.")
    world.type(author, "tất cả")
    world.press(author, "Gửi đi")
    code = world.latest().code
    assert "Không tìm thấy" in world.type(head, f"/baocao {code}")[0]
    assert "Không tìm thấy" in world.type(head, f"/chuanam {code}")[0]
