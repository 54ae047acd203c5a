"""A village's page of a notice in a real browser, on a phone's screen of 360 px, without JavaScript."""

import asyncio
import re
import socket

import pytest
import uvicorn
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import ViewportSize, async_playwright, expect

from store.tables import NoticeState, State
from tests.api.conftest import opened
from tests.api.links_house import ZALO, figures, linked, opens, signed_in, state_of
from tests.api.test_links import card_of, change
from tests.browser import chromium

pytestmark = pytest.mark.browser

SCREEN: ViewportSize = {"width": 360, "height": 640}
WITHIN = 20
LONG = (
    "Kính mời bà con dự họp bản vào 19 giờ 30 ngày thứ bảy tại nhà văn hoá bản.\n"
    "Nội dung: đường liên bản, tiêm phòng gia súc, phòng chống cháy rừng.\n\n"
    "Mỗi hộ cử một người. Xem https://xa-mau.example.gov.vn/thong-bao/2026/11/rat-dai-khong-co-cho-ngat-dong-12345678"
)
SERIOUS = ("serious", "critical")
expect.set_options(timeout=WITHIN * 1000)


@pytest.fixture
async def house(tmp_path):
    """The commune, served; `house.address` is where."""
    async with opened(tmp_path) as house:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            house.address = f"http://127.0.0.1:{listening.getsockname()[1]}"  # type: ignore[attr-defined]
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

        async def new(path, **options):
            context = await browser.new_context(
                **{
                    "viewport": SCREEN,
                    "locale": "vi-VN",
                    "has_touch": True,
                    "java_script_enabled": False,
                    "user_agent": ZALO,
                    **options,
                }
            )
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


async def counted(house, link, number):
    """The picture is loaded beside the page, so that its open may be written a moment later."""
    async with asyncio.timeout(WITHIN):
        now = None
        while now != number:
            now = await opens(house, link)


async def fits(page) -> bool:
    """Nothing has to be pushed sideways to be read."""
    return await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


async def test_a_resident_reads_answers_and_names_the_household_without_javascript(house, phone):
    link, _ = await linked(house, body=LONG)
    await signed_in(house)
    page = await phone(link.path)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Thông báo gửi Bản Một")
    await counted(house, link, 1)
    assert await state_of(house, link) is State.SENT
    await page.get_by_role("button", name="Nhà tôi đã nắm").tap()
    await expect(page.get_by_role("status")).to_contain_text("Đã ghi: máy này (chưa gắn hộ)")
    await page.get_by_label("Số hộ trong sổ của Bản Một").fill("9")
    await page.get_by_role("button", name="Ghi số hộ").tap()
    await expect(page.get_by_role("alert")).to_contain_text("không có hộ số 9")
    await page.get_by_label("Số hộ trong sổ của Bản Một").fill("3")
    await page.get_by_role("button", name="Ghi số hộ").tap()
    await expect(page.get_by_role("status")).to_contain_text("Đã ghi: hộ số 3")
    await page.reload()
    row = await figures(house, link)
    assert (row.number, row.unlinked, row.opens) == (1, 0, 1)

    (second,) = await linked(house, villages=["ban-1"], answers="attend")
    await page.goto(house.address + second.path)
    await page.get_by_role("button", name="Tham gia").tap()
    await expect(page.get_by_role("status")).to_contain_text("Đã ghi: hộ số 3 – tham gia")
    await page.get_by_role("button", name="Vắng").tap()
    await expect(page.get_by_role("status")).to_contain_text("hộ số 3 – vắng")
    row = await figures(house, second)
    assert (row.number, row.join, row.absent, row.opens) == (1, 0, 1, 1)


@pytest.mark.long
async def test_who_does_not_remember_is_not_asked_again(house, phone):
    link, _ = await linked(house)
    page = await phone(link.path)
    await page.get_by_role("button", name="Nhà tôi đã nắm").tap()
    await page.get_by_role("button", name="Không nhớ").tap()
    await expect(page.get_by_role("status")).to_contain_text("Đã ghi")
    await expect(page.get_by_role("textbox")).to_have_count(0)
    await page.get_by_role("link", name="Khai số hộ").tap()
    await expect(page.get_by_role("textbox")).to_have_count(1)


@pytest.mark.long
async def test_a_card_ties_this_phone_to_its_household_and_leads_back(house, phone):
    link, _ = await linked(house)
    page = await phone(link.path)
    await page.get_by_role("button", name="Nhà tôi đã nắm").tap()
    await expect(page.get_by_role("status")).to_contain_text("chưa gắn hộ")
    await page.goto(f"{house.address}/h/{await card_of(house, 2)}")
    await page.get_by_role("button", name="Gắn máy này với hộ số 2").tap()
    await expect(page.get_by_role("status")).to_contain_text("Máy này đã gắn với hộ số 2")
    await page.get_by_role("link", name="Về thông báo").tap()
    await expect(page.get_by_role("status")).to_contain_text("Đã ghi: hộ số 2")
    assert (await figures(house, link)).card == 1


@pytest.mark.long
async def test_with_pictures_switched_off_the_answer_counts_the_open(house, phone):
    link, _ = await linked(house)
    page = await phone("/static/icon.svg")
    await page.context.route("**/*.gif", lambda route: route.abort())
    await page.goto(house.address + link.path)
    await page.get_by_role("button", name="Nhà tôi đã nắm").tap()
    await expect(page.get_by_role("status")).to_contain_text("Đã ghi")
    await counted(house, link, 1)


@pytest.mark.parametrize("letters", [pytest.param("100%", marks=pytest.mark.long), "200%"])
async def test_every_state_of_the_page_is_readable_and_accessible(house, phone, letters):
    """JavaScript is on here for the checker alone."""
    link, _ = await linked(house, body=LONG, answers="attend", due_at="2030-11-21T08:00:00+07:00")
    page = await phone(link.path, java_script_enabled=True, bypass_csp=True)

    async def look(what):
        await page.evaluate(f"document.documentElement.style.fontSize = '{letters}'")
        assert await fits(page), what
        found = await Axe().run(page)
        assert [v["id"] for v in found.response["violations"] if v["impact"] in SERIOUS] == [], what

    await look("not answered")
    await page.get_by_role("button", name="Cần giúp").tap()
    await expect(page.get_by_role("status")).to_contain_text("cần giúp")
    await look("asked for the household")
    await page.get_by_label("Số hộ").fill("99")
    await page.get_by_role("button", name="Ghi số hộ").tap()
    await expect(page.get_by_text("không có hộ số 99")).to_be_visible()
    await look("refused")
    await page.get_by_label("Số hộ").fill("1")
    await page.get_by_role("button", name="Ghi số hộ").tap()
    await expect(page.get_by_role("status")).to_contain_text("hộ số 1")
    await look("answered")
    await change(house, link, body=LONG + "\n\nĐổi sang thứ hai.")
    await page.goto(house.address + link.path)
    await expect(page.get_by_text("đã được sửa lúc")).to_be_visible()
    await look("corrected")
    await page.goto(f"{house.address}/tb/{link.code}")
    await look("corrected, at the public page")
    await page.goto(f"{house.address}/tb/")
    await look("where a code is checked")
    await change(house, link, body="Hoãn họp.", state=NoticeState.RECALLED)
    await page.goto(house.address + link.path)
    await expect(page.get_by_text(re.compile("đã thu hồi"))).to_be_visible()
    await look("recalled")
    await page.goto(f"{house.address}/h/{await card_of(house, 1)}")
    await look("a card")
    await change(house, link, revoked=True)
    await page.goto(house.address + link.path)
    await look("revoked")
