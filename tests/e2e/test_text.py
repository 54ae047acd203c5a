"""Whatever an official writes arrives as written: whole, in order, cut where a sentence ends."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from unicodedata import normalize
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.town import Town, a_town, buttons, words

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SENTENCES = (
    "Đề nghị bà con kiểm tra mái nhà, chằng chống chuồng trại trước 17 giờ.",
    "Mức hỗ trợ là 2.530.000 đồng mỗi hộ, nộp hồ sơ tại dichvucong.gov.vn!",
    "Ai chưa có thẻ bảo hiểm thì đến trạm y tế xã?",
    "Trẻ dưới 6 tuổi được khám không mất tiền…",
)
MARKS = (
    "Giá *giảm_mạnh <b>50% [xem & mua](tg://x) `rm -rf` ~~gạch ||ẩn \\_ {{tên}} &lt; _chưa đóng *ngoặc [ < & > # + | !"
)
EMOJI = "🏡👨‍👩‍👧‍👦🇻🇳 Nhà 👩🏽‍🌾 ai nấy giữ; mưa to ⛈️🌊 thì lên cao 🏔. " * 60
DECOMPOSED = normalize("NFD", "Ủy ban xã mời bà con họp ở nhà văn hoá. Mỗi hộ cử một người đi họp. " * 80)


def long(characters: int) -> str:
    """Sentences in paragraphs, no two alike."""
    lines: list[str] = []
    while len("\n".join(lines)) < characters:
        number = len(lines) + 1
        lines.append(f"{number}. " + " ".join(SENTENCES[(number + i) % len(SENTENCES)] for i in range(3)))
        if number % 4 == 0:
            lines.append("")
    text = "\n".join(lines)[:characters]
    return text[: text.rindex(" ")] + "."


BODIES = {
    "unbalanced marks": (MARKS, 1),
    "ten thousand characters": (long(10_000), 3),
    "one word without an end": ("a" * 9_000, 3),
    "emoji": (EMOJI, 2),
    "decomposed letters": (DECOMPOSED, 2),
    "line ends and tabs of another system": ("Một\r\n\r\nhai\tba\rbốn", 1),
}


@pytest.mark.parametrize(
    "public_url",
    [
        pytest.param("http://loa.xa.example", id="with a QR code"),
        pytest.param("", id="without an address", marks=pytest.mark.long),
    ],
)
async def test_every_text_arrives_whole_in_order_and_cut_at_sentence_ends(tmp_path, public_url):
    async def furnish(town: Town) -> None:
        for village in town.villages:
            await town.add_groups(village, 1)

    environment = {"LOA_PUBLIC_URL": public_url}
    async with a_town(tmp_path, villages=len(BODIES), before=furnish, environment=environment) as town:
        token = await town.official()
        places = dict(zip(BODIES, town.villages, strict=True))
        sent = {name: await town.send(token, BODIES[name][0], [village]) for name, village in places.items()}
        await asyncio.gather(*[town.reached(token, notice["code"], within=60) for notice in sent.values()])
        for name, notice in sent.items():
            body, least = BODIES[name]
            [chat] = town.groups[places[name]]
            posts = await town.posts(chat)
            assert len(posts) >= least, name
            check(name, posts, notice, body, public_url)
        stats = await town.stub.control.stats()
        assert stats["throttled_by_client"] == 0
        assert stats["outcomes"].keys() == {"ok"}
        assert town.service.errors() == []


def check(name: str, posts: Sequence[dict[str, Any]], notice: dict[str, Any], body: str, public_url: str) -> None:
    parts = [words(post) for post in posts]
    body = normalize("NFC", body).replace("\r\n", "\n").replace("\r", "\n").strip()
    headline = "🏛 THÔNG BÁO"
    day = datetime.fromisoformat(notice["published_at"]).astimezone(ZoneInfo("Asia/Ho_Chi_Minh")).strftime("%d/%m/%Y")
    footer = f"— UBND xã Mẫu, {day} · Mã {notice['code']}"
    link = f"\n{public_url}/tb/{notice['code']}" if public_url else ""
    whole = f"{headline}\n\n{body}\n\n{footer}{link}"

    at = 0
    for part in parts:
        start = whole.find(part, at)
        assert start >= 0, f"{name}: a part is not as written: {part[:80]!r}"
        assert not whole[at:start].strip(), f"{name}: lost between parts: {whole[at:start]!r}"
        at = start + len(part)
    assert at == len(whole), f"{name}: lost at the end: {whole[at:]!r}"
    if " " in body:
        for part in parts[:-1]:
            assert part.endswith((".", "!", "?", "…", ";", ":")) or name == "unbalanced marks", (
                f"{name}: {part[-40:]!r}"
            )

    for post in posts:
        marked = [
            (entity["type"], slice_of(words(post), entity))
            for entity in post.get("entities", []) + post.get("caption_entities", [])
        ]
        wanted = [("bold", headline)] * (post is posts[0]) + [("italic", f"\n\n{footer}")] * (post is posts[-1])
        assert [(kind, text.strip()) for kind, text in marked] == [(kind, text.strip()) for kind, text in wanted], name
    assert [bool(buttons(post)) for post in posts] == [False] * (len(posts) - 1) + [True]
    assert ["photo" in post for post in posts] == [False] * (len(posts) - 1) + [bool(public_url)]
    assert [post["message_id"] for post in posts] == list(range(1, len(posts) + 1))


def slice_of(text: str, entity: dict[str, Any]) -> str:
    """What an entity covers; Telegram counts UTF-16 units."""
    units = text.encode("utf-16-le")
    return units[2 * entity["offset"] : 2 * (entity["offset"] + entity["length"])].decode("utf-16-le")
