"""/truong in a real browser, on a phone's screen of 360 px and with a line that comes and goes."""

import asyncio
import json
import socket
from dataclasses import dataclass, field

import pytest
import uvicorn
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import ViewportSize, async_playwright, expect
from sqlmodel import col, select

from store import outbox
from store.tables import Errand, Household, Notice, NoticeTarget, Receipt, State
from tests.api.conftest import PASSWORD, House, opened
from tests.api.errand_rows import handed, link_code, png, relay_group, row_of
from tests.api.links_house import Resident, linked
from tests.browser import chromium
from tests.e2e.line import Line, line_to
from tests.e2e.service import until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE: ViewportSize = {"width": 360, "height": 640}
WITHIN = 20
WAITS = "Đã ghi trên máy, chờ có mạng để báo xã"
TAPS = "addEventListener('click', (e) => { if (e.isTrusted) window.taps = (window.taps || 0) + 1; }, true)"
expect.set_options(timeout=WITHIN * 1000)


@dataclass
class Served(House):
    """The house behind a line that a test can cut; `address` is where."""

    line: Line = field(kw_only=True)
    address: str = field(kw_only=True)


@pytest.fixture
async def served(tmp_path):
    async with opened(tmp_path, public_url="") as house:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            config = uvicorn.Config(
                house.app, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=1
            )
            server = uvicorn.Server(config)
            # A signal belongs to the test runner, not to a server inside of it.
            serving = asyncio.create_task(server._serve([listening]))
            async with line_to(listening.getsockname()[1]) as line:
                yield Served(house.app, house.clients, line=line, address=f"http://127.0.0.1:{line.port}")
            server.should_exit = True
            await serving


@pytest.fixture
async def phone(served):
    """Makes phones, each with cookies of its own. What a page complains of fails the test."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        complaints = []

        async def new(username: str | None = "truong1", **options):
            context = await browser.new_context(viewport=PHONE, locale="vi-VN", has_touch=True, **options)
            await context.grant_permissions(["clipboard-read", "clipboard-write"], origin=served.address)
            page = await context.new_page()
            page.set_default_timeout(WITHIN * 1000)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on(
                "console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None
            )
            page.on(
                "request",
                lambda asked: None if asked.url.startswith((served.address, "blob:")) else complaints.append(asked.url),
            )
            if username is not None:
                await page.goto(f"{served.address}/truong?ma={await link_code(served, username)}")
                await page.get_by_role("button", name="Nối máy này").click()
                await expect(page.get_by_role("heading", name="Tin cần chuyển")).to_be_visible()
            return page

        yield new
        await browser.close()
        assert complaints == []


async def carried(house, row: int) -> bool:
    return (await row_of(house, row)).state is State.SENT


async def becomes(house, row: int, state: State) -> None:
    async def look() -> bool:
        return (await row_of(house, row)).state is state

    await until(look, f"row {row} is {state}", within=WITHIN)


KEPT = """async () => {
    const links = [...document.querySelectorAll("a[data-file]")];
    const page = await caches.match(location.pathname);
    const own = await caches.match(document.querySelector("script[src]").src);
    return Boolean(page && own && links.every((link) => link.href.startsWith("blob:")));
}"""


async def kept(page) -> None:
    """Until all that is needed without a line is on the phone."""
    await until(lambda: page.evaluate(KEPT), "the page is kept on the phone", within=WITHIN)


COPIES = """async () => {
    const caches_ = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
    const kept = (await Promise.all(caches_.map((cache) => cache.keys()))).flat();
    return kept.map((request) => new URL(request.url).pathname).filter((path) => !path.startsWith("/static/"));
}"""
"""What of the person's own work lies on the phone."""


async def saved(page, name="Lưu ảnh") -> tuple[str, bytes]:
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name=name).click()
    download = await waiting.value
    return download.suggested_filename, (await download.path()).read_bytes()


def kit(page, row: int):
    return page.locator(f"#k{row}")


# ---------------------------------------------------------------- the whole way


