"""The working pages, as people use them without any script."""

from datetime import UTC, datetime

import regex
from sqlmodel import col, func, select

from bot import acks, people, relays
from bot.households import card_token
from bot.permissions import actor_of
from bot.texts import failure
from store import audit
from store import reach as figures
from store.outbox import Failure
from store.tables import (
    Account,
    Answer,
    Attachment,
    Audience,
    Audit,
    Channel,
    Chat,
    CodePurpose,
    Errand,
    Grade,
    Holder,
    Household,
    Notice,
    NoticeState,
    OneTimeCode,
    Outbox,
    Person,
    Role,
    Standing,
    State,
    Unit,
)
from tests.api.conftest import HOUSEHOLDS, PUBLIC, csrf_in, found, opened
from tests.api.errand_rows import handed, relay_group
from tests.pictures.sheets import codes, printed

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 64
OGG = b"OggS" + b"0" * 64


async def compose(browser, *, files=(), **fields) -> str:
    """Fill the form in and keep it; returns the address of the draft."""
    page = await browser.get("/console/notices/new")
    data = {
        "csrf": csrf_in(page),
        "key": found(r'name="key" value="([^"]+)"', page.text),
        "body": "Mai họp bản.\nNhớ đến đúng giờ.",
        "kind": "notice",
        "wanted": "acknowledge",
        "to": "all",
        "language": "hmn",
    }
    answer = await browser.post("/console/notices/new", data={**data, **fields}, files=list(files) or None)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def test_a_notice_goes_from_the_form_over_approval_to_its_figures(house):
    author = await house.signed_in("canbo")
    address = await compose(author)
    code = address.rpartition("/")[2]
    preview = (await author.get(address)).text
    assert "Xem trước" in preview
    assert "Nhớ đến đúng giờ." in preview
    assert "✅ Đã nắm" in preview
    assert '<img src="data:image/png;base64,' in preview, "the QR code is to be seen"
    assert preview.index("✅ Đã nắm") < preview.index("Gửi duyệt"), "what is sent stands above what sends it"
    assert await house.read(lambda s: s.exec(select(Outbox)).all()) == [], "a preview sends nothing"

    await author.post_form(address, f"{address}/submit")
    assert "Đang chờ người thứ hai duyệt" in (await author.get(address)).text
    second = await house.signed_in("chutich")
    overview = (await second.get("/console/")).text
    assert "chờ bạn duyệt" in overview
    assert code in overview
    assert "Nhớ đến đúng giờ." in (await second.get(address)).text, "as it will be posted"
    answer = await second.post_form(address, f"{address}/approve")
    assert answer.headers["location"] == address
    figures_page = (await author.get(address)).text
    assert "Kết quả" in figures_page
    assert f"0/{HOUSEHOLDS} hộ" in figures_page
    assert "Cán bộ duyệt duyệt" in figures_page
    assert "không đo được" in figures_page
    again = await second.post_form("/console/", f"{address}/approve")
    assert again.status_code == 409
    assert "không còn chờ duyệt" in again.text


async def test_a_notice_to_one_village_goes_out_at_once_and_a_second_press_sends_nothing_more(house):
    browser = await house.signed_in("truong1")
    address = await compose(browser, to="some", villages=[str((await house.village_ids())["ban-1"])])
    assert "Phát tới 1 nhóm" in (await browser.get(address)).text
    for _ in range(2):
        await browser.post_form("/console/", f"{address}/submit")
    assert len(await house.read(lambda s: s.exec(select(Outbox).where(col(Outbox.notice_id).is_not(None))).all())) == 1


async def test_the_same_form_sent_twice_is_one_draft_and_a_changed_one_another(house):
    browser = await house.signed_in("canbo")
    page = await browser.get("/console/notices/new")
    key = found(r'name="key" value="([^"]+)"', page.text)
    first = await compose(browser, key=key)
    assert await compose(browser, key=key) == first
    assert await compose(browser, key=key, body="Đã sửa lời.") != first


async def test_what_was_typed_is_kept_when_something_must_be_mended(house):
    browser = await house.signed_in("canbo")
    page = await browser.get("/console/notices/new")
    data = {
        "csrf": csrf_in(page),
        "key": "k",
        "body": "Nội dung dài công gõ",
        "kind": "meeting",
        "wanted": "attend",
        "to": "some",
    }
    answer = await browser.post("/console/notices/new", data=data)
    assert answer.status_code == 422
    assert "Chưa chọn thôn, bản nào." in answer.text
    assert "Nội dung dài công gõ" in answer.text
    assert '<option value="meeting" selected>' in answer.text
    assert (await browser.post("/console/notices/new", data={**data, "to": "all", "body": " "})).status_code == 422
    assert (await browser.post("/console/notices/new", data={**data, "to": "all", "due": "hôm qua"})).status_code == 422
    assert (await browser.post("/console/notices/new", data={**data, "kind": "x"})).status_code == 422
    foreign = {**data, "villages": [str((await house.village_ids())["ban-khac"])]}
    assert (await browser.post("/console/notices/new", data=foreign)).status_code == 404
    assert await house.read(lambda s: s.exec(select(Notice)).all()) == []


