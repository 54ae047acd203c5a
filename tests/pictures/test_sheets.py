"""Sheets to print and the picture as such: what is on them, how large they are; the same words draw the same."""

import io
from concurrent.futures import ThreadPoolExecutor

import pypdfium2
import pytest
import zxingcpp
from PIL import Image

from pictures import CardWords, NoticeWords, SetupWords, cards_pdf, notice_pdf, notice_png, setup_pdf
from pictures import words as says
from pictures.renderer import LONGEST_BODY, SIZES, fitting
from tests.pictures.sheets import codes, pages

ADDRESS = "https://loa.xa.example/t/7fK3mPq9Zx2B"
SENTENCE = "Mời bà con đến nhà văn hoá bản họp bàn việc làm đường. "


def a_notice(**changes) -> NoticeWords:
    values = {
        "headline": "🏛 THÔNG BÁO",
        "issuer": "Uỷ ban nhân dân xã Mẫu",
        "body": "Mai họp bản lúc 8 giờ.",
        "day": "22/11/2026",
        "code": "TB-7K4M",
        "url": ADDRESS,
    }
    return NoticeWords(**{**values, **changes})


def a_setup(**changes) -> SetupWords:
    values = {
        "village": "Bản Mẫu",
        "commune": "Xã Mẫu",
        "group": "Bản Mẫu đoàn kết",
        "members": 1142,
        "carrier": "Trưởng bản Mẫu",
        "backup": "",
        "chat_url": "https://loa.xa.example/chat/mau",
        "check_url": "https://loa.xa.example/tb/",
        "truong_url": "https://loa.xa.example/truong",
        "code": "",
        "pin": "Nhóm này nhận thông báo của xã.",
    }
    return SetupWords(**{**values, **changes})


def size(png: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(png)).size


def is_red(colour: tuple[int, ...]) -> bool:
    red, green, blue = colour
    return red > 150 > 60 > max(green, blue)


def edge(png: bytes) -> list[tuple[int, ...]]:
    """The colours down the left edge of the head."""
    strip = Image.open(io.BytesIO(png)).convert("RGB").crop((5, 0, 6, 400)).tobytes()
    return [tuple(strip[at : at + 3]) for at in range(0, len(strip), 3)]


def test_the_picture_is_as_wide_as_a_phone_and_as_high_as_its_words():
    short, long = size(notice_png(a_notice())), size(notice_png(a_notice(body=SENTENCE * 15)))
    assert short[0] == long[0] == 1080
    assert short[1] < long[1] < 3000


@pytest.mark.parametrize("body", [SENTENCE * 400, "dòng\n" * 3000, "x" * 20_000, "•\n\n" * 900, "ỗ " * 9000])
def test_no_body_makes_the_picture_endless(body):
    assert size(notice_png(a_notice(body=body.strip(), mark="🔴 ĐÍNH CHÍNH", due="17:00, 25/11/2026")))[1] < 3600


def test_a_long_body_is_cut_at_the_end_of_a_sentence():
    letters, kept, is_whole = fitting((SENTENCE * 40).strip())
    assert not is_whole
    assert letters == SIZES[-1]
    assert LONGEST_BODY // 2 <= len(kept) <= LONGEST_BODY
    assert kept.endswith("làm đường.")
    assert fitting(SENTENCE.strip()) == (SIZES[0], SENTENCE.strip(), True)


def test_less_text_has_larger_letters():
    assert [fitting((SENTENCE * times).strip())[0] for times in (8, 11, 15)] == sorted(SIZES, reverse=True)


def test_a_correction_and_an_urgent_notice_are_red_at_the_top():
    for words in (a_notice(mark="🔴 ĐÍNH CHÍNH"), a_notice(is_urgent=True)):
        assert any(map(is_red, edge(notice_png(words))))
    assert not any(map(is_red, edge(notice_png(a_notice()))))


def test_without_an_address_there_is_no_code():
    picture = Image.open(io.BytesIO(notice_png(a_notice(url=""))))
    assert zxingcpp.read_barcodes(picture) == []
    assert codes(notice_pdf(a_notice(url=""))) == []
    assert codes(notice_pdf(a_notice())) == [ADDRESS]