async def test_a_head_handles_a_notice_in_three_taps_though_the_line_is_gone_in_the_middle(served, phone):
    picture = png(200)
    row = await handed(
        served, await relay_group(served), body="Mai họp bản lúc 8 giờ.\n\nMang theo sổ hộ.", picture=picture
    )
    page = await phone()
    await page.add_init_script(TAPS)
    await page.reload()
    await kept(page)

    await served.line.cut()  # the phone still shows bars: only nothing gets through
    await kit(page, row).get_by_role("button", name="Sao chép").click()
    await expect(kit(page, row).get_by_role("button", name="Đã chép")).to_be_visible()
    text = await kit(page, row).locator(".carry").inner_text()
    assert await page.evaluate("navigator.clipboard.readText()") == await page.locator(".carry").text_content()
    assert "Mang theo sổ hộ." in text
    code = text.rpartition("Mã ")[2].strip()
    assert await saved(page) == (f"{code}.png", picture)
    taps = await page.evaluate("window.taps")

    await page.context.set_offline(True)
    await page.reload()  # the phone killed the page while its owner was in Zalo
    await expect(kit(page, row).locator(".carry")).to_have_text(text)
    await expect(kit(page, row).locator("img")).to_have_js_property("naturalWidth", 200)
    await expect(page.locator("#fresh")).to_contain_text("Chưa có mạng")
    await kit(page, row).get_by_role("button", name="Đã chuyển").click()
    await expect(kit(page, row)).to_contain_text(WAITS)
    taps += await page.evaluate("window.taps")
    assert taps == 3
    assert not await carried(served, row)
    await page.reload()
    await expect(kit(page, row)).to_contain_text(WAITS)
    await expect(kit(page, row).get_by_role("button", name="Bấm nhầm, chưa chuyển")).to_be_visible()

    await served.line.mend()
    await page.context.set_offline(False)
    await becomes(served, row, State.SENT)
    await expect(page.get_by_role("status")).to_contain_text("Đã báo lúc")
    await expect(page.locator("#fresh")).not_to_contain_text("Chưa có mạng")
    assert await page.evaluate("Object.keys(localStorage)") == []
    await page.reload()
    await expect(page.get_by_text("Không còn tin nào chờ bác chuyển")).to_be_visible()
    await expect(kit(page, row)).to_contain_text("Đã báo lúc")


@pytest.mark.long
async def test_what_was_pressed_is_told_when_the_page_is_opened_again(served, phone):
    row = await handed(served, await relay_group(served))
    page = await phone()
    await kept(page)
    await served.line.cut()
    await kit(page, row).get_by_role("button", name="Đã chuyển").click()
    await expect(kit(page, row)).to_contain_text(WAITS)
    context = page.context
    await page.close()
    await served.line.mend()
    again = await context.new_page()
    await again.goto(served.address + "/truong")
    await becomes(served, row, State.SENT)
    await expect(kit(again, row)).to_contain_text("Đã báo lúc")


@pytest.mark.long
async def test_a_press_says_how_long_ago_it_was_made(served, phone):
    row = await handed(served, await relay_group(served))
    page = await phone()
    await kept(page)
    asked: list[dict[str, str]] = []
    page.on("request", lambda sent: asked.append(sent.post_data_json) if sent.method == "POST" else None)
    await page.context.set_offline(True)
    await kit(page, row).get_by_role("button", name="Đã chuyển").click()
    await page.evaluate(
        """() => {
            const key = Object.keys(localStorage)[0];
            const noted = JSON.parse(localStorage.getItem(key));
            noted[0].at -= 60000;
            localStorage.setItem(key, JSON.stringify(noted));
        }"""
    )
    await page.context.set_offline(False)
    await becomes(served, row, State.SENT)
    assert 60_000 <= int(asked[0]["ago"]) < 100_000


@pytest.mark.long
async def test_a_slip_without_a_line_is_forgotten_and_with_one_is_taken_back(served, phone):
    row = await handed(served, await relay_group(served))
    page = await phone()
    await kept(page)
    card = kit(page, row)
    await page.context.set_offline(True)
    await card.get_by_role("button", name="Đã chuyển").click()
    await card.get_by_role("button", name="Bấm nhầm").click()
    await expect(card.get_by_role("button", name="Đã chuyển")).to_be_visible()
    await expect(card.locator(".state")).to_be_hidden()
    assert await page.evaluate("Object.keys(localStorage)") == []
    await page.context.set_offline(False)
    await card.get_by_role("button", name="Đã chuyển").click()
    await expect(card).to_contain_text("Đã báo lúc")
    assert await carried(served, row)
    await card.get_by_role("button", name="Bấm nhầm").click()
    await becomes(served, row, State.HANDED)
    await expect(card.get_by_role("button", name="Đã chuyển")).to_be_visible()
    await expect(page.get_by_role("status")).to_contain_text("Đã ghi lại là chưa chuyển")


