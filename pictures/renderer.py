"""The one renderer: words in, PNG or PDF out. The same words give the same bytes, so that a file is kept once."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, Literal

import regex
import segno
import typst

from pictures import words as says
from pictures.glyphs import FONTS, lettering, printable

TEMPLATES = Path(__file__).parent / "templates"

WIDTH = 1080
"""Pixels of a picture's width: what phones show without enlarging it, and chat programs leave as it is."""
MARGIN = 56
SIZES = (66, 58, 50)
"""Pixels of the body's letters. Half of the smallest is still read after heavy compression (tests/pictures)."""
LETTER = 0.56
"""Width of a letter, as a part of its size: Noto Sans in Vietnamese, with some room."""
LINE = 1.5
"""Height of a line in letters: two marks above a letter and one below must not meet the next line."""
TALLEST_BODY = 2150
"""Pixels: the picture with its head and code stays at some 3500 at most, which is not shrunk to less than half."""
LONGEST_BODY = 900
CODE = 440
"""Pixels of the QR code's side at most."""
PALE = "#5aa0e6"
"""Of the code's squares on a picture, within a dark frame: scanners read them down to a quarter of the size, and what
reads words out takes them for a picture. Black ones it reads as letters (measured with tesseract, tests/pictures)."""
QUIET = 4
"""Modules of light around the code (ISO/IEC 18004)."""
LONGEST_WORD, LONGEST_ADDRESS = 24, 40
"""Letters that stand in a row on a picture; a longer word may be broken anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeWords:
    """A notice as it is read from a picture or a notice board."""

    headline: str
    issuer: str
    body: str
    day: str
    code: str
    url: str
    """'' when residents cannot reach us: no QR code."""
    due: str = ""
    """The deadline alone: "17:00, 25/11/2026"."""
    mark: str = ""
    """"ĐÍNH CHÍNH", "THU HỒI": a red bar above everything."""
    is_urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CardWords:
    """A household's card."""

    number: int
    label: str
    """What the head calls the house; '' on sheets that others print."""
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupWords:
    """How a village's existing group is served. An address is '' when residents cannot reach us."""

    village: str
    commune: str
    group: str
    members: int | None
    carrier: str
    backup: str
    chat_url: str
    check_url: str
    truong_url: str
    """Where the carrier signs in; the QR code leads there."""
    code: str
    """One-time code to sign in with; '' on a sheet without one."""
    pin: str
    """The text to pin in the group."""


def notice_png(words: NoticeWords) -> bytes:
    """The notice in large letters for a phone, 1080 pixels wide.

    A body that is too long for large letters is cut at the end of a sentence, and says so.
    """
    size, body, is_whole = fitting(printable(words.body))
    data = _notice(words, body) | {
        "body": _paragraphs(body, LONGEST_WORD),
        "width": WIDTH,
        "margin": MARGIN,
        "size": size,
        "qr": _qr(words.url, PALE) if words.url else None,
        "line": LINE,
        "more": "" if is_whole else says.MORE,
        "scan": says.SCAN,
    }
    return _drawn("picture.typ", data, "png")


def notice_pdf(words: NoticeWords) -> bytes:
    """The whole notice on A4 for a notice board, on as many pages as it takes."""
    body = printable(words.body)
    size = next((size for most, size in ((450, 20), (1100, 16)) if len(body) <= most), 13)
    issuer = lettering(words.issuer)
    data = _notice(words, body) | {"size": size, "ask": says.ask(issuer), "scan": says.SCAN_BOARD}
    return _drawn("board.typ", data, "pdf")


def cards_pdf(village: str, cards: Sequence[CardWords], note: str = "") -> bytes:
    """Cards of households, nine on a sheet of A4, to cut out. `note`: instead of what the sheet says of itself."""
    name = lettering(village)
    data = {
        "village": name,
        "note": printable(note) or says.cards_note(name, len(cards)),
        "scan": says.CARD,
        "cards": [
            {"name": says.household(card.number), "label": lettering(card.label), "qr": _qr(card.url)} for card in cards
        ],
    }
    return _drawn("cards.typ", data, "pdf")


def setup_pdf(words: SetupWords) -> bytes:
    """One page for the head: who carries notices into which group, what to pin there, how to sign in."""
    rows = says.setup_rows(words.group, words.members, words.carrier, words.backup)
    data = {
        "title": printable(says.setup_title(words.village)),
        "commune": lettering(words.commune),
        "rows": [[label, lettering(value)] for label, value in rows],
        "how": list(says.SETUP_HOW),
        "sign_in_title": says.SETUP_SIGN_IN,
        "sign_in": says.sign_in(has_code=bool(words.code)),
        "truong_url": _breakable(words.truong_url),
        "code": words.code,
        "qr": _qr(words.truong_url) if words.truong_url else None,
        "pin_title": says.SETUP_PIN,
        "pin": _paragraphs(printable(words.pin)),
        "addresses": [
            [label, _breakable(address)]
            for label, address in ((says.SETUP_CHAT, words.chat_url), (says.SETUP_CHECK, words.check_url))
            if address
        ],
    }
    return _drawn("setup.typ", data, "pdf")


