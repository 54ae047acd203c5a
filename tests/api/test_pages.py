"""Pages that anybody may open."""

from dataclasses import replace

import pytest
import regex
from sqlmodel import select

from api import pages
from bot.households import card_token
from store.tables import Account, Chat, Household, Notice, NoticeState, Person
from tests.api.conftest import PUBLIC, found, opened
from tests.api.test_console import OGG, PNG, compose
from tests.bot.test_media import zipped

NASTY = '<script>alert("x")</script> "quoted" & \'single\' {{ 7*7 }} <img src=x onerror=alert(1)>'


async def test_a_notice_has_a_page_that_says_it_is_real(house):
    code = (await house.notice(body="Dòng một.\nDòng hai.\n\nĐoạn sau."))["code"]
    page = (await house.browser().get(f"/tb/{code}")).text
    assert "Thông báo thật" in page
    assert "Ban của Xã Mẫu phát lúc" in page
    assert "Dòng một.<br>" in page.replace("\n", "")
    assert "Đoạn sau." in page
    assert f"{PUBLIC}/tb/{code}" in page
    assert "<svg" in page


async def test_a_code_is_understood_however_it_is_typed_and_leads_to_the_notices_own_address(house):
    code = (await house.notice())["code"]
    for typed in (code.lower(), code.replace("-", ""), code.removeprefix("TB-").lower(), f" {code} "):
        answer = await house.browser().get(f"/tb/{typed}")
        assert (answer.status_code, answer.headers["location"]) == (307, f"/tb/{code}")
    waiting = (await house.notice(villages="all"))["code"]
    assert (await house.browser().get(f"/tb/{waiting.lower()}")).status_code == 404


async def test_a_code_is_checked_on_a_page_that_asks_for_nothing_else(house):
    code = (await house.notice())["code"]
    for path in ("/tb", "/tb/", "/tb/?ma=", "/tb/?ma=%20"):
        asks = await house.browser().get(path)
        assert asks.status_code == 200
        assert found(r'<form action="([^"]+)"', asks.text) == "/tb/"
        assert regex.findall(r'name="(\w+)"', asks.text.partition("<main")[2]) == ["ma"]
    for typed in (code, code.lower(), f" {code.removeprefix('TB-')} "):
        answer = await house.browser().get("/tb/", params={"ma": typed})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/tb/{code}")
    for wrong in ("TB-0000", "a/b", "../console", "x" * 900):
        answer = await house.browser().get("/tb/", params={"ma": wrong})
        assert answer.status_code == 404
        assert "Không có thông báo nào mang mã này" in answer.text


async def test_wrong_codes_typed_on_that_page_are_counted_like_others(house):
    guesser = house.browser(address="203.0.113.44")
    answers = [(await guesser.get("/tb/", params={"ma": f"TB-00{n:02}"})).status_code for n in range(pages.GUESSES)]
    assert answers == [404] * pages.GUESSES
    assert (await guesser.get("/tb/TB-0000")).status_code == 429


async def test_a_code_that_nobody_gave_out_is_warned_of(house):
    answer = await house.browser().get("/tb/TB-0000")
    assert answer.status_code == 404
    assert "Không có thông báo nào mang mã này" in answer.text
    assert "đừng làm theo" in answer.text
    nasty = await house.browser().get("/tb/<script>alert(1)</script>")
    assert "<script>alert" not in nasty.text


async def test_what_is_not_out_looks_like_what_is_not_there(house):
    waiting = (await house.notice(villages="all"))["code"]
    stopped = (await house.notice(villages="all"))["code"]
    await (await house.rest("canbo")).post(f"/api/v1/notices/{stopped}/cancel")
    draft = (await compose(await house.signed_in("canbo"))).rpartition("/")[2]
    texts = {
        (await house.browser().get(f"/tb/{code}")).text.replace(code, "")
        for code in (waiting, stopped, draft, "TB-0000")
    }
    assert len(texts) == 1
    for code in (waiting, stopped, draft):
        assert (await house.browser().get(f"/tb/{code}/qr.svg")).status_code == 404


