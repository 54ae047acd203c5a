"""The rooms of the web chat over HTTP: what people see, what is refused, what is kept once."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlmodel import select

from adapters.contract import ButtonPressed, ChatKind, FileKind, MessageReceived, ReceiptArrived
from adapters.text import plain
from api import chat_files, webchat
from api.chat_limits import Buckets, Limits
from api.chat_streams import Watcher
from bot.messages import Message, to_payload
from store import rooms
from store.tables import Account, Audience, RoomMember, RoomMessage, StoredFile, Unit
from tests import postgres
from tests.api.webchat_house import ACK, group_of, opened
from tests.bot.test_media import zipped

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
WITHIN = 10


@pytest.fixture
async def house(tmp_path):
    async with opened(tmp_path) as house:
        yield house


class Browser:
    """One resident's browser: keeps its cookie and sends what the page would send."""

    def __init__(self, house, **headers):
        transport = httpx.ASGITransport(app=house.app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://loa.test", headers=headers)
        self.token = ""

    async def open(self, path="/chat/ban-a"):
        page = await self.http.get(path)
        if found := re.search(r'data-token="(\w+)"', page.text):
            self.token = found[1]
        return page

    async def post(self, path, files=None, headers=None, **fields):
        told = {"accept": "application/json", "sec-fetch-site": "same-origin", "x-loa-token": self.token}
        return await self.http.post(f"/chat/{path}", data=fields, files=files, headers=told | (headers or {}))

    async def say(self, text, room="ban-a", **fields):
        return await self.post(f"{room}/messages", text=text, **fields)


@pytest.fixture
async def browser(house):
    """Makes browsers that have opened the room of "ban-a"."""
    made = []

    async def new(path="/chat/ban-a"):
        made.append(Browser(house))
        await made[-1].open(path)
        return made[-1]

    yield new
    for each in made:
        await each.http.aclose()


async def count(house, table):
    return len(await house.store.read(lambda session: session.exec(select(table)).all()))


# ---------------------------------------------------------------- pages


async def test_the_list_names_the_villages_and_carries_a_start_on(browser):
    page = await (await browser()).open("/chat?start=h_3.x~y")
    assert "Bản A" in page.text
    assert 'href="/chat/ban-b?start=h_3.x~y"' in page.text


@pytest.mark.parametrize(
    "path", ["/chat/nowhere", "/chat/g:ban-a", "/chat/ban-a.x", "/chat/ban-a~1.forged", "/chat/%00"]
)
async def test_an_unknown_village_is_a_page_in_words(browser, path):
    page = await (await browser()).open(path)
    assert page.status_code == 404
    assert "Không có nhóm chat ở địa chỉ này" in page.text
    assert 'href="/chat/ban-a"' in page.text


async def test_looking_writes_nothing_and_leaves_a_cookie_that_scripts_cannot_read(house, browser):
    page = await (await browser()).open()
    assert (await count(house, Account), await count(house, RoomMember)) == (0, 0)
    cookie = page.headers["set-cookie"]
    assert re.match(r"loa_chat=[\w-]{32}\.[\w-]{20}; ", cookie)
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=34560000"} <= set(cookie.split("; "))
    assert "Secure" not in cookie


async def test_over_https_the_cookie_is_secure(house):
    visitor = Browser(house)
    page = await visitor.http.get("https://loa.test/chat/ban-a")
    assert "Secure" in page.headers["set-cookie"].split("; ")
    await visitor.http.aclose()


async def test_a_page_allows_no_inline_script_and_no_other_host(browser):
    page = await (await browser()).open()
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\ssrc=)|\sstyle=|\son\w+=", page.text)


async def test_the_first_load_stays_light(house, browser):
    for number in range(rooms.PAGE):
        await house.post(f"Tin số {number}. " + "Mời bà con họp bản. " * 8, key=str(number), buttons=ACK)
    visitor = await browser()
    page = await visitor.open()
    addresses = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
    assert len(addresses) == 2
    loads = [page, *[await visitor.http.get(address) for address in addresses]]
    assert sum(len(load.content) for load in loads) <= 60_000


