"""Formatted text without any messenger's markup: a few spans, their length, and where long text may be cut.

Every messenger here counts UTF-16 code units (Telegram: core.telegram.org/bots/api#messageentity), so do lengths here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from unicodedata import normalize

import regex

# Best place first. A full stop counts only before white space, so that "2.530.000" and "dichvucong.gov.vn" stay whole.
BREAKS = (
    regex.compile(r"\n\s*\n"),
    regex.compile(r"(?<=[.!?…;:])[\"”’)]*\s+|\n"),
    regex.compile(r"\s+"),
)
GRAPHEME = regex.compile(r"\X")
LEAST_FILL = 0.5
"""A better kind of break is preferred only while the piece before it stays at least this full."""


class Style(StrEnum):
    PLAIN = "plain"
    BOLD = "bold"
    ITALIC = "italic"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Span:
    text: str
    style: Style = Style.PLAIN
    url: str = ""


Text = tuple[Span, ...]


def plain(text: str) -> Text:
    """`text` without any formatting; '' is no span at all."""
    return (Span(text),) if text else ()


def bold(text: str) -> Span:
    return Span(text, Style.BOLD)


def joined(text: Text) -> str:
    """The bare characters."""
    return "".join(span.text for span in text)


def width(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text) + sum(character > "\uffff" for character in text)


def clean(text: str) -> str:
    """NFC, line ends as \\n, no control characters (they break some messengers), no blank ends."""
    text = normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c in "\n\t" or not (c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff")).strip()


def cut(text: Text, *, limit: int, last: int | None = None) -> list[Text]:
    """Cut `text` into pieces of at most `limit` units, the last of at most `last` (as `limit` when None).

    Cuts at the end of a paragraph, else of a sentence, else between words, else between graphemes; white space
    at a cut belongs to no piece, and nothing else is lost or moved. Empty text gives no piece.
    """
    last = limit if last is None else last
    pieces: list[Text] = []
    rest = _slice(text, 0, len(joined(text).rstrip()))
    while (size := width(joined(rest))) > last:
        # What is too long for the last piece but fits an ordinary one must leave something behind.
        ceiling = limit if size > limit else min(limit, size - 1)
        head, rest = _split(rest, ceiling)
        if joined(head).strip():
            pieces.append(head)
    if joined(rest).strip():
        pieces.append(rest)
    return pieces


def _split(text: Text, limit: int) -> tuple[Text, Text]:
    end, resume = _break(joined(text), limit)
    return _slice(text, 0, end), _slice(text, resume, len(joined(text)))


def _break(characters: str, limit: int) -> tuple[int, int]:
    """Where the head ends and the rest begins, as indices; the head has at most `limit` units and is never empty."""
    most = _fitting(characters, limit)
    for pattern in BREAKS:
        found = [m for m in pattern.finditer(characters, 0, min(len(characters), most + 64)) if 0 < m.start() <= most]
        if found and found[-1].start() >= most * LEAST_FILL and found[-1].end() < len(characters):
            return found[-1].start(), found[-1].end()
    end = 0
    for grapheme in GRAPHEME.finditer(characters):
        if grapheme.end() > most:
            break
        end = grapheme.end()
    return (end or most), (end or most)


def _fitting(characters: str, limit: int) -> int:
    """How many leading characters fit `limit` units, at least one."""
    units = 0
    for index, character in enumerate(characters):
        units += 2 if character > "\uffff" else 1
        if units > limit:
            return max(index, 1)
    return len(characters)


def _slice(text: Text, start: int, end: int) -> Text:
    return tuple(_cover(text, start, end))


def _cover(text: Iterable[Span], start: int, end: int) -> Iterator[Span]:
    at = 0
    for span in text:
        piece = span.text[max(start - at, 0) : max(end - at, 0)]
        if piece:
            yield replace(span, text=piece)
        at += len(span.text)


def spans(text: Text) -> list[dict[str, str]]:
    """As plain data, for storing."""
    return [{"t": s.text, "s": s.style.value} | ({"u": s.url} if s.url else {}) for s in text]


def text_of(data: Sequence[dict[str, str]]) -> Text:
    """The inverse of `spans`."""
    return tuple(Span(d["t"], Style(d["s"]), d.get("u", "")) for d in data)
