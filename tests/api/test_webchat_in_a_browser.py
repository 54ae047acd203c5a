"""The web chat in a real browser, on a phone's screen of 360 px."""

import asyncio
import re
import socket

import pytest
import uvicorn
from playwright.async_api import ViewportSize, async_playwright, expect
from sqlmodel import select

from adapters.contract import ButtonPressed
from store import rooms
from store.tables import RoomMessage
from tests.api.webchat_house import ACK, group_of, opened
from tests.browser import chromium

pytestmark = pytest.mark.browser

PHONE: ViewportSize = {"width": 360, "height": 640}
WITHIN = 20
expect.set_options(timeout=WITHIN * 1000)


@pytest.fixture
async def house(tmp_path):
    """The room of "ban-a", served; `house.address` is where."""
    async with opened(tmp_path) as house:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            house.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            config = uvicorn.Config(
                house.app, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=1
            )
            server = uvicorn.Server(config)
            # A signal belongs to the test runner, not to a server inside of it.
            serving = asyncio.create_task(server._serve([listening]))
            yield house
            server.should_exit = True
            await serving


@pytest.fixture
async def phone(house):
    """Makes phones of residents, each with cookies of its own. What a page complains of fails the test."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        complaints = []

        async def new(path="/chat/ban-a", **options):
            context = await browser.new_context(viewport=PHONE, locale="vi-VN", has_touch=True, **options)
            page = await context.new_page()
            page.set_default_timeout(WITHIN * 1000)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on(
                "console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None
            )
            await page.goto(house.address + path)
            return page

        yield new
        await browser.close()
        assert complaints == []


async def say(page, text):
    await page.get_by_label("Viết cho").fill(text)
    await page.get_by_role("button", name="Gửi", exact=True).click()


def messages(page):
    return page.get_by_role("log").get_by_role("listitem")


async def event_of(house, kind):
    async with asyncio.timeout(WITHIN):
        found: list[object] = []
        while not found:
            found = [event for event in await house.events() if isinstance(event, kind)]
    return found[-1]


async def test_neighbours_see_each_other_live_and_a_reload_keeps_it(house, phone):
    one, other = await phone(), await phone()
    await say(one, "Mai họp ở nhà văn hoá nhé")
    await expect(messages(other)).to_have_text(re.compile("Mai họp ở nhà văn hoá nhé"))
    await say(other, "Vâng, tôi đến")
    await expect(messages(one)).to_have_count(2)
    await expect(messages(one).nth(0)).to_have_class("m mine")
    await expect(messages(one).nth(0)).to_contain_text("đã gửi")
    await expect(messages(one).nth(1)).to_have_class("m theirs")
    await expect(one.get_by_text("2 người")).to_be_visible()
    await one.reload()
    await expect(messages(one)).to_have_count(2)


async def test_a_press_is_answered_to_the_presser_alone(house, phone):
    one, other = await phone(), await phone()
    await house.post("Họp bản lúc 19 giờ.\n— UBND xã Mẫu · Mã TB-4K7Q", buttons=ACK)
    await one.get_by_role("button", name="✅ Đã nắm").click()
    press = await event_of(house, ButtonPressed)
    assert press.token == ACK[0][0].token
    await house.whisper(press.press_id, "Đã ghi: hộ 12 đã nắm.")
    await expect(messages(one)).to_contain_text("Chỉ mình bạn thấy: Đã ghi: hộ 12 đã nắm.")
    chat_id = (await group_of(house)).id
    shown = (await house.store.read(rooms.history, house.vault, chat_id, None))[0]
    figure = shown.payload.replace("✅ Đã nắm", "✅ Đã nắm · 1/62 hộ")
    await house.store.write(rooms.edit, house.vault, chat_id, str(shown.id), payload=figure)
    house.runtime.nudge_rooms()
    for page in (one, other):
        await expect(page.get_by_role("button", name="✅ Đã nắm · 1/62 hộ")).to_be_visible()
    await expect(messages(one)).to_contain_text("hộ 12 đã nắm"), "the answer outlives an edit"
    await expect(messages(other)).not_to_contain_text("hộ 12")
    await expect(one.get_by_role("link", name="TB-4K7Q")).to_have_attribute("href", "/tb/TB-4K7Q")


async def test_a_press_that_nobody_answers_leaves_no_waiting_behind(house, phone):
    page = await phone()
    await house.post("Họp bản. Mã TB-4K7Q", buttons=ACK)
    await page.get_by_role("button", name="✅ Đã nắm").click()
    await expect(page.get_by_text("đã gửi, đang chờ trả lời…")).to_be_visible()
    await expect(page.get_by_text("đang chờ trả lời")).to_have_count(0)


@pytest.mark.parametrize("answered", [pytest.param(True, id="late"), pytest.param(False, id="never")])
async def test_the_first_words_stay_ones_own_and_one_when_the_stream_is_faster_than_their_answer(
    house, phone, answered
):
    page, neighbour = await phone(), await phone()
    kept = asyncio.Event()

    async def keep_the_answer(route):
        answer = await route.fetch()
        await house.post("Họp bản lúc 19 giờ.")
        await expect(messages(neighbour)).to_have_count(2)
        await (route.fulfill(response=answer) if answered else route.abort())
        kept.set()

    await page.evaluate(WATCH_FOR_STRANGERS)
    await page.route("**/messages", keep_the_answer, times=1)
    await say(page, "lời đầu tiên")
    await asyncio.wait_for(kept.wait(), WITHIN)
    await expect(messages(page)).to_have_count(2)
    await expect(messages(page).nth(0)).to_contain_text("đã gửi")
    await expect(messages(page).nth(1)).to_contain_text("Họp bản lúc 19 giờ.")
    assert await page.evaluate("window.strangers") == []
    assert await stored(house) == 2


WATCH_FOR_STRANGERS = """() => {
    window.strangers = [];
    const note = () => document.querySelectorAll("#log .theirs").forEach((node) => {
        if (node.textContent.includes("lời đầu tiên")) window.strangers.push(node.textContent);
    });
    new MutationObserver(note).observe(document.getElementById("log"), { childList: true, subtree: true });
}"""


async def test_what_is_typed_without_a_line_is_sent_once_when_it_is_back(house, phone):
    page = await phone()
    await say(page, "có mạng")
    await expect(messages(page)).to_contain_text("đã gửi")
    await page.context.set_offline(True)
    await say(page, "đang ở trên nương")
    await expect(messages(page).nth(1)).to_contain_text("chưa gửi được, sẽ tự gửi khi có mạng")
    await expect(page.get_by_role("status")).to_contain_text("Mất kết nối")
    assert await stored(house) == 1
    await page.context.set_offline(False)
    await expect(messages(page).nth(1)).to_contain_text("đã gửi")
    await expect(page.get_by_role("status")).to_be_hidden()
    await expect(messages(page)).to_have_count(2)
    await page.reload()
    await expect(messages(page)).to_have_count(2)
    assert await stored(house) == 2


async def test_what_was_typed_before_the_page_was_closed_is_sent_when_it_opens(house, phone):
    page = await phone()
    await page.route("**/messages", lambda route: route.abort())
    await say(page, "giữ giúp tôi")
    await expect(messages(page)).to_contain_text("chưa gửi được")
    await page.unroute_all()
    await page.reload()
    await expect(messages(page)).to_contain_text("đã gửi")
    assert await stored(house) == 1


async def test_a_page_whose_cookie_is_gone_sends_all_the_same(house, phone):
    page = await phone()
    await page.context.clear_cookies()
    await say(page, "vẫn gửi được")
    await expect(messages(page)).to_contain_text("đã gửi")
    assert await stored(house) == 1


async def stored(house):
    return len(await house.store.read(lambda session: session.exec(select(RoomMessage)).all()))


async def test_a_private_question_reaches_nobody_else_and_its_answer_shows_on_the_tab(house, phone):
    page, neighbour = await phone("/chat/ban-a/private"), await phone()
    await say(page, "Làm giấy khai sinh ở đâu?")
    await expect(messages(page)).to_contain_text("đã gửi")
    room = (await house.events())[0].chat.id
    await page.get_by_role("link", name="Nhóm chung").click()
    await expect(page.get_by_role("link", name="Nhóm chung")).to_have_attribute("aria-current", "page")
    await house.post("Ở bộ phận một cửa của xã.", room=room)
    await expect(page.get_by_role("link", name="Hỏi riêng Loa bản 1")).to_be_visible()
    await page.get_by_role("link", name="Hỏi riêng").click()
    await expect(messages(page)).to_have_count(2)
    await expect(messages(neighbour)).to_have_count(0)


async def test_a_file_and_a_reply_arrive(house, phone):
    one, other = await phone(), await phone()
    await one.get_by_text("📎 Đính kèm").click()
    png = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
    await one.get_by_label("Ảnh", exact=True).set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": png})
    await say(one, "Đường vào bản")
    await expect(other.get_by_role("img", name="Ảnh: a.png")).to_be_visible()
    await other.get_by_role("link", name="Trả lời").click()
    await say(other, "Lầy quá")
    await expect(one.locator(".m .quote a")).to_have_text("Đường vào bản")


async def test_everything_works_without_javascript(house, phone):
    await house.post("Họp bản. Mã TB-4K7Q", buttons=ACK)
    page = await phone(java_script_enabled=False)
    await page.get_by_role("button", name="Vào nhóm").click()
    await say(page, "Chào cả nhà")
    await expect(messages(page)).to_have_count(2)
    await page.get_by_role("button", name="✅ Đã nắm").click()
    press = await event_of(house, ButtonPressed)
    await house.whisper(press.press_id, "Đã ghi.")
    await page.wait_for_load_state()
    await page.reload()
    await expect(messages(page).first).to_contain_text("Chỉ mình bạn thấy: Đã ghi.")


async def test_a_deep_link_is_used_after_a_press(house, phone):
    page = await phone("/chat/ban-a?start=h_3.x~y")
    await page.get_by_role("button", name="Bắt đầu").click()
    await expect(messages(page)).to_contain_text(re.compile("đã gửi.*Quét thẻ hộ", re.DOTALL))
    assert "h_3.x~y" not in page.url + await page.content()
    assert [event.text for event in await house.events()] == ["/start h_3.x~y"]


async def test_a_phone_can_hit_and_read_everything(house, phone):
    await house.post("Họp bản: " + "dài" * 200 + "\nMã TB-4K7Q", buttons=ACK)
    page = await phone()
    await say(page, "một từ rất " + "dài" * 100)
    await expect(messages(page)).to_have_count(2)
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for summary in await page.locator("summary").all():
        await summary.click()
    small = await page.evaluate(
        """() => [...document.querySelectorAll("button, a.button, a.reply, nav a, summary, textarea, input[type=file]")]
            .filter((node) => node.getClientRects().length && node.getBoundingClientRect().height < 44)
            .map((node) => node.outerHTML.slice(0, 80))"""
    )
    assert small == []
    sizes = await page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter((node) => node.textContent.trim())
            .map((node) => parseFloat(getComputedStyle(node).fontSize))"""
    )
    assert min(sizes) >= 16