@pytest.mark.long
async def test_an_answer_that_got_lost_counts_once(served, phone):
    row = await handed(served, await relay_group(served))
    page = await phone()
    await kept(page)
    lost: list[str] = []

    async def lose_the_first(route):
        answer = await route.fetch()
        if lost:
            return await route.fulfill(response=answer)
        lost.append(route.request.url)
        return await route.abort()

    await page.context.route("**/da-chuyen", lose_the_first)
    await kit(page, row).get_by_role("button", name="Đã chuyển").click()
    await expect(kit(page, row)).to_contain_text("Đã báo lúc")
    assert len(lost) == 1
    done = await served.read(lambda s: s.get_one(Errand, row))
    assert done.done_at is not None
    assert await carried(served, row)


@pytest.mark.long
async def test_a_new_notice_appears_when_the_page_is_looked_at_again(served, phone):
    chat = await relay_group(served)
    page = await phone()
    await expect(page.get_by_text("Không còn tin nào chờ")).to_be_visible()
    row = await handed(served, chat, picture=png())
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(kit(page, row).get_by_role("button", name="Sao chép")).to_be_visible()
    await kept(page)


@pytest.mark.long
async def test_a_notice_that_was_stopped_meanwhile_says_so(served, phone):
    row = await handed(served, await relay_group(served))
    page = await phone()
    await kept(page)
    await page.context.set_offline(True)
    await kit(page, row).get_by_role("button", name="Đã chuyển").click()

    def stop(session):
        assert outbox.advance(session.connection(), row, outbox.Step.CANCEL)

    await served.write(stop)
    await page.context.set_offline(False)
    await expect(page.get_by_role("status")).to_contain_text("đã dừng")
    await expect(kit(page, row)).to_have_count(0)


# ---------------------------------------------------------------- copying, sharing


@pytest.mark.long
async def test_copying_works_without_the_clipboards_own_door(served, phone):
    row = await handed(served, await relay_group(served), body="Mai họp.\nMang sổ hộ.")
    page = await phone()
    await page.add_init_script("Object.defineProperty(Navigator.prototype, 'clipboard', {value: undefined})")
    await page.reload()
    await kit(page, row).get_by_role("button", name="Sao chép").click()
    await expect(kit(page, row).get_by_role("button", name="Đã chép")).to_be_visible()
    other = await page.context.new_page()
    await other.goto(served.address + "/truong")
    assert await other.evaluate("navigator.clipboard.readText()") == await page.locator(".carry").text_content()