async def test_a_draft_can_be_written_anew_and_dropped(house):
    browser = await house.signed_in("canbo")
    old = (await compose(browser, to="some", villages=[str((await house.village_ids())["ban-2"])])).rpartition("/")[2]
    page = (await browser.get(f"/console/notices/new?from={old}")).text
    assert "Nhớ đến đúng giờ." in page
    assert f'name="replaces" value="{old}"' in page
    new = (await compose(browser, replaces=old, body="Lời mới.")).rpartition("/")[2]
    states = await house.read(lambda s: dict(s.exec(select(Notice.code, Notice.state)).all()))
    assert states == {old: NoticeState.CANCELLED, new: NoticeState.DRAFT}
    await browser.post_form("/console/", f"/console/notices/{new}/cancel")
    assert "đã bỏ" in (await browser.get(f"/console/notices/{new}")).text
    stranger = await house.signed_in("chutich")
    assert (await stranger.get(f"/console/notices/new?from={new}")).status_code == 404


async def test_a_returned_notice_comes_back_with_its_reason(house):
    author, second = await house.signed_in("canbo"), await house.signed_in("chutich")
    address = await compose(author)
    await author.post_form(address, f"{address}/submit")
    assert (await second.post_form(address, f"{address}/return", reason=" ")).status_code == 422
    await second.post_form(address, f"{address}/return", reason="Sai ngày <b>họp</b>")
    assert "Sai ngày &lt;b&gt;họp&lt;/b&gt;" in (await author.get(address)).text
    assert "bị trả lại" in (await author.get("/console/")).text


async def test_files_go_with_the_notice_and_are_seen_before_it_is_out(house):
    browser = await house.signed_in("canbo")
    files = [
        ("photos", ("anh.png", PNG, "image/png")),
        ("voice", ("noi.ogg", OGG, "audio/ogg")),
        ("documents", ("", b"", "application/octet-stream")),
    ]
    address = await compose(browser, files=files, to="some", villages=[str((await house.village_ids())["ban-1"])])
    kept = await house.read(lambda s: [(a.kind, a.language) for a in s.exec(select(Attachment)).all()])
    assert kept == [("photo", ""), ("voice", "hmn")]
    assert "anh.png" in (await browser.get(address)).text
    shown = await browser.get(f"{address}/files/0")
    assert (shown.content, shown.headers["content-type"]) == (PNG, "image/png")
    assert (await (await house.signed_in("xakhac")).get(f"{address}/files/0")).status_code == 404
    assert (await browser.get(f"/tb/{address.rpartition('/')[2]}/files/0")).status_code == 404, (
        "a draft is nobody's business"
    )


async def test_a_kind_of_file_that_we_do_not_send_is_refused_by_its_bytes(house):
    browser = await house.signed_in("canbo")
    page = await browser.get("/console/notices/new")
    data = {"csrf": csrf_in(page), "key": "k", "body": "Có tệp", "kind": "notice", "wanted": "acknowledge", "to": "all"}
    files = [("photos", ("anh.png", b"<script>alert(1)</script>", "image/png"))]
    answer = await browser.post("/console/notices/new", data=data, files=files)
    assert answer.status_code == 422
    assert "Không gửi được tệp anh.png" in answer.text


async def test_a_group_that_was_not_reached_says_why_and_can_be_tried_again(house):
    code = (await house.notice())["code"]

    def happen(session):
        for state, error in ((State.FAILED, Failure.CHAT_GONE), (State.UNKNOWN, Failure.NO_ANSWER)):
            row = session.exec(select(Outbox).where(Outbox.state == State.QUEUED)).first()
            row.state, row.error = state, error
            session.add(row)
            session.flush()
            figures.recount(session.connection(), [(row.notice_id, row.unit_id)])

    await house.write(happen)
    browser = await house.signed_in("canbo")
    page = (await browser.get(f"/console/notices/{code}")).text
    assert failure(Failure.CHAT_GONE) in page
    assert "1 nhóm chưa rõ đã tới chưa" in page
    assert "resend" not in (await (await house.signed_in("xem")).get(f"/console/notices/{code}")).text
    for states in ("failed", "unknown"):
        answer = await browser.post_form("/console/", f"/console/notices/{code}/resend", states=states)
        assert answer.status_code == 303
    states = await house.read(lambda s: {row.state for row in s.exec(select(Outbox)).all()})
    assert states == {State.QUEUED}
    assert (await browser.post_form("/console/", f"/console/notices/{code}/resend", states="sent")).status_code == 422


