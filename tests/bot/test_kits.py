"""What a person is given to carry: complete, short enough to be forwarded, and said how it is checked."""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from sqlmodel import col, select

from adapters.text import joined, width
from bot import kits, notices, texts
from bot.face import Face
from bot.notices import NewNotice
from store.tables import Content, IssuerKind, Lane, NoticeKind, NoticeTarget, Outbox, Wanted
from tests.village import World

LINK = "https://loa.xa.example/t/4fKq8ZtB2mXa"
FACE = Face(
    code="TB-4K7Q",
    kind=NoticeKind.NOTICE,
    is_urgent=False,
    issuer="UBND xã Nà Mẫu",
    issuer_kind=IssuerKind.COMMUNE,
    body="Sáng mai tiêm chủng lúc 8 giờ ở trạm y tế.",
    at=datetime(2026, 11, 21, 15, 0, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh")),
    wanted=Wanted.ACKNOWLEDGE,
    url="https://loa.xa.example/tb/TB-4K7Q",
)
TAKE_AWAY = ", rồi thu hồi tin cũ trong nhóm, xong trả lời 1."
LONG = " ".join(f"Điều {number} bà con dọn vệ sinh đường làng, ngõ xóm trước ngày họp." for number in range(1, 40))


def test_a_short_notice_is_one_text_that_ends_with_its_link_and_code():
    (text,) = kits.texts_of(FACE, LINK)
    assert text.split("\n") == [
        "🏛 THÔNG BÁO",
        "",
        FACE.body,
        "",
        "— UBND xã Nà Mẫu, 21/11/2026",
        "Nhà nào xem rồi, mở liên kết bấm “Đã nắm”:",
        f"{LINK} · Mã TB-4K7Q",
    ]


@pytest.mark.parametrize(
    ("wanted", "asks"),
    [
        pytest.param(Wanted.ACKNOWLEDGE, "bấm “Đã nắm”", id="to take note"),
        pytest.param(Wanted.ATTEND, "Tham gia, vắng hay cần giúp", id="to say who comes"),
        pytest.param(Wanted.NOTHING, None, id="nothing"),
    ],
)
def test_what_is_asked_stands_before_the_link(wanted, asks):
    *_, before, last = kits.texts_of(replace(FACE, wanted=wanted), LINK)[-1].split("\n")
    assert last == f"{LINK} · Mã TB-4K7Q"
    assert asks in before if asks else before == "— UBND xã Nà Mẫu, 21/11/2026"


def test_without_an_address_nothing_points_at_a_link():
    (text,) = kits.texts_of(FACE, "")
    assert text.endswith("— UBND xã Nà Mẫu, 21/11/2026\nMã TB-4K7Q")
    assert "liên kết" not in text
    assert "http" not in text


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(LONG, id="sentences"),
        pytest.param("x" * 5_000, id="one word"),
        pytest.param("😀" * 2_000, id="pictograms of two units"),
        pytest.param("\n".join(["Một dòng ngắn."] * 400), id="lines"),
        pytest.param("a " * 10_000, id="as long as a notice may be"),
        *(pytest.param("x" * length, id=f"about one text: {length}") for length in range(720, 800, 9)),
    ],
)
def test_every_text_fits_and_nothing_is_lost(body):
    face = replace(FACE, body=body, wanted=Wanted.ATTEND, due=FACE.at)
    pieces = kits.texts_of(face, LINK)
    assert all(width(piece) <= kits.KIT for piece in pieces)
    assert pieces[-1].endswith(f"\n{LINK} · Mã TB-4K7Q")
    assert "— UBND xã Nà Mẫu, 21/11/2026" in pieces[-1]
    bare = [piece.removeprefix(f"({n}/{len(pieces)}) ") for n, piece in enumerate(pieces, start=1)]
    if len(pieces) > 1:
        assert all(piece != whole for piece, whole in zip(bare, pieces, strict=True))
    assert "".join(body.split()) in "".join("".join(bare).split())


def test_a_long_notice_is_cut_after_sentences():
    pieces = kits.texts_of(replace(FACE, body=LONG), LINK)
    assert len(pieces) > 2
    assert all(piece.endswith(".") for piece in pieces[:-1])


def test_a_correction_says_so_before_all_else():
    (text,) = kits.texts_of(replace(FACE, mark=texts.MARK_CORRECTED, is_urgent=True), LINK)
    assert text.startswith("🔴 ĐÍNH CHÍNH · 🚨 KHẨN · 🏛 THÔNG BÁO\n")