# ---------------------------------------------------------------- words made ready


def fitting(body: str) -> tuple[int, str, bool]:
    """The largest letters in which the body fits the picture, as much of it as fits, and whether that is all."""
    for size in SIZES:
        if len(body) <= LONGEST_BODY and _height(body, size) <= TALLEST_BODY:
            return size, body, True
    size = SIZES[-1]
    room = body[:LONGEST_BODY]
    while _height(room, size) > TALLEST_BODY:
        room = room[: len(room) * 9 // 10]
    return size, _cut(room), False


def _height(body: str, size: int) -> float:
    """Pixels that the body takes, reckoned with letters of average width."""
    columns = (WIDTH - 2 * MARGIN) / (size * LETTER)
    rows = sum(max(ceil(len(line) / columns), 0.6) for line in body.split("\n"))
    return rows * size * LINE


def _cut(text: str) -> str:
    """Up to the last end of a sentence or line, if that keeps half of the text; else up to the last word."""
    ends = [match.end() for match in regex.finditer(r"[.!?…:;]+(?=\s)|(?<=\S)(?=\n)", text)]
    end = max((end for end in ends if end >= len(text) // 2), default=0)
    return (text[:end] if end else text.rpartition(" ")[0] or text).rstrip()


def _notice(words: NoticeWords, body: str) -> dict[str, Any]:
    """What both faces of a notice show."""
    return {
        "mark": lettering(words.mark),
        "is_urgent": words.is_urgent,
        "headline": lettering(words.headline),
        "issuer": f"{lettering(words.issuer)}, {lettering(words.day)}",
        "body": _paragraphs(body),
        "due": says.due(lettering(words.due)) if words.due else "",
        "code": says.code(words.code),
        "url": _breakable(words.url),
        "qr": _qr(words.url) if words.url else None,
    }


def _paragraphs(text: str, longest_word: int = LONGEST_ADDRESS) -> list[list[str]]:
    """Paragraphs as lists of lines."""
    blocks = regex.split(r"\n{2,}", text.strip("\n"))
    return [[_breakable(_together(line), longest_word) for line in block.split("\n")] for block in blocks]


def _together(line: str) -> str:
    """A telephone number or an amount is not torn apart at the end of a line."""
    line = regex.sub(r"\b0\d{1,4}(?: \d{2,4}){1,3}\b", lambda number: number[0].replace(" ", "\u00a0"), line)
    return regex.sub(r"(?<=\d) (?=₫|đồng\b)", "\u00a0", line)


def _breakable(text: str, most: int = LONGEST_ADDRESS) -> str:
    """A word longer than a line may be broken: an address after its signs, anything else anywhere.

    Only such a word: what is copied from a sheet would carry the signs that allow the break.
    """

    def broken(word: regex.Match[str]) -> str:
        parts = regex.findall(r"[^/.?&=_-]{0,16}[/.?&=_-]*", word[0])
        return "\u200b".join(part for part in parts if part)

    return regex.sub(rf"\S{{{most + 1},}}", broken, text)


def _qr(address: str, dark: str = "#000") -> Mapping[str, Any]:
    """The code as a drawing, with the side of its picture in pixels. Level M withstands a scratched screen."""
    code = segno.make(address, error="m", micro=False)
    drawing = io.BytesIO()
    code.save(drawing, kind="svg", border=QUIET, xmldecl=False, svgns=True, dark=dark, light="#fff", omitsize=True)
    modules = code.symbol_size(border=QUIET)[0]
    # Whole pixels a module: sharp edges survive a chat program's compression.
    return {"svg": drawing.getvalue().decode(), "side": modules * max(CODE // modules, 1)}


# ---------------------------------------------------------------- drawing


def _drawn(template: str, data: Mapping[str, Any], form: Literal["png", "pdf"]) -> bytes:
    """The template with its words. They go in as data: nothing in them is taken for markup."""
    return typst.compile(
        TEMPLATES / template,
        root=TEMPLATES,
        font_paths=_faces(),
        format=form,
        ppi=72,  # a point is a pixel
        sys_inputs={"data": json.dumps(data, ensure_ascii=False)},
        timestamp=0,  # no time of drawing in the file: the same words give the same bytes
    )


@cache
def _faces() -> typst.Fonts:
    """The packaged faces and no others, so that every machine draws alike."""
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[FONTS])