async def test_the_head_ticks_households_told_in_person_and_takes_a_tick_back(house):
    code = (await house.notice())["code"]
    browser = await house.signed_in("truong1")
    address = f"/console/villages/ban-1/missing/{code}"
    page = (await browser.get(address)).text
    assert f"{HOUSEHOLDS}/{HOUSEHOLDS} hộ" in page
    ids = regex.findall(r'name="told" value="(\d+)"', page)
    assert len(ids) == HOUSEHOLDS
    assert (await browser.post_form(address, address, told=ids[:2])).status_code == 303
    page = (await browser.get(address)).text
    assert f"{HOUSEHOLDS - 2}/{HOUSEHOLDS} hộ" in page
    await browser.post_form(address, address, untold=ids[:1])
    result = (await browser.get(f"/console/notices/{code}")).text
    assert f"1/{HOUSEHOLDS} hộ" in result
    assert "1 trưởng bản ghi" in result
    assert (await browser.post_form(address, address, told=["99999"])).status_code == 422
    assert (await browser.post_form(address, address, told=["x"])).status_code == 422


async def test_without_a_register_the_page_says_accounts_and_never_households(house):
    code = (await house.notice(villages=["ban-2"]))["code"]
    table = (await (await house.signed_in("truong2")).get(f"/console/notices/{code}/table")).text
    assert "0 tài khoản" in table
    assert "hộ" not in regex.sub(r"<[^>]+>", "", table).replace("Hộ đã nắm", "").replace("không", "")


async def test_a_bind_code_is_shown_once(house):
    browser = await house.signed_in("truong1")
    answer = await browser.post_form("/console/villages/ban-1", "/console/villages/ban-1/bind-code")
    code = found(r"/dangky (\w{4}-\w{4})", answer.text)
    kept = await house.read(lambda s: s.exec(select(OneTimeCode)).one())
    assert kept.purpose is CodePurpose.BIND_CHAT
    assert code not in repr(kept)
    assert code not in (await browser.get("/console/villages/ban-1")).text


async def test_villages_whose_groups_are_lost_are_on_the_first_page(house):
    def lose(session):
        village = session.exec(select(Unit).where(Unit.code == "ban-2")).one()
        chat = session.exec(select(Chat).where(Chat.unit_id == village.id)).one()
        chat.standing = Standing.GONE
        session.add(chat)

    await house.write(lose)
    page = (await (await house.signed_in("canbo")).get("/console/")).text
    assert "1 nhóm mất liên lạc" in page
    assert "Bản Hai" in page
    assert "bot không còn trong nhóm" in (await (await house.signed_in("canbo")).get("/console/villages/ban-2")).text
    assert "mất liên lạc" not in (await (await house.signed_in("truong1")).get("/console/")).text


async def test_an_office_is_handed_over_after_a_second_look_and_the_old_account_is_out_at_once(house):
    admin, old = await house.signed_in("quantri"), await house.signed_in("truong1")
    leaving, coming = await house.person_id("truong1"), await house.person_id("tohelp")
    page = (await admin.get("/console/people")).text
    assert f"/console/people/{leaving}/handover" in page
    handover = f"/console/people/{leaving}/handover"
    asked = (await admin.post_form("/console/people", handover, to=coming)).text
    for words in ("Trưởng bản Một", "Tổ công nghệ số", "Bản Một", "Bàn giao ngay"):
        assert words in asked
    assert (await old.get("/console/")).status_code == 200, "nothing moved yet"
    assert (await admin.post_form("/console/people", handover, to=leaving)).status_code == 422
    answer = await admin.post_form("/console/people", handover, to=coming, sure="1")
    assert "Đã bàn giao cho Tổ công nghệ số" in answer.text
    assert (await old.get("/console/")).status_code == 303
    new = await house.signed_in("tohelp")
    code = (await house.notice())["code"]
    assert (await new.get(f"/console/villages/ban-1/missing/{code}")).status_code == 200


async def test_a_token_for_programs_is_made_shown_once_and_revoked(house):
    browser = await house.signed_in("canbo")
    answer = await browser.post_form("/console/me", "/console/me/tokens", name="phần mềm <b>xã</b>")
    token = found(r"loa_[\w-]{43}", answer.text, 0)
    assert "phần mềm &lt;b&gt;xã&lt;/b&gt;" in answer.text
    rest = house.browser()
    rest.headers["authorization"] = f"Bearer {token}"
    assert (await rest.get("/api/v1/notices")).status_code == 200
    page = (await browser.get("/console/me")).text
    assert token not in page
    await browser.post_form("/console/me", found(r"/console/me/tokens/\d+/revoke", page, 0))
    assert (await rest.get("/api/v1/notices")).status_code == 401
    assert (await browser.post_form("/console/me", "/console/me/tokens", name=" ")).status_code == 422


