"""The front page's tour in a real browser, at 360 px: send a notice, see it, acknowledge it, carry it to the group that
no account of ours may enter, look at the figures."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.browser import chromium

pytestmark = [pytest.mark.browser, pytest.mark.e2e]

ROOT = Path(__file__).parent.parent.parent
PHONE = {"width": 360, "height": 740}
WITHIN = 30
expect.set_options(timeout=WITHIN * 1000)
BODY = "Mai 8 giờ họp bản ở nhà văn hoá.\n\nMỗi nhà cử một người đi. <b>_*[&"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """`loa demo` as a process; its address."""
    ours = ("LOA_", "TELEGRAM_", "ZALO_", "ADAPTERS")
    folder = tmp_path_factory.mktemp("demo")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    with subprocess.Popen(
        [sys.executable, "-m", "cli", "demo", "--port", "0", "--data", str(folder / "data")],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        try:
            found = (re.search(r"http://127\.0\.0\.1:[1-9]\d*", line) for line in process.stdout)
            yield next(address[0] for address in found if address)
        finally:
            process.terminate()
            process.stdout.read()
            process.wait(WITHIN)


class Phones:
    """Phones of people who do not know each other. What any page complains of is kept."""

    def __init__(self, browser, address: str) -> None:
        self._browser = browser
        self.address = address
        self.complaints: list[str] = []

    async def new(self, **options: object) -> Page:
        context = await self._browser.new_context(viewport=PHONE, locale="vi-VN", base_url=self.address, **options)
        context.set_default_timeout(WITHIN * 1000)
        context.on("page", self._watch)
        return await context.new_page()

    def _watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("request", lambda request: self._host(request.url))

    def _host(self, url: str) -> None:
        if url.startswith("http") and urlsplit(url).netloc != urlsplit(self.address).netloc:
            self.complaints.append(f"asked another host: {url}")


@pytest.fixture
async def phones(demo):
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        found = Phones(browser, demo)
        yield found
        await browser.close()
        assert found.complaints == []


async def fits(page: Page) -> None:
    """Nothing must be moved sideways to be read."""
    await page.wait_for_load_state("domcontentloaded")
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], page.url


async def enter(page: Page, label: str) -> None:
    """Sign in by one press on the front page."""
    await page.goto("/")
    await fits(page)
    await page.get_by_role("button", name=label).first.click()
    await page.wait_for_url("**/console/**")
    await fits(page)


@pytest.mark.slow
async def test_the_tour_from_the_front_page_to_the_figures(phones):
    author, second, resident = [await phones.new() for _ in range(3)]

    # 1. Send a notice; a second person releases it.
    await enter(author, "để soạn")
    await author.get_by_label("Nội dung").fill(BODY)
    await author.get_by_role("button", name="Xem trước").click()
    await expect(author.get_by_role("heading", name="Bà con sẽ thấy")).to_be_visible()
    await expect(author.locator(".bubble").first).to_contain_text("Mỗi nhà cử một người đi. <b>_*[&")
    await fits(author)
    await author.get_by_role("button", name="Gửi duyệt").click()
    await expect(author.get_by_text("Đang chờ người thứ hai duyệt")).to_be_visible()
    code = author.url.rpartition("/")[2]

    await enter(second, "để duyệt")
    await second.get_by_role("link", name=code).click()
    await expect(second.locator(".bubble").first).to_contain_text("Mỗi nhà cử một người đi.")
    await fits(second)
    await second.get_by_role("button", name="Duyệt và phát").click()
    # The page follows by itself until every group has it that we write to; one village keeps to its own Zalo group.
    await expect(second.locator(".figures")).to_contain_text("8/9 nhóm đã gửi")
    await expect(second.locator(".figures")).to_contain_text("0/1 nhóm đã chuyển tay")
    await fits(second)

    # 2. See it in a group, 3. acknowledge, and say which household it was.
    await resident.goto("/")
    group = resident.locator(".places a").first
    village = (await group.inner_text()).strip()
    await resident.goto(await group.get_attribute("href"))
    await expect(resident.get_by_role("log")).to_contain_text("Mỗi nhà cử một người đi. <b>_*[&")
    await fits(resident)
    await resident.get_by_role("button", name="Đã nắm").click()
    await expect(resident.get_by_role("log")).to_contain_text("Đã ghi tài khoản của bác: đã nắm")
    await expect(second.locator(".figures")).to_contain_text("1 tài khoản chưa gắn hộ")
    await resident.get_by_role("link", name="Hỏi riêng").first.click()
    await resident.get_by_role("textbox").fill("12")
    await resident.get_by_role("button", name="Gửi", exact=True).click()
    await expect(resident.get_by_role("log")).to_contain_text("hộ số 12")

    # 4. Look at the figures: live at the commune, and at the head's with the households still missing.
    await expect(second.locator(".figures")).to_contain_text(re.compile(r"1/\d+ hộ đã nắm"))
    head = await phones.new()
    await enter(head, village)
    await head.get_by_role("link", name="Mai 8 giờ họp bản").click()
    await head.get_by_role("link", name="hộ chưa nắm").click()
    await fits(head)
    await head.get_by_role("checkbox").nth(0).check()
    await head.get_by_role("checkbox").nth(1).check()
    await head.get_by_role("button", name="Ghi các hộ đã đánh dấu").click()
    await expect(head.get_by_role("heading", name="Đã ghi là báo tận nơi")).to_be_visible()
    await expect(second.locator(".figures")).to_contain_text(re.compile(r"3/\d+ hộ đã nắm"))
    await expect(second.get_by_text("2 trưởng bản ghi").first).to_be_visible()

    # 5. The head of the village with a Zalo group carries it there, and says so.
    carrier = await phones.new()
    await carrier.goto("/")
    await carrier.get_by_role("button", name="Vào như Trưởng bản Khe Vầu trên điện thoại").click()
    await carrier.wait_for_url("**/truong")
    kit = carrier.get_by_role("article")
    await expect(kit.get_by_role("heading", name="Bản Khe Vầu mình")).to_be_visible()
    await expect(kit).to_contain_text("Mỗi nhà cử một người đi. <b>_*[&")
    await expect(kit).to_contain_text(code)
    await fits(carrier)
    await kit.get_by_role("button", name="Đã chuyển", exact=True).click()
    await expect(second.locator(".figures")).to_contain_text("9/9 nhóm đã gửi")
    await expect(second.locator(".figures")).to_contain_text("1/1 nhóm đã chuyển tay")

    # A resident opens the village's own page of it, from the Zalo group.
    neighbour = await phones.new()
    await neighbour.goto("/")
    await fits(neighbour)
    await neighbour.goto(
        await neighbour.get_by_role("link", name="Xem trang bà con mở từ nhóm Zalo").get_attribute("href")
    )
    await expect(neighbour.get_by_text("Mỗi nhà cử một người đi.")).to_be_visible()
    await fits(neighbour)
    await neighbour.get_by_role("button", name="Nhà tôi đã nắm").click()
    await expect(neighbour.get_by_text("Đã ghi")).to_be_visible()
    await neighbour.get_by_label("Số hộ trong sổ").fill("7")
    await neighbour.get_by_role("button", name="Ghi số hộ").click()
    await expect(neighbour.get_by_text("Đã ghi: hộ số 7")).to_be_visible()
    await fits(neighbour)
    await expect(second.locator(".figures")).to_contain_text(re.compile(r"4/\d+ hộ đã nắm"))

    # And anybody can see that it is real.
    await resident.goto(f"/tb/{code}")
    await expect(resident.get_by_text("Thông báo thật")).to_be_visible()
    await fits(resident)
    table = await second.request.get(f"/console/notices/{code}/reach.csv")
    assert village in await table.text()


@pytest.mark.slow
async def test_the_console_needs_no_script(phones):
    author, second = [await phones.new(java_script_enabled=False) for _ in range(2)]
    await author.goto("/")
    await author.get_by_role("button", name="để soạn").click()
    await author.get_by_label("Nội dung").fill("Họp bản.")
    await author.get_by_role("button", name="Xem trước").click()
    await author.get_by_role("button", name="Gửi duyệt").click()
    await expect(author.get_by_text("Đang chờ người thứ hai duyệt")).to_be_visible()
    address = author.url
    await second.goto("/")
    await second.get_by_role("button", name="để duyệt").click()
    await second.goto(address)
    await second.get_by_role("button", name="Duyệt và phát").click()
    await expect(second.get_by_role("heading", name="Kết quả")).to_be_visible()
    figures = second.locator(".figures")
    for _ in range(WITHIN):
        if "8/9 nhóm" in await figures.inner_text():
            break
        await second.reload()
    await expect(figures).to_contain_text("8/9 nhóm đã gửi")