async def test_a_recalled_notice_says_so_first(house):
    code = (await house.notice())["code"]

    def recall(session):
        notice = session.exec(select(Notice)).one()
        notice.state = NoticeState.RECALLED
        session.add(notice)

    await house.write(recall)
    page = (await house.browser().get(f"/tb/{code}")).text
    assert "đã thu hồi" in page
    assert "Thông báo thật" not in page


async def test_the_qr_code_comes_as_a_file_and_not_without_an_address(house, tmp_path_factory):
    code = (await house.notice())["code"]
    png, svg = [await house.browser().get(f"/tb/{code}/qr.{kind}") for kind in ("png", "svg")]
    assert png.content.startswith(b"\x89PNG")
    assert svg.headers["content-type"].startswith("image/svg+xml")
    async with opened(tmp_path_factory.mktemp("loopback"), public_url="http://localhost:8000") as local:
        code = (await local.notice())["code"]
        answer = await local.browser().get(f"/tb/{code}/qr.png")
        assert answer.status_code == 404
        assert "Chưa có địa chỉ công khai" in answer.text
        page = (await local.browser().get(f"/tb/{code}")).text
        assert "<svg" not in page
        assert "địa chỉ công khai" not in page, "a word for whoever runs the service"
        assert "localhost" not in page


async def test_attachments_open_but_can_do_nothing_under_our_name(house):
    browser = await house.signed_in("truong1")
    plan = ("kế hoạch.docx", zipped("word/document.xml"), "x/y")
    files = [("photos", ("anh.png", PNG, "x")), ("voice", ("noi.ogg", OGG, "x")), ("documents", plan)]
    address = await compose(browser, files=files, to="some", villages=[str((await house.village_ids())["ban-1"])])
    await browser.post_form(address, f"{address}/submit")
    code = address.rpartition("/")[2]
    page = (await house.browser().get(f"/tb/{code}")).text
    assert "Ghi âm: Tiếng Mông" in page
    found = {}
    for position in range(3):
        answer = await house.browser().get(f"/tb/{code}/files/{position}")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        found[answer.headers["content-type"]] = answer.headers["content-disposition"]
    assert found["image/png"].startswith("inline")
    assert found["audio/ogg"].startswith("inline")
    assert found["application/octet-stream"] == "attachment; filename*=UTF-8''k%E1%BA%BF%20ho%E1%BA%A1ch.docx"
    assert (await house.browser().get(f"/tb/{code}/files/9")).status_code == 404


async def test_guessing_codes_ends_and_harms_nobody_else(house):
    code = (await house.notice())["code"]
    guesser = house.browser(address="203.0.113.5")
    answers = [(await guesser.get(f"/tb/TB-{n:04}")).status_code for n in range(pages.GUESSES + 1)]
    assert answers == [404] * pages.GUESSES + [429]
    assert (await guesser.get(f"/tb/{code}")).status_code == 200, (
        "what is right is served to whoever shares the address"
    )
    assert (await house.browser(address="203.0.113.6").get(f"/tb/{code}")).status_code == 200


async def test_the_neighbours_of_an_ipv6_address_count_as_one(house):
    for n in range(pages.GUESSES):
        await house.browser(address=f"2001:db8:1:2::{n:x}").get("/tb/TB-0000")
    assert (await house.browser(address="2001:db8:1:2:ffff::1").get("/tb/TB-0000")).status_code == 429
    assert (await house.browser(address="2001:db8:1:3::1").get("/tb/TB-0000")).status_code == 404


async def test_a_household_card_shows_where_to_go_and_changes_nothing(house):
    def token(session):
        return card_token(house.runtime.house, session.exec(select(Household).where(Household.number == 2)).one())

    before = await house.read(lambda s: s.exec(select(Household)).all())
    card = await house.read(token)
    answer = await house.browser().get(f"/h/{card}")
    assert answer.status_code == 200
    assert "hộ số 2" in answer.text
    assert f'href="/chat/ban-1/private?start=h_{card}"' in answer.text
    assert await house.read(lambda s: s.exec(select(Account)).all()) == []
    assert await house.read(lambda s: s.exec(select(Household)).all()) == before
    assert (await house.browser().post(f"/h/{card}")).status_code == 403, "a form of ours brings its token"
    assert await house.read(lambda s: s.exec(select(Account)).all()) == []


