"""No empty box is ever drawn: what no face has is left out, said otherwise, or marked as missing."""

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from unicodedata import category, normalize

import pytest
import regex
import typst

from bot import texts
from pictures.glyphs import FONTS, STANDS_FOR, UNREADABLE, drawable, lettering, printable

MINORITIES = {
    "Kinh": "Ẳ ẵ Ẫ ậ Đ đ Ễ ệ Ị ĩ Ỗ ộ Ỡ ợ Ũ ụ Ữ ự Ỳ ỹ ỷ ỵ",
    "Mông": "Hmôngz Lênhx Đaov yuôx cxuô njuôz tsâu",
    "Thái": "Chụ kốn ʼk̄ak păn xương nặm ỏn",
    "Tày, Nùng": "Slí slon đảy tẻo, pjá, pjạ, bjoóc, mừa rườn",
    "Dao": "Mienh waac, nzuonx nyei, hnoi-hnoi",
    "Ê Đê": "Ƀuôn ƀ Č č Ĕ ĕ Ê̆ ê̆ Ĭ ĭ Ñ ñ Ŏ ŏ Ô̆ ô̆ Ơ̆ ơ̆ Ŭ ŭ Ư̆ ư̆",
    "Gia Rai": "Ƀ ƀ Ă ă Č č Ĕ ĕ Ê̆ ê̆ Ĭ ĭ Ñ ñ Ŏ ŏ Ơ̆ ơ̆ Ŭ ŭ Ư̆ ư̆",
    "Ba Na": "Ă̆ ă Ĕ ĕ Ê̆ ê̆ Ĭ ĭ Ŏ ŏ Ô̆ ô̆ Ơ̆ ơ̆ Ŭ ŭ Ư̆ ư̆ Č č Ĵ ĵ Ñ ñ b̆ đ̆",
    "Cơ Ho": "À à È è Ê ê Ì ì Ò ò Ơ ơ Ồ ồ Ờ ờ Ù ù Ừ ừ Ƀ ƀ ñ ơ̆",
    "Pa Cô, Vân Kiều": "â ă ê ễ ĕ ĩ ŏ ô̆ ơ̆ ŭ ư̆ ʔ ː ʼ á̤ ò̤",
    "money and signs": "50.000 ₫ · 12% · 30°C · m² · ½ · № · § · “ ” ‘ ’ « » – — … • ● ■ □ ▶ → ← ↑ ↓ ☎ ✔ ✖ ★ ⚠ ☐",
}


PAGE = """
#set page(width: 400pt, height: auto)
#set text(font: ("Noto Sans", "Noto Sans Symbols", "Noto Sans Symbols 2"), weight: sys.inputs.weight)
#for piece in json(bytes(sys.inputs.pieces)) { block(piece) }
"""
WITHOUT_SHAPE = r'<g transform="matrix\([^"]*"/>'
"""A glyph of typst's SVG that draws nothing: that of a missing character, and that of a space."""


def missing(pieces: Sequence[str], weight: str) -> int:
    """How many characters typst draws nothing for, with our faces and no other."""
    faces = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[FONTS])
    words = {"pieces": json.dumps(pieces), "weight": weight}
    drawn = typst.compile(PAGE.encode(), font_paths=faces, format="svg", sys_inputs=words).decode()
    return len(regex.findall(WITHOUT_SHAPE, drawn))


@pytest.mark.parametrize("weight", ["regular", "bold"])
def test_every_character_that_is_let_through_has_a_shape(weight):
    assert missing(["a", "\U0001f9ff", "\u0e01", "\u4e00", "b"], weight) == 3, "a missing character is not noticed"
    let_through = [chr(point) for point in sorted(drawable()) if printable(chr(point)) == chr(point)]
    assert len(let_through) > 1300
    assert missing([sign for sign in let_through if category(sign)[0] != "Z"], weight) == 0


def test_all_of_vietnamese_and_the_letters_of_minorities_stay_as_they_are():
    for name, letters in MINORITIES.items():
        assert printable(letters) == normalize("NFC", letters), name


@pytest.mark.parametrize("weight", ["regular", "bold"])
def test_letters_with_marks_put_above_them_are_drawn(weight):
    pieces = [piece for letters in MINORITIES.values() for piece in printable(letters).split()]
    assert missing(pieces, weight) == 0


def test_nothing_that_the_bot_says_is_drawn_as_an_empty_box():
    strings = {
        node.value
        for node in ast.walk(ast.parse(Path(texts.__file__).read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    signs = {sign for string in strings for sign in string}
    assert {"🏛", "🚨", "ộ"} <= signs
    known = drawable()
    for string in strings:
        assert all(ord(sign) in known or sign == "\n" for sign in printable(string)), string
        assert UNREADABLE not in printable(string), string


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("🏛 THÔNG BÁO · MỜI HỌP", "THÔNG BÁO · MỜI HỌP", id="a body's sign"),
        pytest.param("🚨 KHẨN · 👮 CÔNG AN", "KHẨN · CÔNG AN", id="urgent"),
        pytest.param("🔴 ĐÍNH CHÍNH", "ĐÍNH CHÍNH", id="a correction's mark"),
        pytest.param("🏘 TIN CỦA\nBẢN", "TIN CỦA BẢN", id="one line"),
    ],
)
def test_heads_are_letters_alone(text, expected):
    assert lettering(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("✅ Xong ⚠️ Chú ý", "✔ Xong ⚠ Chú ý", id="signs that mean something"),
        pytest.param("1️⃣ Một 2️⃣ Hai", "1 Một 2 Hai", id="digits in keys"),
        pytest.param("Vui 🎉🎉 quá 👨‍👩‍👧!", "Vui quá !", id="pictograms, joined ones too"),
        pytest.param("𝐓𝐇𝐎̂𝐍𝐆 𝐁𝐀́𝐎", "THÔNG BÁO", id="styled letters"),
        pytest.param("Mu\u031bo\u031b\u0300ng", "Mường", id="composed"),
        pytest.param("chữ ᦟᦱᦉ ở đây", f"chữ {UNREADABLE} ở đây", id="letters of another script"),
        pytest.param("a\u202etxt.exe", "atxt.exe", id="turned writing"),
        pytest.param("một\r\nhai\t\tba", "một\nhai ba", id="lines and tabs"),
    ],
)
def test_what_cannot_be_drawn_is_left_out_or_marked(text, expected):
    assert printable(text) == expected


def test_what_stands_for_a_sign_can_be_drawn_itself():
    for sign, other in STANDS_FOR.items():
        assert all(ord(part) in drawable() or part == "\n" for part in other), sign


def test_no_format_character_is_let_through():
    every = "".join(chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000)
    left = {category(sign) for sign in printable(every)}
    assert not left & {"Cf", "Co", "Cs", "Cn"}