async def test_the_door_of_another_audience_is_its_invitation_alone(house, browser):
    def make(session):
        unit = session.exec(select(Unit).where(Unit.code == "ban-a")).one()
        audience = Audience(unit_id=unit.id, name="Chi hội phụ nữ")
        session.add(audience)
        session.flush()
        rooms.ensure_group(session, house.vault, house.channel_id, unit, now=datetime.now(UTC), audience=audience)
        return audience.id

    audience_id = await house.store.write(make)
    visitor = await browser()
    door = rooms.invitation(house.vault, "ban-a", audience_id)
    assert "Chi hội phụ nữ" in (await visitor.open(f"/chat/{door}")).text
    assert "Chi hội phụ nữ" not in (await visitor.open("/chat")).text
    for guess in (f"ban-a:{audience_id}", f"ban-a~{audience_id}", f"{door[:-1]}_"):
        assert (await visitor.open(f"/chat/{guess}")).status_code == 404


# ---------------------------------------------------------------- saying something


async def test_talk_is_shown_to_the_neighbours_and_is_no_event(house, browser):
    one, other = await browser(), await browser()
    answer = await one.say("Bà con <b>ơi</b>, mai họp & liên hoan")
    assert answer.status_code == 200
    page = await other.open()
    assert "Bà con &lt;b&gt;ơi&lt;/b&gt;, mai họp &amp; liên hoan" in page.text
    assert await house.events() == []
    assert await house.store.read(rooms.count_members, (await group_of(house)).id) == 1


async def test_a_command_is_an_event_of_the_room_and_its_sender(house, browser):
    visitor = await browser()
    await visitor.say("/baocao", id="0123456789ab")
    (event,) = await house.events()
    assert isinstance(event, MessageReceived)
    assert (event.text, event.chat.id, event.chat.kind, event.chat.title) == (
        "/baocao",
        "g:ban-a",
        ChatKind.GROUP,
        "Bản A",
    )

    def account(session):
        return rooms.account_of(session, house.vault, house.channel_id, event.sender.id)

    assert await house.store.read(account) is not None


async def test_what_is_sent_again_on_a_bad_line_is_there_once(house, browser):
    visitor = await browser()
    answers = [await visitor.say("/trogiup", id="0123456789ab") for _ in range(3)]
    answers += await asyncio.gather(*(visitor.say("/trogiup", id="0123456789ab") for _ in range(5)))
    assert {answer.json()["message"]["id"] for answer in answers} == {answers[0].json()["message"]["id"]}
    assert await count(house, RoomMessage) == 1
    assert len(await house.events()) == 1


async def test_the_same_id_from_two_browsers_is_two_messages(house, browser):
    for visitor in (await browser(), await browser()):
        await visitor.say("chào", id="0123456789ab")
    assert await count(house, RoomMessage) == 2


async def test_a_reply_to_us_is_an_event_and_quotes(house, browser):
    posted = await house.post("Họp bản lúc 19 giờ")
    visitor = await browser()
    await visitor.say("Tôi đến muộn", reply_to=str(posted))
    (event,) = await house.events()
    assert (event.reply_to, event.text) == (str(posted), "Tôi đến muộn")
    assert f'<p class="quote"><a href="#m{posted}">THÔNG BÁO Họp bản lúc 19 giờ</a></p>' in (await visitor.open()).text


async def test_a_private_room_is_one_browsers_own(house, browser):
    one, other = await browser("/chat/ban-a/private"), await browser("/chat/ban-a/private")
    await one.say("Làm giấy khai sinh ở đâu?", room="ban-a/private")
    (event,) = await house.events()
    assert (event.chat.kind, event.chat.id, event.addressed) == (ChatKind.PRIVATE, f"p:{event.sender.id}", True)
    assert "giấy khai sinh" in (await one.open("/chat/ban-b/private")).text
    assert "giấy khai sinh" not in (await other.open("/chat/ban-a/private")).text
    assert (await other.http.get("/chat/ban-a/private/history?before=99")).json()["messages"] == []
    assert (await other.http.get("/chat/ban-a/private/events")).status_code == 204
    assert "giấy khai sinh" not in (await one.open("/chat/ban-a")).text


async def test_the_bot_answers_in_the_private_room(tmp_path):
    async with opened(tmp_path, work=True) as house:
        visitor = Browser(house)
        await visitor.open("/chat/ban-a/private")
        await visitor.say("/trogiup", room="ban-a/private")
        async with Stream(house, visitor, "/chat/ban-a/private/events?since=0") as stream:
            assert "/quyenriengtu" in await stream.until("m ours")
        await visitor.http.aclose()