async def test_a_link_code_for_oneself_is_shown_once(house):
    browser = await house.signed_in("xem")
    answer = await browser.post_form("/console/me", "/console/me/link-code")
    assert regex.search(r"/lienket \w{4}-\w{4}", answer.text)
    assert await house.read(lambda s: s.exec(select(Account).where(col(Account.person_id).is_not(None))).all()) == []


async def test_cards_are_refused_in_words_while_residents_cannot_reach_us(tmp_path):
    async with opened(tmp_path, public_url="http://127.0.0.1:8000") as house:
        answer = await (await house.signed_in("truong1")).get("/console/villages/ban-1/cards")
        assert answer.status_code == 409
        assert "chưa có địa chỉ công khai" in answer.text
        assert answer.headers["content-type"].startswith("text/html")
        village = (await (await house.signed_in("truong1")).get("/console/villages/ban-1")).text
        assert "Chưa in được thẻ hộ" in village
        assert 'href="/chat/ban-1"' in village
        address = await compose(await house.signed_in("canbo"))
        assert "không kèm liên kết và mã QR" in (await (await house.signed_in("canbo")).get(address)).text


async def test_lists_are_sorted_into_tabs_and_paged(house):
    browser = await house.signed_in("canbo")
    codes = [(await house.notice(body=f"Việc {n}"))["code"] for n in range(21)]
    draft = (await compose(browser)).rpartition("/")[2]
    page = (await browser.get("/console/notices?tab=published")).text
    assert draft not in page
    assert codes[-1] in page
    assert codes[0] not in page
    older = found(r'href="(/console/notices\?tab=published&amp;before=\d+)"', page).replace("&amp;", "&")
    assert codes[0] in (await browser.get(older)).text
    assert draft in (await browser.get("/console/notices?tab=draft")).text
    assert (await browser.get("/console/notices?tab=xyz&before=abc")).status_code == 200


async def test_what_nobody_knows_is_settled_on_the_notices_page(house):
    code = (await house.notice())["code"]

    def lose(session):
        row = session.exec(select(Outbox).where(Outbox.state == State.QUEUED)).first()
        row.state, row.error = State.UNKNOWN, Failure.NO_ANSWER
        session.add(row)
        session.flush()
        figures.recount(session.connection(), [(row.notice_id, row.unit_id)])
        return row.id

    row = await house.write(lose)
    browser, address = await house.signed_in("canbo"), f"/console/notices/{code}"
    page = (await browser.get(address)).text
    assert "Đã tới" in page
    assert "Không tới" in page
    assert "Không tới" not in (await (await house.signed_in("xem")).get(address)).text
    assert (await browser.post_form("/console/", f"{address}/unknown", row=row, arrived="perhaps")).status_code == 422
    assert (await browser.post_form("/console/", f"{address}/unknown", row=row, arrived="yes")).status_code == 303
    assert "chưa rõ đã tới chưa" not in (await browser.get(address)).text


async def test_an_audience_is_made_gets_a_bind_code_and_is_written_to(house):
    browser, here = await house.signed_in("canbo"), "/console/villages/ban-1"
    assert "Gửi cho" not in (await browser.get("/console/notices/new")).text
    assert (await browser.post_form(here, f"{here}/audiences", name="Chi hội Phụ nữ", wide="1")).status_code == 303
    assert (await browser.post_form(here, f"{here}/audiences", name="Chi hội Phụ nữ", wide="1")).status_code == 409
    assert (await browser.post_form(here, f"{here}/audiences", name=" ")).status_code == 422
    made = await house.read(lambda s: s.exec(select(Audience)).one())
    answer = await browser.post_form(here, f"{here}/bind-code", audience=made.id)
    assert "Mã nối nhóm Chi hội Phụ nữ" in answer.text
    assert (await house.read(lambda s: s.exec(select(OneTimeCode)).one())).audience_id == made.id
    assert (await browser.post_form(here, f"{here}/bind-code", audience="999")).status_code == 404
    assert "Chi hội Phụ nữ (Xã Mẫu)" in (await browser.get("/console/notices/new")).text
    address = await compose(browser, audience=str(made.id))
    kept = await house.read(lambda s: s.exec(select(Notice)).one())
    assert kept.audience_id == made.id
    assert "<b>0 nhóm chat</b>" in (await browser.get(address)).text, "its own groups count, not the villages'"
    head = await house.signed_in("truong1")
    answer = await head.post_form(here, f"{here}/audiences", name="Chi bộ", wide="1")
    assert answer.status_code == 404, "a head makes none for the commune"