def test_the_picture_says_the_same():
    words = kits.words_of(replace(FACE, mark=texts.MARK_RECALLED, is_urgent=True, due=FACE.at), LINK)
    assert (words.headline, words.issuer, words.body) == ("🏛 THÔNG BÁO", FACE.issuer, FACE.body)
    assert (words.day, words.code, words.url) == ("21/11/2026", FACE.code, LINK)
    assert (words.due, words.mark, words.is_urgent) == ("15:00, 21/11/2026", texts.MARK_RECALLED, True)


@pytest.mark.parametrize(
    ("messages", "is_correction", "is_recall", "said"),
    [
        (1, False, False, "Chuyển tin trên vào nhóm Bản Nà Mẫu, xong trả lời 1."),
        (3, False, False, "Chuyển 3 tin trên vào nhóm Bản Nà Mẫu, xong trả lời 1."),
        (2, True, False, "Chuyển 2 tin sửa ở trên vào nhóm Bản Nà Mẫu" + TAKE_AWAY),
        (1, True, True, "Chuyển tin báo thu hồi ở trên vào nhóm Bản Nà Mẫu" + TAKE_AWAY),
    ],
)  # fmt: skip
def test_the_carrier_reads_in_one_line_what_to_do(messages, is_correction, is_recall, said):
    words = kits.instruction("Bản Nà Mẫu", messages, is_correction=is_correction, is_recall=is_recall)
    assert joined(words) == said
    assert [span.text for span in words if span.style == "bold"] == ["Bản Nà Mẫu", "1"]


def test_tokens_are_long_and_never_the_same():
    tokens = {kits.new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(len(token) == 12 and token.isalnum() and not set(token) & set("0OIl") for token in tokens)


# ---------------------------------------------------------------- queueing


def test_each_village_gets_a_link_of_its_own_and_a_row_for_each_group(world: World):
    first, second, _ = world.villages
    head = world.head(0)
    world.relay_group(first, head, title="Bản 1 họ Lò")
    world.relay_group(first, head, title="Bản 1 họ Vàng")
    world.relay_group(second, world.head(1))
    author = world.actor(world.official())
    new = NewNotice(body=FACE.body, unit_ids=tuple(village.id or 0 for village in world.villages))
    notice = notices.draft(world.session, world.house, author, new, now=world.now, origin="test")
    notices.publish(world.session, world.house, notice, by=author, now=world.now)
    targets = {unit.name: world.session.get_one(NoticeTarget, (notice.id, unit.id)) for unit in world.villages}
    assert targets["Bản 1"].link_token
    assert targets["Bản 2"].link_token not in (None, targets["Bản 1"].link_token)
    assert targets["Bản 3"].link_token is None, "nobody carries there"
    rows = world.session.exec(select(Outbox).order_by(col(Outbox.id))).all()
    assert [(row.unit_id, row.lane, row.part, row.parts) for row in rows] == [
        (first.id, Lane.NOTICE, 1, 1),
        (first.id, Lane.NOTICE, 1, 1),
        (second.id, Lane.NOTICE, 1, 1),
    ]


def test_a_link_is_kept_by_later_kits_and_a_revoked_one_stays_revoked(world: World):
    village = world.villages[0]
    chat = world.relay_group(village, world.head(0))
    author = world.actor(world.official())
    new = NewNotice(body=FACE.body, unit_ids=(village.id or 0,))
    notice = notices.draft(world.session, world.house, author, new, now=world.now, origin="test")
    notices.publish(world.session, world.house, notice, by=author, now=world.now)
    target = world.session.get_one(NoticeTarget, (notice.id, village.id))
    first = target.link_token
    kits.queue(world.session, world.house, notice, [chat], lane=Lane.NOTICE, now=world.now)
    assert target.link_token == first
    target.link_revoked_at = world.now
    kits.queue(world.session, world.house, notice, [chat], lane=Lane.NOTICE, now=world.now)
    assert (target.link_token, target.link_revoked_at) == (first, world.now)
    said = [content.payload for content in world.session.exec(select(Content).order_by(col(Content.id))).all()]
    assert f"/t/{first}" in str(said[0])
    assert "/t/" not in str(said[-1]), "what is carried from now on leads nowhere"
    assert notice.code in str(said[-1])


def test_a_preview_shows_the_texts_that_will_be_carried(world: World):
    village = world.villages[0]
    world.relay_group(village, world.head(0))
    world.group(village, "g1")
    author = world.actor(world.official())
    new = NewNotice(body=FACE.body, unit_ids=(village.id or 0,))
    notice = notices.draft(world.session, world.house, author, new, now=world.now, origin="test")
    shown = {
        preview.adapter: preview for preview in notices.previews(world.session, world.house, notice, now=world.now)
    }
    assert set(shown) == {"stub", "relay"}
    (message,) = shown["relay"].messages
    text = joined(message.text)
    assert text.endswith(f"https://loa.xa.example/t/············ · Mã {notice.code}")
    assert message.buttons == ()