async def test_a_messenger_whose_links_cannot_carry_a_card_is_left_out(house):
    def refuse(payload, group):
        raise ValueError("too long")

    known = house.runtime.house
    webchat = next(messenger for messenger in known.messengers.values() if messenger.adapter == "webchat")
    other = replace(webchat, channel_id=99, adapter="telegram", link=refuse)
    both = replace(known, messengers={**known.messengers, 99: other})
    assert [link.label for link in pages.card_links(both, "x", "")] == ["Mở bằng trang nhắn tin của bản"]


@pytest.mark.parametrize("token", ["x", "1-1.aaaaaaaaaaaaaaaaaaaa", "%00", "é", "a" * 3000])
async def test_a_forged_card_opens_nothing(house, token):
    answer = await house.browser().get(f"/h/{token}")
    assert answer.status_code == 404
    assert "Thẻ này không dùng được nữa" in answer.text


async def test_the_front_page_names_nobody_outside_of_the_demo(house):
    page = (await house.browser(address="127.0.0.1").get("/")).text
    assert "canbo" not in page
    assert "/demo/enter" not in page
    answer = await house.browser(address="127.0.0.1").post("/demo/enter", data={"person": "1"})
    assert answer.status_code == 404


async def test_in_the_demo_one_press_signs_in_from_this_machine_alone(tmp_path):
    async with opened(tmp_path, demo=True, public_url="http://127.0.0.1:8000") as house:
        person = str(await house.person_id("canbo"))
        here = house.browser(address="127.0.0.1")
        front = (await here.get("/")).text
        assert "Xem thử Loa Bản với Xã Mẫu" in front
        assert "/chat/ban-1" in front
        assert (await here.post("/demo/enter", data={"person": person})).status_code == 403, "from another site"
        answer = await here.post_form("/", "/demo/enter", person=person, to="/console/notices/new")
        assert answer.headers["location"] == "/console/notices/new"
        assert (await here.get("/console/notices/new")).status_code == 200
        answer = await here.post_form("/", "/demo/enter", person=person, to="https://xau.example/")
        assert answer.headers["location"] == "/console/"
        assert (await here.post_form("/", "/demo/enter", person="99999")).status_code == 404

        for browser in (
            house.browser(address="198.51.100.7"),
            house.browser(address="127.0.0.1", base="http://xau.example"),  # a foreign name that points here
        ):
            page = await browser.get("/")
            assert "/demo/enter" not in page.text
            assert (await browser.post("/demo/enter", data={"person": person})).status_code == 404


async def test_nothing_that_people_typed_becomes_markup(house):
    code = (await house.notice(body=NASTY))["code"]
    waiting = (await house.notice(body=NASTY, villages="all"))["code"]

    def rename(session):
        for row in session.exec(select(Chat)).all():
            row.title = NASTY
            session.add(row)
        for row in session.exec(select(Person)).all():
            row.name = NASTY
            session.add(row)

    await house.write(rename)
    admin, author, head = [await house.signed_in(name) for name in ("quantri", "canbo", "truong1")]
    seen = [
        await house.browser().get(f"/tb/{code}"),
        *[await author.get(path) for path in ("/console/", "/console/notices", "/console/people", "/console/me")],
        *[await author.get(f"/console/notices/{c}") for c in (code, waiting)],
        await head.get("/console/villages/ban-1"),
        await admin.get("/console/people"),
    ]
    for answer in seen:
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text, answer.url
        assert "<img src=x" not in answer.text, answer.url
    assert "&lt;script&gt;alert" in seen[0].text