async def test_a_deep_link_waits_for_a_press(house, browser):
    visitor = await browser()
    page = await visitor.http.get("/chat/ban-a?start=h_3.x~y")
    assert (page.status_code, page.headers["location"]) == (303, "/chat/ban-a/private?start=h_3.x~y")
    page = await visitor.open(page.headers["location"])
    assert 'name="text" value="/start h_3.x~y"' in page.text
    assert await count(house, Account) == 0
    assert "alert" not in (await visitor.open("/chat/ban-a/private?start=%22%3E%3Cscript%3Ealert")).text.replace(
        'role="alert"', ""
    )


async def test_words_without_javascript_come_back_as_the_page(house, browser):
    visitor = await browser()
    answer = await visitor.http.post(
        "/chat/ban-a/messages",
        data={"text": "Chào cả nhà", "form_token": visitor.token},
        headers={"origin": "http://loa.test"},
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/chat/ban-a#cuoi")
    assert "Chào cả nhà" in (await visitor.open()).text


async def test_a_form_from_an_old_page_keeps_what_was_typed(browser):
    visitor = await browser()
    answer = await visitor.http.post("/chat/ban-a/messages", data={"text": "Chào <b>", "form_token": "cũ"})
    assert answer.status_code == 403
    assert "Trang mở quá lâu" in answer.text
    assert ">Chào &lt;b&gt;</textarea>" in answer.text


async def test_older_messages_come_in_pages(house, browser):
    for number in range(rooms.PAGE + 5):
        await house.post(f"Tin số {number}.")
    visitor = await browser()
    page = await visitor.open()
    first = re.findall(r'data-id="(\d+)"', page.text)[0]
    assert "Tin số 4." not in page.text
    older = (await visitor.http.get(f"/chat/ban-a/history?before={first}")).json()
    assert re.findall(r"Tin số (\d+)\.", "".join(m["html"] for m in older["messages"])) == list("01234")
    assert not older["more"]
    assert "Tin số 4." in (await visitor.open(f"/chat/ban-a?before={first}")).text


# ---------------------------------------------------------------- refusals


REFUSED = [
    pytest.param({"headers": {"sec-fetch-site": "cross-site"}}, 403, id="from another site"),
    pytest.param({"headers": {"sec-fetch-site": "none"}}, 403, id="typed into the address bar"),
    pytest.param({"headers": {"x-loa-token": "x"}}, 403, id="without the page's token"),
    pytest.param({"headers": {"x-loa-token": b"\xe9"}}, 403, id="a token of other letters"),
    pytest.param({"text": " \u0007\n "}, 400, id="nothing but blanks"),
    pytest.param({"text": "a" * 4001}, 413, id="too long"),
    pytest.param({"text": "a" * 200_000}, 400, id="a field that is a flood"),
    pytest.param({"files": {"file": ("a.png", b"\x89PNG" + b"\0" * (10 << 20), "image/png")}}, 413, id="a large file"),
    pytest.param({"headers": {"content-length": str(11 << 20)}}, 413, id="said to be large"),
    pytest.param(
        {"headers": {"content-type": "multipart/form-data; boundary=x"}, "text": "a"}, 400, id="a broken frame"
    ),
]


@pytest.mark.parametrize(("change", "status"), REFUSED)
async def test_a_refusal_says_why_and_keeps_nothing(house, browser, change, status):
    visitor = await browser()
    good = await visitor.post("ban-a/messages", text="được")
    assert good.status_code == 200
    sent = {"text": "/baocao", **change}
    answer = await visitor.post("ban-a/messages", **sent)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert await count(house, RoomMessage) == 1
    assert await house.events() == []


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://loa.test", 200), ("http://evil.test", 403), ("null", 403), ("http://loa.test.evil.test", 403)],
)
async def test_a_browser_that_only_tells_the_origin_is_held_to_it(browser, origin, status):
    visitor = await browser()
    answer = await visitor.http.post(
        "/chat/ban-a/messages",
        data={"text": "chào"},
        headers={"origin": origin, "x-loa-token": visitor.token, "accept": "application/json"},
    )
    assert answer.status_code == status


