"""A notice's picture is still read after what a chat program does to it: tesseract reads it back, zxing its code."""

import io
import os
import subprocess
from pathlib import Path
from unicodedata import normalize

import pytest
import yaml
import zxingcpp
from PIL import Image

from pictures import NoticeWords, notice_png
from pictures import words as says
from pictures.glyphs import lettering, printable
from tests.debian import program

NOTICES = yaml.safe_load((Path(__file__).parent / "notices.yaml").read_text("utf-8"))
ENDINGS = ("7fK3mPq9Zx2B", "Wq4nR8sTdK5c", "h6YvJ2LgXb9M")
MOST_WRONG = 0.02
"""Of the characters drawn."""
QUALITY = 40


def words_of(position: int) -> NoticeWords:
    address = f"https://loa.xa.example/t/{ENDINGS[position % len(ENDINGS)]}"
    return NoticeWords(**{"url": address, **NOTICES[position]})


def compressed(png: bytes) -> Image.Image:
    """Half the size, then JPEG: what little is left after the smaller size is compressed too."""
    whole = Image.open(io.BytesIO(png)).convert("RGB")
    half = whole.resize((whole.width // 2, whole.height // 2), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    half.save(out, "JPEG", quality=QUALITY)
    return Image.open(out).convert("RGB")


def read_back(picture: Image.Image) -> str:
    out = io.BytesIO()
    picture.save(out, "PNG")
    command = [program("tesseract"), "-", "-", "-l", "vie", "--psm", "3"]
    one_thread = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    done = subprocess.run(command, input=out.getvalue(), capture_output=True, check=True, env=one_thread, timeout=100)
    return done.stdout.decode()


def drawn(words: NoticeWords) -> str:
    """All words of the picture, from the top down."""
    parts = (
        lettering(words.mark),
        lettering(words.headline),
        f"{words.issuer}, {words.day}",
        printable(words.body),
        says.due(words.due) if words.due else "",
        says.code(words.code),
        says.SCAN,
        words.url,
    )
    return even(" ".join(filter(None, parts)))


def even(text: str) -> str:
    return " ".join(normalize("NFC", text).split())


def distance(one: str, other: str) -> int:
    """Levenshtein's: letters to put in, take out or change."""
    row = list(range(len(other) + 1))
    for n, letter in enumerate(one, 1):
        before, row[0] = row[0], n
        for m, another in enumerate(other, 1):
            before, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, before + (letter != another))
    return row[-1]


def test_the_distance_counts_letters_put_in_taken_out_and_changed():
    cases = [("", "abc"), ("abc", ""), ("abc", "abc"), ("kitten", "sitting"), ("bản", "bàn")]
    assert [distance(*case) for case in cases] == [3, 3, 0, 3, 1]


def test_the_notices_are_short_and_long():
    lengths = sorted(len(notice["body"]) for notice in NOTICES)
    assert len(lengths) >= 12
    assert lengths[0] <= 90
    assert lengths[-1] >= 800


@pytest.mark.parametrize(
    "position",
    [
        pytest.param(position, id=notice["code"], marks=[pytest.mark.long] if position % 3 else [])
        for position, notice in enumerate(NOTICES)
    ],
)
def test_a_picture_is_read_back_after_half_its_size_and_heavy_compression(position):
    words = words_of(position)
    picture = compressed(notice_png(words))
    (code,) = zxingcpp.read_barcodes(picture)
    assert code.text == words.url
    expected, got = drawn(words), even(read_back(picture))
    wrong = distance(expected, got) / len(expected)
    assert wrong <= MOST_WRONG, f"{wrong:.2%}: {got}"