async def test_no_page_holds_inline_script_or_style_or_loads_from_elsewhere(house):
    code = (await house.notice())["code"]
    waiting = (await house.notice(villages="all"))["code"]
    author, head, admin = [await house.signed_in(name) for name in ("canbo", "truong1", "quantri")]
    anybody = house.browser()
    visits = [
        *[
            (anybody, path)
            for path in ("/", f"/tb/{code}", "/tb/TB-0000", "/h/x", "/console/login", "/api/docs", "/nope")
        ],
        *[
            (author, path)
            for path in (
                "/console/",
                "/console/notices",
                "/console/notices/new",
                f"/console/notices/{code}",
                f"/console/notices/{waiting}",
                "/console/villages",
                "/console/villages/ban-1",
                "/console/people",
                "/console/me",
            )
        ],
        (head, f"/console/villages/ban-1/missing/{code}"),
        (admin, "/console/system"),
    ]
    for browser, path in visits:
        answer = await browser.get(path)
        html = regex.sub(r"(?s)<textarea.*?</textarea>", "", answer.text)  # what stands in one is text to copy
        assert not regex.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html), path
        assert all("src=" in tag for tag in regex.findall(r"<script[^>]*>", html)), path
        loaded = regex.findall(r'<(?:link|script|img|audio|iframe)[^>]+(?:href|src)="([^"]*)"', html)
        assert all(regex.match(r"/(?!/)|data:image/png;base64,", address) for address in loaded), path
        assert '<html lang="vi">' in html
        assert 'name="viewport"' in html
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        parts = [await anybody.get(address) for address in set(loaded) if address.startswith("/static/")]
        assert len(answer.content) + sum(len(part.content) for part in parts) < 60_000, path
        if path.startswith("/console"):
            assert answer.headers["cache-control"] == "no-store", path


async def test_static_files_are_kept_for_ever_under_the_name_of_their_content(house):
    page = (await house.browser().get("/")).text
    address = found(r'href="(/static/loa.css\?v=\w+)"', page)
    assert "immutable" in (await house.browser().get(address)).headers["cache-control"]
    assert (await house.browser().get("/static/loa.css")).headers["cache-control"] == "no-cache"
    assert (await house.browser().get("/static/../main.py")).status_code == 404


async def test_a_mistake_of_ours_is_a_page_in_words_with_the_same_headers(house):
    class Broken:
        dialect = "sqlite"

        async def read(self, *_, **__):
            raise RuntimeError("a mistake")

    browser = await house.signed_in("canbo")
    store, house.runtime.store = house.runtime.store, Broken()
    page, told = (
        await browser.get("/console/"),
        await browser.get("/api/v1/notices", headers={"authorization": "Bearer x"}),
    )
    house.runtime.store = store
    assert page.status_code == told.status_code == 500
    assert "Có lỗi trong hệ thống" in page.text
    assert "a mistake" not in page.text
    assert "content-security-policy" in page.headers
    assert told.json()["error"]["code"] == "internal"


async def test_the_monitor_is_told_how_we_are(house):
    browser = house.browser()
    assert (await browser.get("/healthz")).json() == {"ok": True}
    assert (await browser.get("/readyz")).json()["ok"] is True
    await house.notice()
    figures = (await house.browser(address="127.0.0.1").get("/metrics")).text
    assert 'loa_outbox_rows{state="queued"} 2' in figures
    assert "loa_events_aside 0" in figures


async def test_figures_of_the_house_are_for_this_machine_and_for_an_admins_token(house):
    answers = {name: (await (await house.rest(name)).get("/metrics")).status_code for name in ("quantri", "canbo")}
    assert answers == {"quantri": 200, "canbo": 403}
    assert (await house.browser().get("/metrics")).status_code == 401
    named = house.browser(address="127.0.0.1", base="https://loa.xa.example")
    assert (await named.get("/metrics")).status_code == 401, "a web server on this machine passes strangers on"


async def test_asking_whether_we_are_ready_writes_once_in_a_while(house):
    browser = house.browser()
    await browser.get("/readyz")
    before = house.runtime.store.commits
    for _ in range(5):
        assert (await browser.get("/readyz")).status_code == 200
    assert house.runtime.store.commits <= before + 1


async def test_a_wrong_card_is_counted_and_a_right_one_is_always_served(house):
    guesser = house.browser(address="203.0.113.5")
    answers = [(await guesser.get(f"/h/{n}")).status_code for n in range(pages.GUESSES + 1)]
    assert answers == [404] * pages.GUESSES + [429]

    def token(session):
        return card_token(house.runtime.house, session.exec(select(Household)).first())

    assert (await guesser.get(f"/h/{await house.read(token)}")).status_code == 200