async def test_a_group_is_taken_off_its_village_and_what_waits_for_it_is_stopped(house):
    await house.notice()

    def chat(session):
        village = session.exec(select(Unit).where(Unit.code == "ban-1")).one()
        return session.exec(select(Chat).where(Chat.unit_id == village.id)).one()

    here, group = "/console/villages/ban-1", await house.read(chat)
    head, other = await house.signed_in("truong1"), await house.signed_in("truong2")
    assert "Gỡ nối" not in (await head.get(here)).text
    answer = await head.post_form(here, f"{here}/unbind", chat=group.id)
    assert answer.status_code == 409, "a room that the house keeps itself"
    head_id = await house.person_id("truong1")

    def bind(session):
        found = session.get_one(Chat, group.id)
        found.bound_by_id = head_id
        session.add(found)

    await house.write(bind)
    assert "Gỡ nối" in (await head.get(here)).text
    for chat_id in ("999", "x"):
        assert (await head.post_form(here, f"{here}/unbind", chat=chat_id)).status_code == 404
    answer = await other.post_form("/console/villages/ban-2", "/console/villages/ban-2/unbind", chat=group.id)
    assert answer.status_code == 404
    assert (await head.post_form(here, f"{here}/unbind", chat=group.id)).status_code == 303
    left = await house.read(lambda s: s.get_one(Chat, group.id))
    assert (left.unit_id, left.bound_by_id, left.bound_at) == (None, None, None)
    states = await house.read(lambda s: dict(s.exec(select(Outbox.chat_id, Outbox.state)).all()))
    assert states[group.id] is State.CANCELLED
    assert set(states.values()) == {State.CANCELLED, State.QUEUED}
    noted = await house.read(lambda s: s.exec(select(Audit.subject).where(Audit.action == "group unbound")).all())
    assert noted == [f"chat:{group.id}"]


async def test_a_new_card_makes_the_old_one_worthless(house):
    def token(session):
        household = session.exec(select(Household).where(Household.number == 2)).one()
        return card_token(house.runtime.house, household)

    here, old = "/console/villages/ban-1", await house.read(token)
    assert (await house.browser().get(f"/h/{old}")).status_code == 200
    official, head = await house.signed_in("canbo"), await house.signed_in("truong1")
    assert "Cấp thẻ mới" not in (await official.get(here)).text
    assert (await official.post_form(here, f"{here}/new-card", number="2")).status_code == 404
    for number in ("99", "", "hai"):
        assert (await head.post_form(here, f"{here}/new-card", number=number)).status_code == 422
    answer = await head.post_form(here, f"{here}/new-card", number="2")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{here}/cards?number=2")
    assert (await house.browser().get(f"/h/{old}")).status_code == 404
    new = await house.read(token)
    assert (await house.browser().get(f"/h/{new}")).status_code == 200
    for _ in range(2):  # a sheet that is loaded again voids nothing
        card = await head.get(answer.headers["location"])
        assert printed(card).count("Hộ số") == 1
        assert codes(card.content) == [f"{PUBLIC}/h/{new}"]
    assert (await head.get(f"{here}/cards?number=99")).status_code == 409
    assert (await head.get(f"{here}/cards?number=x")).status_code == 422
    assert len(codes((await head.get(f"{here}/cards")).content)) == HOUSEHOLDS


async def test_a_village_without_a_register_has_no_cards(house):
    answer = await (await house.signed_in("canbo")).get("/console/villages/ban-2/cards")
    assert answer.status_code == 409
    assert "chưa có sổ hộ" in answer.text


