"""/truong: who comes in, what is shown to whom, and that each press counts once."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import col, select

from api import auth
from bot import people
from store import files
from store.tables import (
    Attachment,
    Audit,
    Errand,
    FileKind,
    Holder,
    Household,
    Notice,
    NoticeTarget,
    OneTimeCode,
    Person,
    Reach,
    Receipt,
    State,
    WebSession,
)
from tests.api import links_house
from tests.api.conftest import HOUSEHOLDS, csrf_in, found
from tests.api.errand_rows import hand, handed, link_code, png, relay_group, row_of

JSON = {"accept": "application/json"}
MOST_BYTES = 40_000
"""Of the page with its style and script, without its pictures."""


async def linked(house, username="truong1", **options):
    """A phone, linked the way people do it."""
    browser = house.browser(**options)
    answer = await browser.post_form("/truong", "/truong/vao", ma=await link_code(house, username))
    assert (answer.status_code, answer.headers["location"]) == (303, "/truong")
    return browser


async def press(browser, outbox_id, what="da-chuyen", *, headers=None, **fields):
    token = {"csrf": csrf_in(await browser.get("/truong"))}
    return await browser.post(f"/truong/{outbox_id}/{what}", data={**token, **fields}, headers=headers or {})


# ---------------------------------------------------------------- the door


async def test_a_code_links_the_phone_once_and_for_long(house):
    browser, code = house.browser(), await link_code(house, "truong1")
    page = await browser.get(f"/truong?ma={code.lower()}")
    assert f'value="{code.lower()}"' in page.text
    assert "set-cookie" in page.headers
    assert auth.PHONE not in page.headers["set-cookie"], "a scanner that opens the link links nothing"
    used = await house.read(lambda s: s.exec(select(OneTimeCode.used_at)).all())
    assert list(used) == [None]

    answer = await browser.post("/truong/vao", data={"csrf": csrf_in(page), "ma": code.lower().replace("-", " ")})
    assert answer.status_code == 303
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(auth.PHONE)).lower()
    assert all(part in cookie for part in ("httponly", "samesite=lax", "path=/", "max-age=34560000"))
    page = await browser.get("/truong")
    assert "Máy này là của: Trưởng bản Một" in page.text
    assert page.headers["cache-control"] == "no-store"
    kept = await house.read(lambda s: [row.model_dump() for row in s.exec(select(WebSession)).all()])
    assert [row["is_phone"] for row in kept] == [True]
    assert browser.cookies[auth.PHONE] not in repr(kept)
    assert "phone linked" in await house.read(lambda s: list(s.exec(select(Audit.action)).all()))

    again = await house.browser().post_form("/truong", "/truong/vao", ma=code)
    assert again.status_code == 422
    assert "Mã không đúng, đã dùng rồi" in again.text


async def test_a_linked_phone_opens_nothing_of_the_console_and_the_console_opens_this_page(house):
    phone = await linked(house)
    assert (await phone.get("/console/")).headers["location"] == "/console/login"
    phone.cookies.set(auth.COOKIE, phone.cookies[auth.PHONE])
    assert (await phone.get("/console/")).headers["location"] == "/console/login"
    head = await house.signed_in("truong1")
    assert "Máy này là của: Trưởng bản Một" in (await head.get("/truong")).text
    head.cookies.delete(auth.COOKIE)
    assert "Mã dùng một lần" in (await head.get("/truong")).text


async def test_who_has_no_duty_is_told_so_and_keeps_the_code(house):
    def retire(session):
        person = people.add_person(session, "Người mới", None, now=datetime.now(UTC))
        return people.new_link_code(session, house.runtime.house, person, now=datetime.now(UTC))

    code = await house.write(retire)
    answer = await house.browser().post_form("/truong", "/truong/vao", ma=code)
    assert answer.status_code == 422
    assert "chưa được giao việc" in answer.text
    used = await house.read(lambda s: s.exec(select(OneTimeCode.used_at)).all())
    assert list(used) == [None]


async def test_an_office_that_is_handed_over_shuts_the_old_phone(house):
    phone = await linked(house)

    def over(session):
        ids = {p.username: p for p in session.exec(select(Person)).all()}
        people.handover(session, None, ids["truong1"], ids["xem"], now=datetime.now(UTC))

    await house.write(over)
    assert "Mã dùng một lần" in (await phone.get("/truong")).text
    refused = await phone.post("/truong/1/da-chuyen", data={"csrf": "x"}, headers=JSON)
    assert refused.status_code == 401
    assert "đăng nhập lại" in refused.json()["error"]


async def test_guessing_codes_is_limited_for_one_browser_and_for_one_address(house):
    browser, good = house.browser(address="203.0.113.9"), await link_code(house, "truong1")
    for number in range(people.GUESSES):
        answer = await browser.post_form("/truong", "/truong/vao", ma=f"2222-33{number}4")
        assert answer.status_code == 422
    answer = await browser.post_form("/truong", "/truong/vao", ma=good)
    assert answer.status_code == 429, "even a right one waits"
    # Whoever throws the cookie away is counted by the address; neighbours behind other addresses are not.
    for _ in range(auth.ALLOWED):
        answer = await house.browser(address="203.0.113.9").post_form("/truong", "/truong/vao", ma="2222-3334")
    assert answer.status_code == 429
    assert "sai nhiều lần" in answer.text
    assert (await house.browser().post_form("/truong", "/truong/vao", ma=good)).status_code == 303


async def test_signing_out_ends_all_that_this_machine_holds(house):
    phone = await linked(house)
    await phone.sign_in("truong1")
    held = dict(phone.cookies)
    assert (await phone.post("/truong/ra", data={"csrf": "x"})).status_code == 403
    answer = await phone.post_form("/truong", "/truong/ra")
    assert (answer.status_code, answer.headers["location"]) == (303, "/truong")
    assert auth.PHONE not in phone.cookies
    assert auth.COOKIE not in phone.cookies
    phone.cookies.update(held)  # somebody kept the cookies: they open nothing any more
    assert "Mã dùng một lần" in (await phone.get("/truong")).text
    assert (await phone.get("/console/")).status_code == 303


async def test_phones_are_listed_among_sign_ins_and_can_be_ended(house):
    phone, head = await linked(house), await house.signed_in("truong1")
    listed = await head.get("/console/me")
    assert "Điện thoại mở trang việc của trưởng bản" in listed.text
    ended = await head.post_form("/console/me", found(r'action="(/console/me/sessions/\d+/end)"', listed.text))
    assert ended.status_code == 303
    assert "Mã dùng một lần" in (await phone.get("/truong")).text


# ---------------------------------------------------------------- what waits


async def test_nothing_to_carry_is_said_warmly(house):
    page = await (await linked(house)).get("/truong")
    assert "Không còn tin nào chờ bác chuyển" in page.text


async def test_the_page_shows_the_kit_urgent_first_and_the_newest_above(house):
    chat_id = await relay_group(house)
    picture = png()
    first = await handed(house, chat_id, body="Mai họp bản lúc 8 giờ.", picture=picture)
    second = await handed(house, chat_id, body="Chiều nay cắt nước.", picture=png())
    urgent = await handed(house, chat_id, body="Lũ về, lên nhà văn hoá ngay.", picture=png(), urgent=True)
    phone = await linked(house)
    page = await phone.get("/truong")
    order = [page.text.index(f'id="k{row}"') for row in (urgent, second, first)]
    assert order == sorted(order)
    for words in (
        "Nhóm Bà con Bản Một",
        "Mai họp bản lúc 8 giờ.",
        "Khẩn",
        "Đã chuyển",
        "Lưu ảnh",
        "vào nhóm Bà con Bản Một",
    ):
        assert words in page.text
    token = await house.read(lambda s: s.exec(select(NoticeTarget.link_token)).first())
    assert f"/t/{token}" in page.text
    answer = await phone.get(f"/truong/{first}/anh.png")
    assert (answer.content, answer.headers["content-type"]) == (picture, "image/png")
    again = await phone.get(f"/truong/{first}/anh.png", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b""), "a thin line carries it once"
    assert again.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("path", ["anh.png", "tep/1"])
@pytest.mark.parametrize("who", ["truong2", "tohelp", "xakhac", "xem"])
async def test_somebody_elses_kit_is_not_found(house, who, path):
    row = await handed(house, await relay_group(house), picture=png())
    phone = await linked(house, who)
    assert (await phone.get(f"/truong/{row}/{path}")).status_code == 404
    answer = await press(phone, row, headers=JSON)
    assert answer.status_code == 404
    assert (await press(phone, row)).status_code == 404
    assert f'id="k{row}"' not in (await phone.get("/truong")).text
    assert (await row_of(house, row)).state is State.HANDED


async def test_a_recording_is_heard_and_saved_and_a_document_is_only_saved(house):
    row = await handed(house, await relay_group(house), picture=png())
    sound, paper = b"OggS" + bytes(100), b"%PDF-1.7 " + bytes(50)

    def attach(session):
        now, notice_id = datetime.now(UTC), session.get_one(Errand, row).notice_id
        for position, (kind, name, media_type, content) in enumerate(
            ((FileKind.DOCUMENT, "don.pdf", "application/pdf", paper), (FileKind.VOICE, "loi.ogg", "audio/ogg", sound))
        ):
            file_id = files.keep(session, content, media_type, now=now)
            attachment = Attachment(notice_id=notice_id, file_id=file_id, position=position, kind=kind, name=name)
            session.add(attachment)

    await house.write(attach)
    phone = await linked(house)
    page = await phone.get("/truong")
    assert f'<audio controls preload="none" src="/truong/{row}/tep/1"' in page.text
    assert "Lưu ghi âm" in page.text
    assert "Lưu tệp don.pdf" in page.text
    heard, saved = await phone.get(f"/truong/{row}/tep/1"), await phone.get(f"/truong/{row}/tep/2")
    assert (heard.content, heard.headers["content-type"]) == (sound, "audio/ogg")
    assert saved.content == paper
    assert "sandbox" in saved.headers["content-security-policy"]
    for wrong in (0, 3):
        assert (await phone.get(f"/truong/{row}/tep/{wrong}")).status_code == 404


async def test_what_does_not_exist_is_not_found(house):
    phone = await linked(house)
    for path in ("/truong/1/anh.png", f"/truong/{2**70}/anh.png", "/truong/1/tep/1", "/truong/diem-danh/TB-2222/ban-1"):
        assert (await phone.get(path)).status_code == 404
    assert (await house.browser().get("/truong/1/anh.png")).headers["location"] == "/truong"


async def test_the_page_is_light_and_asks_nobody_else(house):
    for number in range(3):
        chat = await relay_group(house, title=f"Bà con {number}")
        await handed(house, chat, body="Lịch cắt điện. " * 40, picture=png())
    phone = await linked(house)
    page = await phone.get("/truong")
    own = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
    sizes = {path: len((await phone.get(path)).content) for path in own}
    assert {path.partition("?")[0] for path in own} >= {"/static/loa.css", "/static/truong.css", "/static/truong.js"}
    assert len(page.content) + sum(sizes.values()) <= MOST_BYTES, sizes
    assert re.findall(r'(?:href|src|action)="(?!/|#)', page.text) == []
    worker = await phone.get("/truong/sw.js")
    assert (worker.headers["service-worker-allowed"], worker.headers["cache-control"]) == ("/truong", "no-cache")
    assert worker.headers["content-type"].startswith("text/javascript")


async def test_a_fresh_copy_is_only_sent_when_something_changed(house):
    phone = await linked(house)
    page = await phone.get("/truong")
    mark = found(r'data-mark="([0-9a-f]+)"', page.text)
    same = await phone.get("/truong", headers={"x-loa-mark": mark})
    assert (same.status_code, same.content) == (204, b"")
    assert same.headers["x-loa-who"] == page.headers["x-loa-who"]
    assert same.headers["x-loa-at"]
    await handed(house, await relay_group(house))
    assert (await phone.get("/truong", headers={"x-loa-mark": mark})).status_code == 200


async def test_only_a_linked_phone_is_told_whose_it_is_and_keeps_files(house):
    row = await handed(house, await relay_group(house), picture=png())
    phone, console = await linked(house), await house.signed_in("truong1")
    for path in ("/truong", await roll_path(phone)):
        told, untold = await phone.get(path), await console.get(path)
        assert "x-loa-who" in told.headers
        assert " data-phone " in told.text
        assert "x-loa-who" not in untold.headers, "the worker forgets what it has"
        assert "data-phone" not in untold.text
    assert (await phone.get(f"/truong/{row}/anh.png")).headers["cache-control"] == "private, no-cache"
    assert (await console.get(f"/truong/{row}/anh.png")).headers["cache-control"] == "no-store"


async def test_what_went_on_to_somebody_else_says_so_on_the_card(house):
    row = await handed(house, await relay_group(house, backup="tohelp"))
    phone, helper = await linked(house), await linked(house, "tohelp")
    assert "Đã nhờ" not in (await phone.get("/truong")).text

    def pass_on(session, holder, username):
        errand = session.get_one(Errand, row)
        errand.holder = holder
        errand.person_id = session.exec(select(Person.id).where(Person.username == username)).first()
        session.add(errand)

    await house.write(pass_on, Holder.BACKUP, "tohelp")
    page = (await phone.get("/truong")).text
    assert "Đã nhờ Tổ công nghệ số chuyển giúp. Bác chuyển được thì chuyển rồi bấm Đã chuyển." in page
    assert "nhờ bác chuyển giúp" not in page
    page = (await helper.get("/truong")).text
    assert "nhờ bác chuyển giúp" in page
    assert "Đã nhờ" not in page
    await house.write(pass_on, Holder.COMMUNE, "")
    assert "Xã sẽ gọi để nhờ chuyển. Bác chuyển được thì" in (await phone.get("/truong")).text
    assert (await press(phone, row)).status_code == 303
    assert (await row_of(house, row)).state is State.SENT


async def test_who_needs_help_stands_above_everything_else(house):
    known, unknown = [links_house.Resident(house, link) for link in await links_house.linked(house, answers="attend")]
    row = await handed(house, await relay_group(house))
    phone, other = await linked(house), await linked(house, "truong2")
    assert "Cần giúp" not in (await phone.get("/truong")).text
    for resident in (known, unknown):
        await resident.open(pictures=False)
        assert (await resident.answer("help")).status_code == 303
    page = (await other.get("/truong")).text
    assert "Bản Hai: một tài khoản chưa gắn hộ" in page
    assert (await known.number(3)).status_code == 303
    page = (await phone.get("/truong")).text
    assert page.index("Cần giúp") < page.index(f'id="k{row}"')
    assert "Bản Một: hộ số 3" in page
    assert f"ở {known.link.code}" in page
    assert "Bản Hai: " not in page, "another head's"


# ---------------------------------------------------------------- presses


async def test_carried_is_told_once_and_may_be_taken_back(house):
    row = await handed(house, await relay_group(house), picture=png())
    phone = await linked(house)
    answer = await press(phone, row, headers=JSON, id="a", ago="5000")
    assert answer.status_code == 200
    assert answer.json()["words"].startswith("Đã báo lúc ")
    first = await house.read(lambda s: s.get_one(Errand, row).done_at)
    for _ in range(3):
        assert (await press(phone, row, headers=JSON, id="a", ago="5000")).status_code == 200
    assert (await row_of(house, row)).state is State.SENT
    assert await house.read(lambda s: s.get_one(Errand, row).done_at) == first
    reach = await house.read(lambda s: s.exec(select(Reach)).one())
    assert (reach.carried, reach.given) == (1, 1)
    page = await phone.get("/truong")
    assert "Đã báo lúc" in page.text
    assert "Không còn tin nào chờ" in page.text
    back = await press(phone, row, "bam-nham")
    assert (back.status_code, back.headers["location"]) == (303, f"/truong#k{row}")
    assert (await row_of(house, row)).state is State.HANDED
    assert (await press(phone, row)).status_code == 303
    assert (await row_of(house, row)).state is State.SENT


@pytest.mark.parametrize(
    ("ago", "least", "most"),
    [
        pytest.param("0", 0, 5, id="just now"),
        pytest.param("60000", 0, 65, id="a minute ago, though it was handed over later"),
        pytest.param("99999999999", 0, 65, id="a clock that is far off"),
        pytest.param("-5", 0, 5, id="the future"),
        pytest.param("soon", 0, 5, id="no number"),
        pytest.param("9" * 400, 0, 5, id="no number that anybody means"),
    ],
)
async def test_when_it_was_pressed_is_clamped_to_what_can_be(house, ago, least, most):
    row = await handed(house, await relay_group(house))
    phone = await linked(house)
    assert (await press(phone, row, headers=JSON, ago=ago)).status_code == 200
    errand = await house.read(lambda s: s.get_one(Errand, row))
    assert errand.handed_at <= errand.done_at <= datetime.now(UTC)


async def test_a_press_long_ago_is_dated_when_it_was_made(house):
    row = await handed(house, await relay_group(house))

    def earlier(session):
        errand = session.get_one(Errand, row)
        errand.handed_at = errand.given_at = errand.handed_at - timedelta(hours=1)
        session.add(errand)

    await house.write(earlier)
    phone = await linked(house)
    assert (await press(phone, row, headers=JSON, ago=str(20 * 60 * 1000))).status_code == 200
    errand = await house.read(lambda s: s.get_one(Errand, row))
    assert timedelta(minutes=19) < datetime.now(UTC) - errand.done_at < timedelta(minutes=22)


async def test_a_form_of_another_site_is_refused(house):
    row = await handed(house, await relay_group(house))
    phone, other = await linked(house), await linked(house)
    for token in ("", "x", csrf_in(await other.get("/truong"))):
        answer = await phone.post(f"/truong/{row}/da-chuyen", data={"csrf": token}, headers=JSON)
        assert answer.status_code == 403
        assert answer.json()["stale"] is True
    assert (await row_of(house, row)).state is State.HANDED
    assert (await phone.post("/truong/vao", data={"ma": "2222-3333"})).status_code == 403


async def test_pressing_too_fast_waits(house):
    row = await handed(house, await relay_group(house))
    phone = await linked(house)
    token = {"csrf": csrf_in(await phone.get("/truong"))}
    statuses = [(await phone.post(f"/truong/{row}/da-chuyen", data=token, headers=JSON)).status_code for _ in range(70)]
    assert statuses[:40] == [200] * 40
    assert statuses[-1] == 429


# ---------------------------------------------------------------- điểm danh


async def labelled(house):
    def label(session):
        for household in session.exec(select(Household)).all():
            household.sealed_label = house.runtime.vault.seal(f"nhà ông {household.number}")
            session.add(household)

    await house.write(label)


async def roll_path(phone):
    return found(r'href="(/truong/diem-danh/[^"]+)"', (await phone.get("/truong")).text)


async def graded(house):
    rows = await house.read(
        lambda s: s.exec(select(Receipt.household_id, Receipt.grade).order_by(col(Receipt.household_id))).all()
    )
    return [(row, grade.value) for row, grade in rows]


async def test_the_head_ticks_households_and_takes_back(house):
    await labelled(house)
    await house.notice()
    phone = await linked(house)
    path = await roll_path(phone)
    page = await phone.get(path)
    assert page.text.count('name="told"') == HOUSEHOLDS
    assert "nhà ông 3" in page.text
    ids = [int(found(rf'value="(\d+)"[^>]*><span>Hộ {number} ', page.text)) for number in range(1, HOUSEHOLDS + 1)]
    assert (await phone.post_form(path, path, told=ids[:2])).status_code == 303
    assert await graded(house) == [(ids[0], "head"), (ids[1], "head")]
    assert (await phone.post_form(path, path, told=ids[:2])).status_code == 303
    assert len(await graded(house)) == 2, "told twice is once"
    page = await phone.get(path)
    assert page.text.count(" checked") == 2
    answer = await phone.post_form(path, path, told=[ids[1], ids[2]], was=ids[:2])
    assert answer.status_code == 303
    assert await graded(house) == [(ids[1], "head"), (ids[2], "head")]
    counted = await phone.post(
        path, data={"csrf": csrf_in(await phone.get(path)), "was": [str(ids[1]), str(ids[2])]}, headers=JSON
    )
    assert counted.json()["words"].startswith("Đã báo lúc")
    assert await graded(house) == []


async def test_a_helper_sees_numbers_alone_and_records_a_visit(house):
    await labelled(house)
    await house.notice()
    phone = await linked(house, "tohelp")
    path = await roll_path(phone)
    page = await phone.get(path)
    assert "nhà ông" not in page.text
    assert "tổ đến nhà ghi" in page.text
    assert "so-nguoi" not in page.text
    household = int(found(r'name="told" value="(\d+)"', page.text))
    assert (await phone.post_form(path, path, told=household)).status_code == 303
    assert await graded(house) == [(household, "visit")]
    assert (await phone.post_form(path, f"{path}/so-nguoi", count=9)).status_code == 404


async def test_a_bare_number_is_kept_apart(house):
    await house.notice()
    phone = await linked(house)
    path = await roll_path(phone)

    async def told():
        return await house.read(
            lambda s: s.exec(select(NoticeTarget.told_count).where(col(NoticeTarget.told_at).is_not(None))).all()
        )

    assert (await phone.post_form(path, f"{path}/so-nguoi", count="45")).status_code == 303
    assert list(await told()) == [45]
    reach = await house.read(lambda s: s.exec(select(Reach).where(Reach.households > 0)).one())
    assert (reach.head, reach.unlinked) == (0, 0)
    assert 'value="45"' in (await phone.get(path)).text
    for wrong in ("nhiều", "-3", "99999"):
        assert (await phone.post_form(path, f"{path}/so-nguoi", count=wrong)).status_code == 422
    assert (await phone.post_form(path, f"{path}/so-nguoi", count="")).status_code == 303
    assert list(await told()) == [None]


async def test_foreign_households_and_villages_are_refused(house):
    code = (await house.notice())["code"]
    phone = await linked(house, "truong2")
    assert (await phone.get(f"/truong/diem-danh/{code}/ban-1")).status_code == 404
    assert (await phone.get(f"/truong/diem-danh/{code}/ban-2")).status_code == 200
    theirs = await house.read(lambda s: s.exec(select(Household.id)).first())
    path = f"/truong/diem-danh/{code}/ban-2"
    for wrong in (theirs, "x", "9" * 30):
        assert (await phone.post_form(path, path, told=wrong)).status_code == 422
    assert await graded(house) == []
    official = await linked(house, "canbo")
    assert (await official.get(f"/truong/diem-danh/{code}/ban-1")).status_code == 404


async def test_what_is_carried_twice_by_two_groups_stays_two_errands(house):
    one, other = await relay_group(house), await relay_group(house, title="Chi hội Bản Một")
    row = await handed(house, one)
    code = await house.read(lambda s: s.exec(select(Notice.code)).one())
    second = await hand(house, other, code)
    phone = await linked(house)
    assert (await press(phone, row, headers=JSON)).status_code == 200
    assert (await row_of(house, second)).state is State.HANDED