@pytest.mark.parametrize(
    "text",
    [
        "\ud7ff\u0000\u200f",
        "' OR 1=1 --",
        "{{ 7*7 }}",
        "<script>alert(1)</script>",
        "a\u0301" * 1000,
        "𝔘" * 3000,
        "\u202e/baocao",
    ],
)
async def test_strange_words_are_just_words(browser, text):
    visitor = await browser()
    answer = await visitor.say(text)
    assert answer.status_code == 200
    page = await visitor.open()
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert ">49<" not in page.text


@pytest.mark.parametrize(
    "fields",
    [
        {"message_id": "9" * 40, "token": "x"},
        {"message_id": "-1", "token": "x"},
        {"token": "x"},
        {},
        {"message_id": "1"},
    ],
)
async def test_a_press_of_nothing_is_refused(house, browser, fields):
    visitor = await browser()
    assert (await visitor.post("ban-a/press", **fields)).status_code in (400, 409)
    assert await house.events() == []


async def test_a_flood_from_one_browser_is_told_to_wait_and_harms_no_other(house, browser):
    flooder, neighbour = await browser(), await browser()
    answers = [await flooder.say(f"tin {number}") for number in range(40)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert int(refused[0].headers["retry-after"]) >= 1
    assert "Hãy chờ" in refused[0].json()["error"]
    assert (await neighbour.say("vẫn gửi được")).status_code == 200


def test_a_budget_refills_and_forgets():
    buckets = Buckets(burst=2, per_second=0.5)
    assert [buckets.take("a", 1, at=0) for _ in range(3)] == [0, 0, 2]
    assert buckets.take("b", 1, at=0) == 0
    assert buckets.take("a", 1, at=2) == 0
    limits = Limits(browsers=Buckets(burst=1, per_second=1), addresses=Buckets(burst=2, per_second=1))
    assert [limits.wait("a", "here", 1, at=0) for _ in range(5)] == [0, 1, 1, 1, 1]
    assert limits.wait("b", "here", 1, at=0) == 0, "who sends too fast costs the neighbours nothing"
    assert [limits.wait(f"new {n}", "here", 1, at=0) for n in range(9)] == [1] * 9
    assert "new 1" not in limits.browsers._left, "an address cannot make up ever new browsers"
    assert Limits().addresses.burst > Limits().browsers.burst, "a mobile network puts many phones behind one address"


# ---------------------------------------------------------------- buttons


async def test_a_press_is_an_event_and_its_answer_is_seen_by_the_presser_alone(house, browser):
    posted = await house.post("Họp bản lúc 19 giờ. Mã TB-4K7Q", buttons=ACK)
    presser, neighbour = await browser(), await browser()
    answer = await presser.post("ban-a/press", message_id=str(posted), token=ACK[0][0].token, id="0123456789ab")
    assert answer.status_code == 200
    (event,) = await house.events()
    assert isinstance(event, ButtonPressed)
    assert (event.message_id, event.token, event.chat.id) == (str(posted), ACK[0][0].token, "g:ban-a")
    await house.whisper(event.press_id, "Đã ghi: hộ 12 đã nắm.")
    await house.whisper(event.press_id, "Đã ghi từ trước: hộ 12 đã nắm.")
    mine, theirs = await presser.open(), await neighbour.open()
    assert mine.text.count("Chỉ mình bạn thấy") == 1
    assert "Đã ghi từ trước: hộ 12 đã nắm." in mine.text
    assert "hộ 12" not in theirs.text


async def test_a_press_sent_again_is_one_event(house, browser):
    posted = await house.post("Họp bản", buttons=ACK)
    visitor = await browser()
    for _ in range(3):
        await visitor.post("ban-a/press", message_id=str(posted), token=ACK[0][0].token, id="0123456789ab")
    assert len(await house.events()) == 1


async def test_only_a_button_that_is_there_can_be_pressed(house, browser):
    posted = await house.post("Họp bản", buttons=ACK)
    visitor = await browser()
    talk = (await visitor.say("a:TB-4K7Q:got_it~1f")).json()["message"]["id"]
    elsewhere = await house.post("Của bản khác", room="g:ban-b", buttons=ACK)
    for message_id, token in [(posted, "a:TB-4K7Q:join~1f"), (talk, ACK[0][0].token), (elsewhere, ACK[0][0].token)]:
        answer = await visitor.post("ban-a/press", message_id=str(message_id), token=token)
        assert answer.status_code == 409
    assert await house.events() == []


async def test_a_notice_looks_like_one_and_its_code_leads_to_its_page(house, browser):
    await house.post("Họp bản.\n— UBND xã Mẫu · Mã TB-4K7Q\nhttps://loa.example/tb/TB-4K7Q", buttons=ACK)
    visitor = await browser()
    await visitor.say("xem http://xau.example/TB-4K7Q")
    page = (await visitor.open()).text
    assert 'class="m notice"' in page
    assert '<a href="/tb/TB-4K7Q">TB-4K7Q</a>' in page
    assert 'href="https://loa.example/tb/TB-4K7Q"' in page
    assert 'href="http://xau.example' not in page, "a resident's address is no link"


# ---------------------------------------------------------------- what was seen


async def test_a_member_who_had_our_posts_on_the_screen_is_reported_once(house, browser):
    first, second = await house.post("Một"), await house.post("Hai")
    visitor = await browser()
    assert (await visitor.post("ban-a/read", up_to=str(second))).status_code == 200
    assert await house.events() == [], "who only looks is nobody yet"
    await visitor.post("ban-a/join")
    talk = (await visitor.say("chào")).json()["message"]["id"]
    for up_to in (second, talk, talk + 99):
        await visitor.post("ban-a/read", up_to=str(up_to))
    events = await house.events()
    assert all(isinstance(event, ReceiptArrived) for event in events)
    assert [event.message_id for event in events] == [str(first), str(second)]


async def test_joining_and_leaving_changes_the_count(house, browser):
    visitor = await browser()
    chat = await group_of(house)
    for _ in range(2):
        await visitor.post("ban-a/join")
    assert await house.store.read(rooms.count_members, chat.id) == 1
    await visitor.post("ban-a/leave")
    assert await house.store.read(rooms.count_members, chat.id) == 0


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("name", "claimed", "content", "kind", "media_type", "shown"),
    [
        pytest.param("ảnh.PNG", "image/png", PNG, FileKind.PHOTO, "image/png", True, id="a photo"),
        pytest.param(
            "a.webm", "audio/webm;codecs=opus", b"\x1aE\xdf\xa3..", FileKind.VOICE, "audio/webm", True, id="a voice"
        ),
        pytest.param("đơn.pdf", "", b"%PDF-1.7", FileKind.DOCUMENT, "application/pdf", False, id="a document"),
    ],
)
async def test_a_file_is_what_its_bytes_say(house, browser, name, claimed, content, kind, media_type, shown):
    one, other = await browser(), await browser()
    answer = await one.post("ban-a/messages", text="/thongbao", files={"file": (name, content, claimed)})
    message_id = answer.json()["message"]["id"]
    (event,) = await house.events()
    (told,) = event.files
    assert (told.kind, told.media_type, told.size) == (kind, media_type, len(content))
    assert await house.store.read(rooms.fetch, told.ref) == content
    loaded = await other.http.get(f"/chat/ban-a/files/{message_id}")
    assert loaded.content == content
    assert loaded.headers["content-type"] == media_type
    assert loaded.headers["content-disposition"].startswith("inline" if shown else "attachment")
    assert loaded.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in loaded.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("name", "claimed", "content"),
    [
        pytest.param("x.png", "image/png", b"<svg onload=alert(1)>", id="a false photo"),
        pytest.param("a.html", "text/html", b"<script>", id="a page"),
        pytest.param("a.webm", "video/webm", b"\x1aE\xdf\xa3..", id="a film"),
        pytest.param("vneid.apk", "image/png", zipped("AndroidManifest.xml"), id="a program"),
    ],
)
async def test_a_file_of_another_kind_is_refused_in_words_and_not_kept(house, browser, name, claimed, content):
    visitor = await browser()
    answer = await visitor.post("ban-a/messages", text="/thongbao", files={"file": (name, content, claimed)})
    assert answer.status_code == 415
    assert name in answer.json()["error"]
    assert (await count(house, RoomMessage), await count(house, StoredFile)) == (0, 0)