async def test_the_set_up_sheet_bears_a_code_only_when_asked_for_and_only_for_those_who_may_have_it(house):
    here = "/console/villages/ban-1"
    head, admin, official = [await house.signed_in(name) for name in ("truong1", "quantri", "canbo")]
    bare = printed(await head.get(f"{here}/setup.pdf"))
    assert "Bản Một" in bare
    assert "chưa có" in bare
    assert (await head.post_form(here, f"{here}/setup.pdf")).status_code == 409, "nobody to give a code to"
    carrier = await house.person_id("truong1")

    def note(session):
        village = session.exec(select(Unit).where(Unit.code == "ban-1")).one()
        actor = actor_of(session, carrier)
        relays.put(
            session,
            house.runtime.house,
            actor,
            village,
            title="Bản Một đoàn kết",
            members=212,
            carrier_id=carrier,
            backup_id=None,
            now=datetime.now(UTC),
        )

    await house.write(note)
    made = select(func.count()).select_from(OneTimeCode)
    for browser in (head, admin, official):
        sheet = await browser.get(f"{here}/setup.pdf")
        assert "Bản Một đoàn kết (212 người)" in printed(sheet)
        assert codes(sheet.content) == [f"{PUBLIC}/truong"]
    assert await house.read(lambda s: s.exec(made).one()) == 0, "a GET changes nothing"
    for browser in (head, admin):
        assert regex.search(r"\b\w{4}-\w{4}\b", printed(await browser.post_form("/console/me", f"{here}/setup.pdf")))
    assert await house.read(lambda s: s.exec(made).one()) == 2
    refused = await official.post_form("/console/me", f"{here}/setup.pdf")
    assert refused.status_code == 403
    assert "quản trị cấp" in refused.text
    assert (await head.get(f"{here}/setup.pdf?chat=999")).status_code == 404
    assert await house.read(lambda s: s.exec(made).one()) == 2


async def test_a_notice_is_drawn_for_the_notice_board_and_for_those_who_carry_it(house):
    code = (await house.notice())["code"]
    browser = await house.signed_in("canbo")
    sheet = await browser.get(f"/console/notices/{code}/board.pdf")
    assert "Mai họp bản lúc 8 giờ." in printed(sheet)
    assert codes(sheet.content) == [f"{PUBLIC}/tb/{code}"]
    picture = await browser.get(f"/console/notices/{code}/relay.png")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")


async def test_who_holds_no_duty_is_shown_to_the_admin_of_the_place_where_they_held_one(house):
    def leave(session):
        now = datetime.now(UTC)
        added = people.add_person(session, "Người mới thêm", "moi", now=now)
        audit.note(
            session, at=now, person_id=admin_id, unit_id=None, action="person added", subject=f"person:{added.id}"
        )
        people.add_person(session, "Người chưa từng giữ việc", "chuatung", now=now)
        person = session.exec(select(Person).where(Person.username == "tohelp")).one()
        role = session.exec(select(Role).where(Role.person_id == person.id)).one()
        role.revoked_at = now
        session.add(role)

    admin_id = await house.person_id("quantri")
    await house.write(leave)
    ours = (await (await house.signed_in("quantri")).get("/console/people")).text
    theirs = (await (await house.signed_in("qtkhac")).get("/console/people")).text
    for name, seen in (("Tổ công nghệ số", True), ("Người mới thêm", True), ("Người chưa từng giữ việc", False)):
        assert (name in ours) is seen
        assert name not in theirs


# ---------------------------------------------------------------- groups that people carry to


def shown_to_readers(html: str) -> str:
    return " ".join(regex.sub(r"<[^>]+>", " ", html).split())


async def test_an_existing_group_is_noted_changed_and_closed_on_the_villages_page(house):
    await relay_group(house, village="ban-2", carrier="truong2")  # so that the channel is there
    here = "/console/villages/ban-1"
    browser, helper = await house.signed_in("canbo"), await house.person_id("tohelp")
    head = await house.person_id("truong1")
    form = {"title": "Bà con Bản Một", "members": "62", "carrier": head, "backup": helper}
    assert (await browser.post_form(here, f"{here}/relay", **form)).status_code == 303
    page = (await browser.get(here)).text
    assert "62 người · người chuyển: Trưởng bản Một · dự phòng: Tổ công nghệ số" in page
    assert "chưa báo được người chuyển" in page, "nobody was linked to anything yet"
    chat = found(r'name="chat" value="(\d+)"', page)
    assert f'href="{here}/setup.pdf?chat={chat}"' in page
    changed = await browser.post_form(here, f"{here}/relay", **{**form, "members": "", "backup": ""}, chat=chat)
    assert changed.status_code == 303
    assert "chưa ghi số người · người chuyển: Trưởng bản Một · dự phòng: chưa có" in (await browser.get(here)).text
    stranger = await house.person_id("truong2")
    for wrong, status in (
        ({"title": " "}, 422),
        ({"members": "nhiều"}, 422),
        ({"carrier": stranger}, 422),
        ({"carrier": "x"}, 404),
    ):
        answer = await browser.post_form(here, f"{here}/relay", **{**form, **wrong}, chat=chat)
        assert answer.status_code == status, wrong
    viewer = await house.signed_in("xem")
    assert "Bà con Bản Một" in (await viewer.get(here)).text
    token = csrf_in(await viewer.get("/console/me"))
    for act in ("relay", "relay/close"):
        answer = await viewer.post(f"{here}/{act}", data={"csrf": token, **form, "chat": chat})
        assert answer.status_code == 404
    other = "/console/villages/ban-2"
    assert (await browser.post_form(other, f"{other}/relay/close", chat=chat)).status_code == 404
    assert (await browser.post_form(here, f"{here}/relay/close", chat=chat)).status_code == 303
    assert "Bà con Bản Một" not in (await browser.get(here)).text