def test_the_board_has_the_whole_text_on_as_many_pages_as_it_takes():
    (one,) = pages(notice_pdf(a_notice(mark="🔴 THU HỒI", due="17:00, 25/11/2026")))
    assert "Quét mã" in one
    assert "báo đã nắm" not in one, "its code leads to /tb/, where nothing is answered"
    for words in (
        "THU HỒI",
        "THÔNG BÁO",
        "Uỷ ban nhân dân xã Mẫu, 22/11/2026",
        "Mai họp bản",
        "Hạn: 17:00",
        "Mã TB-7K4M",
    ):
        assert words in one
    many = pages(notice_pdf(a_notice(body="\n".join(f"Điều {n}. {SENTENCE}" for n in range(1, 201)))))
    assert len(many) > 2
    assert all(f"Điều {n}." in " ".join(many) for n in range(1, 201))
    assert f"{len(many)}/{len(many)}" in many[-1]


def test_cards_stand_nine_on_a_sheet_each_with_its_own_code():
    cards = [
        CardWords(number=n, label="Nhà đầu bản" if n == 3 else "", url=f"https://loa.xa.example/h/{n:020}")
        for n in range(1, 21)
    ]
    sheet = cards_pdf("Bản Mẫu", cards)
    words = pages(sheet)
    assert [sum(f"Hộ số {n} " in page for n in range(1, 21)) for page in words] == [9, 9, 2]
    assert sorted(codes(sheet)) == sorted(card.url for card in cards)
    assert words[0].count("Nhà đầu bản") == 1
    assert all(says.cards_note("Bản Mẫu", 20)[:30] in page for page in words)


def test_the_set_up_sheet_is_one_page_with_who_where_and_what_to_pin():
    (page,) = pages(setup_pdf(a_setup()))
    for words in ("Bản Mẫu đoàn kết (1.142 người)", "Trưởng bản Mẫu", "chưa có", "/truong", "Nhóm này nhận thông báo"):
        assert words in page
    assert codes(setup_pdf(a_setup())) == ["https://loa.xa.example/truong"]
    (page,) = pages(setup_pdf(a_setup(code="7K4M-9QTX")))
    assert "7K4M-9QTX" in page
    bare = setup_pdf(a_setup(chat_url="", check_url="", truong_url="", pin="Ghim. " * 120, carrier="Tên " * 30))
    assert len(pages(bare)) == 1
    assert codes(bare) == []


def test_words_are_never_taken_for_markup():
    trap = '#panic() #image("x") $x$ *in đậm* _ = Mục - gạch // \\ #sys.inputs `x` <label> @ref "quote" https://a.vn'
    (page,) = pages(notice_pdf(a_notice(body=trap, issuer=trap, headline=trap)))
    assert page.count("#panic()") == 4
    assert "*in đậm* _ = Mục - gạch // \\ #sys.inputs `x` <label> @ref" in page
    assert "#panic()" in pages(cards_pdf(trap, [CardWords(number=1, label=trap, url=ADDRESS)]))[0]
    assert "#panic()" in pages(setup_pdf(a_setup(pin=trap, group=trap)))[0]
    notice_png(a_notice(body=trap, issuer=trap, headline=trap, mark=trap, due=trap))


def test_a_telephone_number_stays_on_one_line():
    body = "Hỏi " + "thêm " * 4 + "số 0912 345 678 nhé"
    for padding in range(12):
        text = pypdfium2.PdfDocument(notice_pdf(a_notice(body="a" * padding + " " + body)))[0].get_textpage()
        assert "0912 345 678" in text.get_text_bounded().replace("\u00a0", " ")


def test_the_same_words_draw_the_same_bytes_in_every_thread():
    def draw(_: int) -> tuple[bytes, bytes, bytes, bytes]:
        card = CardWords(number=1, label="", url=ADDRESS)
        return notice_png(a_notice()), notice_pdf(a_notice()), cards_pdf("Bản Mẫu", [card]), setup_pdf(a_setup())

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(draw, range(8)))) == 1
