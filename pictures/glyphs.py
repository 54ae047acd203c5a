"""What the packaged faces can draw, and a text made to fit it, so that no empty box is ever drawn."""

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from unicodedata import category, normalize

import regex

FONTS = Path(__file__).parent / "fonts"
UNREADABLE = "[…]"
"""In the place of letters that no face of ours has: a reader must see that something is missing."""
STANDS_FOR = {
    "✅": "✔",
    "☑": "✔",
    "❌": "✖",
    "❎": "✖",
    "‼": "!!",
    "⁉": "!?",
    "❗": "!",
    "❕": "!",
    "❔": "?",
    "📞": "☎",
    "☏": "☎",
    "🔴": "●",
    "🟠": "●",
    "🟡": "●",
    "🟢": "●",
    "🔵": "●",
    "⚫": "●",
    "🔹": "◆",
    "🔸": "◆",
    "🔷": "◆",
    "🔶": "◆",
    "▪": "■",
    "▫": "□",
    "◾": "■",
    "🌟": "★",
    "⭐": "★",
    "⏩": "▶",
    "👇": "↓",
    "👆": "↑",
    "👉": "→",
    "👈": "←",
    "‑": "-",
    "\t": " ",
    "\u2028": "\n",
    "\u2029": "\n",
}
"""Signs that carry meaning in a list or a sentence; other pictograms are left out."""


def printable(text: str) -> str:
    """The text with nothing in it that would be drawn as an empty box, or turn its order round.

    Pictograms that no face has are left out with the space that they leave; letters and digits of a foreign script
    become "[…]".
    """
    lines = normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    drawn = normalize("NFC", "".join(_drawn(lines)))
    drawn = regex.sub(rf"(?:{regex.escape(UNREADABLE)}\s?)*{regex.escape(UNREADABLE)}", UNREADABLE, drawn)
    return "\n".join(regex.sub(r"[ \u00a0]{2,}", " ", line).strip() for line in drawn.split("\n"))


def lettering(text: str) -> str:
    """`printable` on one line and without pictograms: a head whose colour already says what its sign said."""
    letters = "".join(sign for sign in printable(text) if category(sign) != "So")
    return " ".join(letters.split())


def _drawn(text: str) -> Iterator[str]:
    known = drawable()
    for sign in text:
        if sign == "\n":
            yield sign
        elif sign in STANDS_FOR:
            yield STANDS_FOR[sign]
        elif category(sign) in ("Cc", "Cf", "Co", "Cs", "Cn"):  # the marks that join emoji or turn the writing round
            continue
        elif ord(sign) in known:
            yield sign
        elif simpler := _simpler(sign, known):
            yield simpler
        elif category(sign)[0] in "LN":
            yield UNREADABLE


def _simpler(sign: str, known: frozenset[int]) -> str:
    """Styled letters of a chat as plain ones, such as those of mathematics; '' when that does not help."""
    plain = normalize("NFKC", sign)
    return plain if plain != sign and all(ord(part) in known for part in plain) else ""


@cache
def drawable() -> frozenset[int]:
    """Every character that can be drawn, in both weights of the text face or as a symbol."""
    by_file = {file.name: _mapped(file.read_bytes()) for file in FONTS.glob("*.ttf")}
    text = by_file["NotoSans-Regular.ttf"] & by_file["NotoSans-Bold.ttf"]
    symbols = [mapped for name, mapped in by_file.items() if "Symbols" in name]
    return frozenset(text.union(*symbols))


def _mapped(font: bytes) -> frozenset[int]:
    """The characters of a TrueType file's `cmap` (OpenType 1.9: formats 4 and 12, which ours have)."""
    count = struct.unpack_from(">H", font, 4)[0]
    records = [struct.unpack_from(">4sLLL", font, 12 + 16 * n) for n in range(count)]
    start = next(offset for tag, _, offset, _ in records if tag == b"cmap")
    tables = struct.unpack_from(">H", font, start + 2)[0]
    offsets = {start + struct.unpack_from(">HHL", font, start + 4 + 8 * n)[2] for n in range(tables)}
    found: set[int] = set()
    for offset in offsets:
        match struct.unpack_from(">H", font, offset)[0]:
            case 4:
                found.update(_format_4(font, offset))
            case 12:
                found.update(_format_12(font, offset))
    return frozenset(found)


def _format_4(font: bytes, at: int) -> Iterator[int]:
    double = struct.unpack_from(">H", font, at + 6)[0]
    ends = struct.unpack_from(f">{double // 2}H", font, at + 14)
    starts = struct.unpack_from(f">{double // 2}H", font, at + 16 + double)
    for start, end in zip(starts, ends, strict=True):
        yield from range(start, min(end, 0xFFFE) + 1)  # the subsets hold no segment with a gap; 0xFFFF ends the table


def _format_12(font: bytes, at: int) -> Iterator[int]:
    groups = struct.unpack_from(">L", font, at + 12)[0]
    for n in range(groups):
        start, end, _ = struct.unpack_from(">LLL", font, at + 16 + 12 * n)
        yield from range(start, end + 1)
