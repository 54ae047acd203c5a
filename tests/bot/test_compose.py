"""/thongbao: written, seen, changed, sent from a phone."""

from datetime import timedelta

from adapters.contract import FileKind, FileRef
from adapters.text import joined
from store.tables import NoticeState
from tests.village import World


def test_a_head_with_one_village_sends_in_three_steps(world: World) -> None:
    world.group(world.villages[0], "g1")
    head = world.linked(world.head(), "head")

    assert "gõ nội dung" in world.type(head, "/thongbao")[0]
    preview, control = world.type(head, "Mai 8 giờ họp bản ở nhà văn hoá.")
    assert "TIN TRONG BẢN" in preview
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
    assert "/baocao" in progress
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
    assert "nói tiếng gì" in world.type(head, "", files=((voice, b"voice"),))[0]
    assert world.press(head, "Tiếng Mông") == "Tiếng Mông"
    world.type(head, "Nghe ghi âm để biết lịch tiêm.")
    world.press(head, "Gửi đi")
    words, recording = world.posts("g1")
    assert "lịch tiêm" in joined(words.text)
    assert recording.file is not None
    assert recording.file.kind is FileKind.VOICE


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