async def test_before_the_release_machine_and_hands_are_shown_apart(house):
    await relay_group(house)
    await relay_group(house, village="ban-3", carrier=None, title="Bà con Bản Ba")
    browser = await house.signed_in("canbo")
    page = (await browser.get(await compose(browser, body="Mai họp. " * 150))).text
    words = shown_to_readers(page)
    assert "Máy gửi: 3 nhóm chat" in words
    assert "Chuyển tay: 1 người , 2 nhóm" in words
    assert "Trưởng bản Một chuyển vào nhóm Bà con Bản Một" in words
    assert "Chưa có người chuyển: Bản Ba." in words
    assert "mỗi người chuyển phải gửi 2 tin" in words
    assert "(1/2) " in words, "the very texts"
    assert "/relay.png" in page
    short = (await browser.get(await compose(browser))).text
    assert "phải gửi" not in short


async def test_the_table_shows_the_four_figures_and_who_has_it_now(house):
    row = await handed(house, await relay_group(house))
    code = await house.read(lambda s: s.exec(select(Notice.code)).first())
    browser = await house.signed_in("canbo")
    page = (await browser.get(f"/console/notices/{code}")).text
    words = shown_to_readers(page)
    for column in ("Giao", "Đã chuyển", "Lượt mở (ước lượng)", "Hộ đã nắm"):
        assert f'<th scope="col">{column}</th>' in page
    assert "1 đã giao, 0 đã chuyển" in words
    assert "Bà con Bản Một: đang ở Trưởng bản Một từ" in words
    assert "đã đọc" not in words
    head = await house.signed_in("truong1")
    assert (await head.post_form("/console/me", f"/console/errands/{row}/done")).status_code == 303
    words = shown_to_readers((await browser.get(f"/console/notices/{code}")).text)
    assert "1 đã giao, 1 đã chuyển" in words
    assert "(người chuyển báo)" in words


async def test_a_notice_is_corrected_and_recalled_on_its_page(house):
    code = (await house.notice())["code"]
    browser, address = await house.signed_in("canbo"), f"/console/notices/{code}"
    page = (await browser.get(address)).text
    assert page.index("thay lời cũ ở mọi nơi") < page.index("Phát lời đính chính"), "said before it is done"
    revision = found(r'name="revision" value="(\d+)"', page)
    same = found(r"(?s)<textarea[^>]*>(.*?)</textarea>", page)
    answer = await browser.post_form(address, f"{address}/correct", body=same, revision=revision)
    assert answer.status_code == 422, "nothing to correct"
    new = "Mai họp bản lúc 9 giờ."
    for _ in range(2):
        answer = await browser.post_form(address, f"{address}/correct", body=new, revision=revision)
        assert answer.status_code == 303
    other = await browser.post_form(address, f"{address}/correct", body="Lời khác.", revision=revision)
    assert other.status_code == 409
    page = (await browser.get(address)).text
    assert new in page
    assert "Đã đính chính." in page
    for role in ("xem", "congan", "truong1"):
        reader = await house.signed_in(role)
        assert "Phát lời đính chính" not in (await reader.get(address)).text
        for act, fields in (
            ("correct", {"body": "x", "revision": 2}),
            ("recall", {"reason": "x"}),
            ("revoke-link", {"village": "ban-1"}),
        ):
            token = csrf_in(await reader.get("/console/me"))
            answer = await reader.post(f"{address}/{act}", data={"csrf": token, **fields})
            assert answer.status_code == 404, (role, act)
    assert (await browser.post_form(address, f"{address}/recall", reason=" ")).status_code == 422
    for _ in range(2):
        again = await browser.post("/console/notices/" + code + "/recall", data={
            "csrf": csrf_in(await browser.get("/console/me")), "reason": "Ghi nhầm."
        })  # fmt: skip
        assert again.status_code == 303
    page = (await browser.get(address)).text
    assert "Đã thu hồi." in page
    assert "Ghi nhầm." in page
    assert "Phát lời đính chính" not in page
    actions = await house.read(lambda s: list(s.exec(select(Audit.action).where(Audit.subject == code))))
    assert (actions.count("notice corrected"), actions.count("notice recalled")) == (1, 1)


