"""Pictures of the running demo.

    python -m bench.screenshots            those of the docs, into docs/screenshots
    python -m bench.screenshots FOLDER     every page, for whoever looks the design over

Residents of several villages press in browsers of their own; nothing of it is drawn or filled in by hand. A machine
without an emoji font shows boxes for 📢 and ✅.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from bench.demo import Demo, demo
from tests.browser import chromium

DOCS = Path(__file__).parent.parent / "docs" / "screenshots"
IN_DOCS = ("front", "chat", "console-reach")
WIDTHS = {360: 740, 1280: 800}
"""A cheap phone and a desk, with the height of their window."""
BODY = (
    "Sáng thứ Bảy, 8 giờ, tại nhà văn hoá của bản: tiêm phòng lở mồm long móng cho trâu, bò.\n\n"
    "Mỗi hộ dắt trâu, bò của nhà mình tới. Thú y xã tiêm không thu tiền. Hộ nào bận, báo trưởng bản trước thứ Sáu."
)
PRESSES = {
    "na-pheo": (3, 5, 12, 18, 27),
    "huoi-may": (1, 9),
    "pa-lim": (4, 22, 31),
    "doi-che": (2, 6),
    "cau-treo": (15,),
}
"""Numbers of the households that answer, by village."""
WITHOUT_HOUSEHOLD = ("na-pheo", "khe-vau")


def main(folder: Path | None = None) -> None:
    where = folder or DOCS
    where.mkdir(parents=True, exist_ok=True)
    with demo() as here, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            code = _published(browser, here)
            for width in WIDTHS:
                with _page(browser, here, width) as page:
                    for name, path in _pages(code).items():
                        if folder or name in IN_DOCS:
                            _picture(page, here, path, where / f"{name}-{width}.png")
        finally:
            browser.close()


def _pages(code: str) -> dict[str, str]:
    """Residents' pages first: the console then signs in."""
    return {
        "front": "/",
        "chat": "/chat/na-pheo",
        "notice": f"/tb/{code}",
        "console-overview": "/console/",
        "console-compose": "/console/notices/new",
        "console-reach": f"/console/notices/{code}",
        "console-village": "/console/villages/na-pheo",
    }


def _published(browser: Browser, here: Demo) -> str:
    """The code of a notice that people have answered."""
    code = here.publish(BODY)
    for village, numbers in PRESSES.items():
        for number in numbers:
            _resident(browser, here, village, number)
    for village in WITHOUT_HOUSEHOLD:
        _resident(browser, here, village, None)
    with _page(browser, here, 1280) as page:  # figures on the button follow a few seconds later
        page.goto("/chat/na-pheo")
        page.get_by_role("button", name="✅ Đã nắm · 5/42 hộ").wait_for()
    return code


def _resident(browser: Browser, here: Demo, village: str, number: int | None) -> None:
    """Somebody opens the group, presses, and says the number of the house in private."""
    with _page(browser, here, 360) as page:
        page.goto(f"/chat/{village}")
        page.get_by_role("button", name="✅ Đã nắm").click()
        page.get_by_text("Chỉ mình bạn thấy").first.wait_for()
        if number is None:
            return
        page.goto(f"/chat/{village}/private")
        page.get_by_label("Viết cho").fill(str(number))
        page.get_by_role("button", name="Gửi", exact=True).click()
        page.get_by_text(f"hộ số {number}").first.wait_for()


def _sign_in(page: Page, password: str) -> None:
    page.goto("/console/login")
    page.locator("[name=username]").fill("vanhoa")
    page.locator("[name=password]").fill(password)
    page.locator("[name=password]").press("Enter")
    page.get_by_role("button", name="Đăng xuất").wait_for()


def _picture(page: Page, here: Demo, path: str, file: Path) -> None:
    page.goto(path)
    if "/console/login" in page.url:
        _sign_in(page, here.password)
        page.goto(path)
        assert "/console/login" not in page.url
    page.screenshot(path=file, animations="disabled")
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    print(file.name + (f"  scrolls sideways by {wide} px" if wide > 0 else ""), flush=True)


@contextmanager
def _page(browser: Browser, here: Demo, width: int) -> Iterator[Page]:
    """A browser of somebody's own: no cookie of anybody else's."""
    context = browser.new_context(
        base_url=here.url,
        viewport={"width": width, "height": WIDTHS[width]},
        locale="vi-VN",
        timezone_id="Asia/Ho_Chi_Minh",
    )
    context.set_default_timeout(20_000)
    try:
        yield context.new_page()
    finally:
        context.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