@pytest.mark.long
async def test_long_words_are_copied_piece_by_piece(served, phone):
    row = await handed(served, await relay_group(served), body="Lịch cắt điện từng bản trong tuần. " * 40)
    page = await phone()
    copies = kit(page, row).get_by_role("button", name="Sao chép tin")
    pieces = await kit(page, row).locator(".carry").all()
    assert await copies.count() == len(pieces) >= 2
    await kit(page, row).get_by_role("button", name=f"Sao chép tin 2/{len(pieces)}").click()
    await expect(kit(page, row).get_by_role("button", name="Đã chép")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == await pieces[1].text_content()


@pytest.mark.long
async def test_the_phones_share_sheet_gets_the_words_and_the_picture(served, phone):
    picture = png()
    row = await handed(served, await relay_group(served), picture=picture)
    page = await phone()
    await page.add_init_script(
        """navigator.canShare = () => true;
        navigator.share = async (data) => { window.shared = data; };"""
    )
    await page.reload()
    await kept(page)
    await kit(page, row).get_by_role("button", name="Chia sẻ").click()
    await page.wait_for_function("window.shared")
    words = await page.evaluate("window.shared.text")
    size = await page.evaluate("window.shared.files[0].size")
    assert (words, size) == (await page.locator(".carry").text_content(), len(picture))
    assert await page.evaluate("navigator.clipboard.readText()") == words


# ---------------------------------------------------------------- điểm danh


async def heads(house) -> int:
    return len(await house.read(lambda s: s.exec(select(Receipt).where(col(Receipt.household_id).is_not(None))).all()))


@pytest.mark.long
async def test_households_are_ticked_without_a_line_and_told_together(served, phone):
    await served.notice()
    page = await phone()
    await page.locator("a[href*='diem-danh']").click()
    boxes = page.get_by_role("checkbox")
    await expect(boxes).to_have_count(4)
    await kept(page)
    posts: list[str] = []
    page.on("request", lambda asked: posts.append(asked.url) if asked.method == "POST" else None)
    await page.context.set_offline(True)
    for number in (0, 1, 2):
        await boxes.nth(number).check()
    await boxes.nth(1).uncheck()
    await page.get_by_label("Khoảng bao nhiêu người").fill("45")
    await page.get_by_role("button", name="Ghi số người").click()
    await expect(page.locator("#fresh")).to_contain_text("Còn 3 việc chờ báo xã")
    await page.reload()
    await expect(boxes.nth(0)).to_be_checked()
    await expect(boxes.nth(1)).not_to_be_checked()
    await expect(page.get_by_label("Khoảng bao nhiêu người")).to_have_value("45")
    assert await heads(served) == 0
    await page.context.set_offline(False)
    await expect(page.locator("label.tick").nth(2)).to_contain_text("Đã báo lúc")
    await expect(page.locator("form[data-kind=count]")).to_contain_text("Đã báo lúc")
    assert await heads(served) == 2
    assert len(posts) == 2, "boxes go together"
    told = await served.read(
        lambda s: s.exec(select(NoticeTarget.told_count).order_by(col(NoticeTarget.unit_id))).all()
    )
    assert list(told) == [45, None]
    await boxes.nth(0).uncheck()
    await expect(page.locator("label.tick").nth(0)).to_contain_text("Đã báo lúc")
    assert await heads(served) == 1
    await page.reload()
    await expect(boxes.nth(0)).not_to_be_checked()
    await expect(boxes.nth(2)).to_be_checked()


async def test_the_same_household_of_two_notices_is_ticked_apart(served, phone):
    codes = [(await served.notice())["code"] for _ in range(2)]
    first, second = [f"/truong/diem-danh/{code}/ban-1" for code in codes]
    page = await phone()
    boxes, count = page.get_by_role("checkbox"), page.get_by_label("Khoảng bao nhiêu người")
    for path in (second, first):
        await page.goto(served.address + path)
        await kept(page)
    await page.context.set_offline(True)
    await boxes.nth(0).check()
    await count.fill("45")
    await page.get_by_role("button", name="Ghi số người").click()
    await page.goto(served.address + second)
    await expect(boxes.nth(0)).not_to_be_checked()
    await expect(count).to_have_value("")
    await boxes.nth(0).check()
    await boxes.nth(1).check()
    await boxes.nth(0).uncheck()
    await count.fill("7")
    await page.get_by_role("button", name="Ghi số người").click()
    await page.goto(served.address + first)
    await expect(boxes.nth(0)).to_be_checked()
    await expect(boxes.nth(1)).not_to_be_checked()
    await expect(count).to_have_value("45")
    await page.context.set_offline(False)

    def look(session):
        rows = session.exec(
            select(Notice.code, Household.number)
            .join(Receipt, col(Receipt.notice_id) == Notice.id)
            .join(Household, col(Household.id) == Receipt.household_id)
        ).all()
        counts = session.exec(
            select(Notice.code, NoticeTarget.told_count)
            .join(NoticeTarget, col(NoticeTarget.notice_id) == Notice.id)
            .where(col(NoticeTarget.told_count).is_not(None))
        ).all()
        return {tuple(row) for row in rows}, {tuple(row) for row in counts}

    wanted = ({(codes[0], 1), (codes[1], 2)}, {(codes[0], 45), (codes[1], 7)})

    async def told() -> bool:
        return await served.read(look) == wanted

    await until(told, "both notices have their own ticks and counts", within=WITHIN)


# ---------------------------------------------------------------- whose it is


@pytest.mark.long
async def test_nothing_of_a_console_sign_in_stays_on_the_computer(served, phone):
    """With a phone's worker there already: the computer was linked once, to somebody else."""
    row = await handed(served, await relay_group(served), picture=png())
    page = await phone("tohelp")
    await kept(page)
    await page.context.clear_cookies()
    await page.goto(f"{served.address}/console/login")
    await page.get_by_label("Tên đăng nhập").fill("truong1")
    await page.get_by_label("Mật khẩu").fill(PASSWORD)
    await page.get_by_role("button", name="Đăng nhập").click()
    await expect(page.get_by_role("button", name="Đăng xuất")).to_be_visible()
    await page.goto(f"{served.address}/truong")
    await expect(kit(page, row).locator("img")).to_have_js_property("naturalWidth", 60)
    await page.goto(f"{served.address}{await page.locator('a[href*=diem-danh]').first.get_attribute('href')}")
    await expect(page.get_by_role("checkbox")).to_have_count(4)
    assert await page.evaluate(COPIES) == []
    await page.goto(f"{served.address}/console/")
    await page.get_by_role("button", name="Đăng xuất").click()
    await expect(page.get_by_label("Mật khẩu")).to_be_visible()
    await page.context.set_offline(True)
    for path in ("/truong", f"/truong/{row}/anh.png"):
        with pytest.raises(Exception, match="ERR_"):
            await page.goto(served.address + path)


@pytest.mark.long
async def test_a_computer_that_only_the_console_knows_gets_no_worker(served, phone):
    await handed(served, await relay_group(served))
    page = await phone(None)
    await page.goto(f"{served.address}/console/login")
    await page.get_by_label("Tên đăng nhập").fill("truong1")
    await page.get_by_label("Mật khẩu").fill(PASSWORD)
    await page.get_by_role("button", name="Đăng nhập").click()
    await page.goto(f"{served.address}/truong")
    await expect(page.get_by_role("button", name="Sao chép")).to_be_visible()
    assert await page.evaluate("navigator.serviceWorker.getRegistrations().then((all) => all.length)") == 0


@pytest.mark.long
async def test_signing_out_of_the_console_forgets_what_a_phones_page_kept(served, phone):
    await handed(served, await relay_group(served), picture=png())
    page = await phone()
    await kept(page)
    assert await page.evaluate(COPIES) != []
    await page.goto(f"{served.address}/console/login")
    await page.get_by_label("Tên đăng nhập").fill("truong1")
    await page.get_by_label("Mật khẩu").fill(PASSWORD)
    await page.get_by_role("button", name="Đăng nhập").click()
    await page.get_by_role("button", name="Đăng xuất").click()
    await expect(page.get_by_label("Mật khẩu")).to_be_visible()

    async def forgotten() -> bool:
        return await page.evaluate(COPIES) == []

    await until(forgotten, "the copies are gone", within=WITHIN)


@pytest.mark.long
async def test_signing_out_leaves_nothing_on_the_phone(served, phone):
    row = await handed(served, await relay_group(served), picture=png())
    page = await phone()
    await kept(page)
    await page.get_by_role("button", name="Đăng xuất máy này").click()
    await expect(page.get_by_label("Mã dùng một lần")).to_be_visible()
    assert await page.evaluate(COPIES) == []
    assert await page.evaluate("JSON.stringify(localStorage)") == "{}"
    await page.context.set_offline(True)
    with pytest.raises(Exception, match="Failed to fetch"):
        await page.evaluate(f"fetch('/truong/{row}/anh.png')")
    with pytest.raises(Exception, match="ERR_"):
        await page.goto(f"{served.address}/truong")


@pytest.mark.long
async def test_a_phone_that_was_ended_elsewhere_forgets_when_it_has_a_line(served, phone):
    row = await handed(served, await relay_group(served), picture=png())
    page = await phone()
    await kept(page)
    await page.context.clear_cookies()
    await page.reload()
    await expect(page.get_by_label("Mã dùng một lần")).to_be_visible()
    assert await page.evaluate(COPIES) == []
    assert await page.locator(f"#k{row}").count() == 0


@pytest.mark.long
async def test_signing_out_with_something_untold_asks_first(served, phone):
    row = await handed(served, await relay_group(served))
    page = await phone()
    await kept(page)
    await page.context.set_offline(True)
    await kit(page, row).get_by_role("button", name="Đã chuyển").click()
    await page.get_by_role("button", name="Đăng xuất máy này").click()
    await expect(page.get_by_role("status")).to_contain_text("chưa đăng xuất được")
    await page.context.set_offline(False)
    await becomes(served, row, State.SENT)


# ---------------------------------------------------------------- for everybody


async def test_everything_works_without_javascript(served, phone):
    picture = png()
    row = await handed(served, await relay_group(served), body="Mai họp bản.", picture=picture)
    page = await phone(java_script_enabled=False)
    await expect(kit(page, row)).to_contain_text("Mai họp bản.")
    for name in ("Sao chép", "Chia sẻ"):
        await expect(kit(page, row).get_by_role("button", name=name)).to_have_count(0)
    name, content = await saved(page)
    assert content == picture
    assert name.endswith(".png")
    await kit(page, row).get_by_role("button", name="Đã chuyển").click()
    await expect(kit(page, row)).to_contain_text("Đã báo lúc")
    assert await carried(served, row)
    await kit(page, row).get_by_role("button", name="Bấm nhầm").click()
    await expect(kit(page, row).get_by_role("button", name="Đã chuyển")).to_be_visible()
    assert not await carried(served, row)
    await page.locator("a[href*='diem-danh']").click()
    await page.get_by_role("checkbox").nth(1).check()
    await page.get_by_role("button", name="Ghi các hộ đã đánh dấu").click()
    await expect(page.get_by_role("checkbox").nth(1)).to_be_checked()
    assert await heads(served) == 1
    await page.goto(served.address + "/truong")
    await page.get_by_role("button", name="Đăng xuất máy này").click()
    await expect(page.get_by_label("Mã dùng một lần")).to_be_visible()


FINGERS = "button, a, label.tick, input:not([type=hidden]):not([type=checkbox]), audio"
LOOK = """(fingers) => {
    const main = document.querySelector("main");
    const shown = [...main.querySelectorAll(fingers)].filter((node) => node.getClientRects().length);
    const small = shown.filter((node) => node.getBoundingClientRect().height < 44);
    const written = [...main.querySelectorAll("*")].filter((node) => node.textContent.trim());
    return {
        small: small.map((node) => node.outerHTML.slice(0, 90)),
        wide: document.documentElement.scrollWidth,
        letters: Math.min(...written.map((node) => parseFloat(getComputedStyle(node).fontSize))),
    };
}"""


async def seen(page, letters: str) -> dict:
    """What is wrong for eyes and fingers, at this size of letters."""
    await page.evaluate("(size) => { document.documentElement.style.fontSize = size; }", letters)
    return await page.evaluate(LOOK, FINGERS)


async def test_a_phone_can_hit_and_read_everything_and_axe_finds_nothing_serious(served, phone):
    def label(session):
        for household in session.exec(select(Household)).all():
            household.sealed_label = served.runtime.vault.seal("nhà ông Lò Văn Hặc cạnh nhà văn hoá cũ")
            session.add(household)

    await served.write(label)
    chat = await relay_group(served)
    told = await handed(served, chat)
    row = await handed(served, chat, body="Họp bản: " + "dài" * 100, picture=png(1080))
    (asked,) = await linked(served, villages=["ban-1"], answers="attend")
    resident = Resident(served, asked)
    await resident.open()
    await resident.answer("help")
    page = await phone()
    await expect(page.get_by_role("heading", name="Cần giúp")).to_be_visible()
    await kit(page, told).get_by_role("button", name="Đã chuyển").click()
    await becomes(served, told, State.SENT)
    await page.reload()
    await kept(page)
    await expect(kit(page, row)).to_be_visible()
    roll = await page.locator("a[href*='diem-danh']").first.get_attribute("href")
    door = await phone(None)
    await door.goto(served.address + "/truong")
    for where, tab in (("/truong", page), (roll, page), ("/truong", door)):
        await tab.goto(served.address + where)
        await expect(tab.locator("h1")).to_be_visible()
        for letters in ("100%", "200%"):
            wrong = await seen(tab, letters)
            assert (wrong["small"], wrong["wide"]) == ([], PHONE["width"]), (where, letters)
            assert wrong["letters"] >= 15
        await tab.reload()
        found = await Axe().run(tab)
        serious = [one["id"] for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
        assert serious == [], json.dumps(found.response["violations"], ensure_ascii=False)[:2000]