async def test_a_file_is_for_those_who_see_its_message(house, browser):
    one, other = await browser("/chat/ban-a/private"), await browser("/chat/ban-a/private")
    await other.say("chào", room="ban-a/private")
    sent = await one.post("ban-a/private/messages", text="đơn", files={"file": ("a.png", PNG, "image/png")})
    message_id = sent.json()["message"]["id"]
    assert (await one.http.get(f"/chat/ban-a/private/files/{message_id}")).status_code == 200
    for path in (f"ban-a/private/files/{message_id}", f"ban-a/files/{message_id}", "ban-a/files/x", "ban-a/files/1"):
        assert (await other.http.get(f"/chat/{path}")).status_code == 404


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\anh\\nhà.jpg", "nhà.jpg"),
        ("a\r\nset-cookie: x.pdf", "aset-cookie: x.pdf"),
        ("\u202efdp.exe", "fdp.exe"),
        ("", "tep"),
        ("dài" * 60 + ".docx", ("dài" * 60)[:71] + ".docx"),
    ],
)
def test_a_file_name_is_harmless(name, kept):
    assert chat_files.file_name(name) == kept


# ---------------------------------------------------------------- rooms in the store, on both databases


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def either(request, tmp_path):
    if request.param == "sqlite":
        async with opened(tmp_path) as house:
            yield house
    else:
        with postgres.server().fresh() as url:
            async with opened(tmp_path, url=url) as house:
                yield house