async def test_what_nobody_carried_is_called_for_and_noted_by_the_official(house):
    row = await handed(house, await relay_group(house))

    def leave(session):
        errand = session.get_one(Errand, row)
        errand.holder, errand.person_id = Holder.COMMUNE, None
        session.add(errand)

    admin = await house.signed_in("quantri")
    head_id = await house.person_id("truong1")
    answer = await admin.post_form("/console/people", f"/console/people/{head_id}/phone", phone="0912 345 678")
    assert answer.status_code == 303
    await house.write(leave)
    browser = await house.signed_in("canbo")
    page = (await browser.get("/console/")).text
    assert "Chờ gọi" in page
    assert 'href="tel:0912345678"' in page
    for role in ("xem", "quantri", "xakhac"):
        assert "Chờ gọi" not in (await (await house.signed_in(role)).get("/console/")).text
    assert (await browser.post_form("/console/", f"/console/errands/{row}/done")).status_code == 303
    assert "Chờ gọi" not in (await browser.get("/console/")).text
    stranger = await house.signed_in("xakhac")
    assert (await stranger.post_form("/console/me", f"/console/errands/{row}/done")).status_code == 404


async def test_a_number_is_kept_by_who_may_call_and_shown_to_nobody_else(house):
    head = await house.person_id("truong1")
    official, stranger = await house.signed_in("canbo"), await house.signed_in("qtkhac")
    path = f"/console/people/{head}/phone"
    assert (await official.post_form("/console/people", path, phone="0912 345 678")).status_code == 303
    assert 'href="tel:0912345678"' in (await official.get("/console/people")).text
    assert "0912345678" in (await (await house.signed_in("quantri")).get("/console/people")).text
    assert "0912345678" not in (await stranger.get("/console/people")).text
    assert (await stranger.post_form("/console/people", path, phone="0900000000")).status_code == 404
    assert (await official.post_form("/console/people", path, phone="số nhà tôi")).status_code == 422
    assert (await official.post_form("/console/people", path, phone="")).status_code == 303
    assert "0912345678" not in (await official.get("/console/people")).text
    own = await house.signed_in("truong1")
    assert (await own.post_form("/console/me", path, phone="0912 345 678")).status_code == 303
    helper = await house.person_id("tohelp")
    refused = await own.post_form("/console/me", f"/console/people/{helper}/phone", phone="0900000000")
    assert refused.status_code == 404
    noted = await house.read(lambda s: [a for a in s.exec(select(Audit)) if a.action.startswith("phone number")])
    assert len(noted) == 3
    assert "0912345678" not in repr(noted)


async def test_a_house_that_needs_help_stands_on_the_overview_of_who_looks_after_it(house):
    code = (await house.notice())["code"]

    def ask(session):
        notice = session.exec(select(Notice).where(Notice.code == code)).one()
        home = session.exec(select(Household).where(Household.number == 2)).first()
        now, channel_id = house.runtime.clock(), session.exec(select(Channel.id)).first()
        account = Account(channel_id=channel_id, user_key="resident", created_at=now)
        account.household_id, account.unit_id, account.grade = home.id, home.unit_id, Grade.CARD
        session.add(account)
        session.flush()
        acks.count(session, account, notice, Answer.HELP, unit_id=home.unit_id, chat_id=None, now=now)

    await house.write(ask)
    for role in ("canbo", "truong1"):
        page = (await (await house.signed_in(role)).get("/console/")).text
        assert "hộ số 2" in page.split("Cần giúp", 1)[1], role
    for role in ("xem", "tohelp", "xakhac"):
        assert "Cần giúp" not in (await (await house.signed_in(role)).get("/console/")).text, role


async def test_the_head_enters_a_bare_number_and_a_helper_ticks_without_labels(house):
    def label(session):
        for household in session.exec(select(Household)).all():
            household.sealed_label = house.runtime.vault.seal("nhà bí mật")
            session.add(household)

    await house.write(label)
    code = (await house.notice())["code"]
    address, counted = f"/console/villages/ban-1/missing/{code}", f"/console/villages/ban-1/count/{code}"
    head, helper = await house.signed_in("truong1"), await house.signed_in("tohelp")
    assert (await head.post_form(address, counted, count="25")).status_code == 303
    assert "25 người theo trưởng bản đếm" in (await head.get(f"/console/notices/{code}")).text
    assert (await head.post_form(address, counted, count="nhiều")).status_code == 422
    assert (await helper.post_form(address, counted, count="3")).status_code == 404
    page = (await helper.get(address)).text
    assert "nhà bí mật" not in page
    ids = regex.findall(r'name="told" value="(\d+)"', page)
    assert (await helper.post_form(address, address, told=ids[:1])).status_code == 303
    assert "1 đến nhà ghi" in (await head.get(f"/console/notices/{code}")).text
    assert "nhà bí mật" in (await head.get(address)).text