async def test_a_new_browser_that_sends_twice_at_once_is_one_account(either):
    visitor = Browser(either)
    await visitor.open()
    answers = await asyncio.gather(*(visitor.say(f"tin {number}") for number in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert (await count(either, Account), await count(either, RoomMember)) == (1, 2)
    await visitor.http.aclose()


async def test_a_post_an_edit_and_a_deletion_each_happen_once(either):
    house = either
    chat_id = (await group_of(house)).id
    ids = await asyncio.gather(*(house.post("Một", key="n:1") for _ in range(5)))
    assert len(set(ids)) == 1
    message_id = str(ids[0])
    assert await house.store.write(rooms.edit, house.vault, chat_id, message_id, payload='{"text":[]}')
    changed = await house.store.read(rooms.versions, [chat_id])
    assert await house.store.write(rooms.edit, house.vault, chat_id, message_id, payload='{"text":[]}')
    assert await house.store.read(rooms.versions, [chat_id]) == changed, "already so is no change"
    assert await house.store.write(rooms.delete, chat_id, message_id)
    assert not await house.store.write(rooms.delete, chat_id, message_id)
    assert not await house.store.write(rooms.edit, house.vault, chat_id, message_id, payload="{}")
    assert not await house.store.write(rooms.edit, house.vault, chat_id, "no id", payload="{}")
    (gone,) = await house.store.read(rooms.changes_since, house.vault, chat_id, changed[chat_id])
    assert (gone.is_deleted, gone.payload) == (True, "{}")


async def test_an_edit_of_the_words_keeps_the_picture(house, browser):
    posted = await house.post("Họp bản", file=(FileKind.PHOTO, "qr.png", "image/png", PNG))
    chat_id = (await group_of(house)).id
    words = to_payload(Message(plain("Họp bản, 31/62 hộ")))
    assert await house.store.write(rooms.edit, house.vault, chat_id, str(posted), payload=words)
    before = await house.store.read(rooms.versions, [chat_id])
    assert await house.store.write(rooms.edit, house.vault, chat_id, str(posted), payload=words)
    assert await house.store.read(rooms.versions, [chat_id]) == before, "already so is no change"
    visitor = await browser()
    assert "31/62 hộ" in (await visitor.open()).text
    assert (await visitor.http.get(f"/chat/ban-a/files/{posted}")).content == PNG


async def test_a_resident_cannot_be_edited_or_deleted_by_a_send_of_ours(house, browser):
    said = (await (await browser()).say("chào")).json()["message"]["id"]
    chat_id = (await group_of(house)).id
    assert not await house.store.write(rooms.edit, house.vault, chat_id, str(said), payload="{}")
    assert not await house.store.write(rooms.delete, chat_id, str(said))


async def test_a_forgotten_account_leaves_no_word(house, browser):
    visitor = await browser()
    await visitor.say("tên tôi là bí mật")
    posted = await house.post("Họp", buttons=ACK)
    await visitor.post("ban-a/press", message_id=str(posted), token=ACK[0][0].token)
    (event,) = await house.events()
    await house.whisper(event.press_id, "bí mật của hộ 12")
    account = await house.store.read(rooms.account_of, house.vault, house.channel_id, event.sender.id)
    await house.store.write(rooms.forget, account.id)
    assert "bí mật" not in (await visitor.open()).text
    messages = await house.store.read(lambda session: session.exec(select(RoomMessage)).all())
    assert not [message for message in messages if message.account_id]
    assert [message.sealed_payload for message in messages if message.is_deleted] == [b"", b""]
    assert await count(house, RoomMember) == 0


async def test_what_is_said_in_rooms_lies_sealed(house, browser):
    visitor = await browser()
    await visitor.say("chuyện riêng của bản")
    await house.post("danh sách hộ 12", only=None)
    messages = await house.store.read(lambda session: session.exec(select(RoomMessage)).all())
    assert len(messages) == 2
    assert not any(word in m.sealed_payload for m in messages for word in (b"ri\xc3\xaang", b"danh", b"text"))
    assert "chuyện riêng của bản" in (await visitor.open()).text


async def test_old_talk_and_private_rooms_are_taken_away_and_notices_stay(either):
    house = either
    visitor = Browser(house)
    await visitor.open()
    begun = house.runtime.clock()
    await house.post("Thông báo cũ")
    await visitor.post("ban-a/messages", text="chuyện cũ", files={"file": ("a.png", PNG, "image/png")})
    await visitor.open("/chat/ban-a/private")
    await visitor.say("hỏi riêng cũ", room="ban-a/private")
    (asked,) = [e for e in await house.events() if e.chat.kind is ChatKind.PRIVATE]
    await house.post("trả lời cũ", room=asked.chat.id)
    assert await house.store.write(rooms.forget_old, now=begun + rooms.KEPT - timedelta(hours=1)) == 0
    assert await house.store.write(rooms.forget_old, now=begun + rooms.KEPT + timedelta(hours=1)) == 3
    group, private = (await visitor.open()).text, (await visitor.open("/chat/ban-a/private")).text
    assert "Thông báo cũ" in group
    assert "chuyện cũ" not in group
    assert "cũ" not in re.sub(r"(?s)^.*<ol", "", private)
    assert await count(house, StoredFile) == 0
    chat_id = (await group_of(house)).id
    before = await house.store.read(rooms.versions, [chat_id])
    await house.post("Mới")
    assert (await house.store.read(rooms.versions, [chat_id]))[chat_id] > before[chat_id]
    await visitor.http.aclose()


async def test_changes_of_a_room_have_an_order(either):
    house = either
    chat_id = (await group_of(house)).id
    await asyncio.gather(*(house.post(f"Tin {number}") for number in range(30)))
    changes = await house.store.read(rooms.changes_since, house.vault, chat_id, 0)
    assert [shown.change for shown in changes] == list(range(1, 31))
    assert await house.store.read(rooms.changes_since, house.vault, chat_id, 28) == changes[28:]


# ---------------------------------------------------------------- live


class Stream:
    """Reads one event stream through the app itself: httpx collects a whole body before it hands it over."""

    def __init__(self, house, browser, path, last_event_id=""):
        cookie = f"loa_chat={browser.http.cookies['loa_chat']}"
        headers = [(b"host", b"loa.test"), (b"cookie", cookie.encode())]
        if last_event_id:
            headers.append((b"last-event-id", last_event_id.encode()))
        path, _, query = path.partition("?")
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": headers,
            "client": ("127.0.0.1", 9),
            "server": ("loa.test", 80),
        }
        self.app = house.app
        self.pieces: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.left = asyncio.Event()

    async def __aenter__(self):
        self.task = asyncio.create_task(self.app(self.scope, self._receive, self.pieces.put))
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def _receive(self):
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def until(self, pattern):
        """The stream's text once `pattern` is in it."""
        text = ""
        async with asyncio.timeout(WITHIN):
            while not re.search(pattern, text):
                piece = await self.pieces.get()
                text += piece.get("body", b"").decode()
        return text


def told(text):
    return [m for line in re.findall(r"^data: (\{.*)$", text, re.MULTILINE) for m in json.loads(line)["messages"]]


async def test_a_stream_tells_what_changed_since_and_then_what_changes(house, browser):
    await house.post("Một")
    await house.post("Hai")
    visitor, neighbour = await browser(), await browser()
    async with Stream(house, visitor, "/chat/ban-a/events?since=1") as stream:
        text = await stream.until("Hai")
        assert text.startswith("retry: 5000\n")
        assert "Một" not in text
        await neighbour.say("Ba")
        (message,) = told(await stream.until("Ba"))
        assert 'class="m theirs"' in message["html"]
    async with Stream(house, visitor, "/chat/ban-a/events?since=1", last_event_id="2") as stream:
        assert "Hai" not in await stream.until("Ba")


async def test_a_stream_whispers_to_one_alone_and_takes_away_what_is_deleted(house, browser):
    posted = await house.post("Họp", buttons=ACK)
    presser, neighbour = await browser(), await browser()
    await presser.post("ban-a/press", message_id=str(posted), token=ACK[0][0].token)
    (event,) = await house.events()
    async with (
        Stream(house, presser, "/chat/ban-a/events") as mine,
        Stream(house, neighbour, "/chat/ban-a/events") as theirs,
    ):
        await asyncio.gather(mine.until("retry"), theirs.until("retry"))
        await asyncio.wait_for(_watched(house, 2), WITHIN)
        await house.whisper(event.press_id, "chỉ cho một người")
        assert "chỉ cho một người" in await mine.until("chỉ cho")
        await house.store.write(rooms.delete, (await group_of(house)).id, str(posted))
        house.runtime.nudge_rooms()
        text = await theirs.until("gone")
        assert "chỉ cho" not in text
        assert told(text) == [{"id": posted, "gone": True}]


async def _watched(house, pages):
    """Both streams have looked where the room is: only then is something new to them."""
    watcher: Watcher = house.app.state.webchat_watcher
    chat_id = (await group_of(house)).id or 0
    while watcher.pages < pages or watcher.feed(chat_id).version < 0:
        await house.store.read(rooms.count_members, chat_id)


async def test_a_stream_counts_the_members(house, browser):
    visitor, neighbour = await browser(), await browser()
    async with Stream(house, visitor, "/chat/ban-a/events") as stream:
        await stream.until("retry")
        await neighbour.say("chào")
        assert await stream.until("event: members\ndata: 1\n")


async def test_a_stream_of_the_group_counts_what_waits_in_private(house, browser):
    visitor = await browser()
    await visitor.say("chào", room="ban-a/private")
    (event,) = await house.events()
    async with Stream(house, visitor, "/chat/ban-a/events") as stream:
        await stream.until("retry")
        await house.post("Chào bác", room=event.chat.id)
        assert await stream.until("event: private\ndata: 1\n")


async def test_when_the_last_page_is_closed_nobody_watches(house, browser):
    visitor = await browser()
    async with Stream(house, visitor, "/chat/ban-a/events") as stream:
        await stream.until("retry")
    watcher = house.app.state.webchat_watcher
    assert (watcher.pages, watcher._task) == (0, None)


async def test_idle_pages_ask_the_database_together_and_seldom(house, browser):
    visitors = [await browser() for _ in range(5)]
    reads = 0
    read = house.store.read

    class Counting:
        def __getattr__(self, name):
            return getattr(house_store, name)

        async def read(self, work, *args):
            nonlocal reads
            reads += work in (rooms.versions, rooms.changes_since)
            return await read(work, *args)

    house_store, house.runtime.store = house.store, Counting()
    streams = [Stream(house, visitor, "/chat/ban-a/events?since=0") for visitor in visitors]
    for stream in streams:
        await stream.__aenter__()
    for stream in streams:
        await stream.until("retry")
    await asyncio.wait_for(_watched(house, 5), WITHIN)
    before, began = reads, datetime.now(UTC)
    await house.post("Mới")
    for stream in streams:
        await stream.until("Mới")
    looks = (datetime.now(UTC) - began) / timedelta(milliseconds=100)
    assert reads - before <= looks + 4, "one look for all pages, not one a page"
    for stream in streams:
        await stream.__aexit__()
    house.runtime.store = house_store


async def test_a_full_house_says_so(house, browser):
    visitor = await browser()
    house.app.state.webchat_watcher = Watcher(house.runtime)
    house.app.state.webchat_watcher.pages = 10**6
    answer = await visitor.http.get("/chat/ban-a/events")
    assert (answer.status_code, answer.json()["error"]) == (503, webchat.TOO_MANY_PAGES)
