"""A village's own page of a notice: what it says, what it counts, and what it does not count."""

import asyncio
from datetime import UTC, datetime

import httpx
import pytest
import regex
from sqlmodel import select

from api import pages
from api.links import DOT
from bot.households import card_token
from store.tables import (
    Account,
    Grade,
    Household,
    Notice,
    NoticeRevision,
    NoticeState,
    NoticeTarget,
    Outbox,
    Person,
    Receipt,
    ReceiptKind,
    State,
    Unit,
    WebSession,
)
from tests.api.conftest import HOUSEHOLDS, found, opened
from tests.api.links_house import (
    Link,
    Resident,
    ask,
    carried,
    count,
    figures,
    linked,
    opens,
    signed_in,
    state_of,
    untouched,
)
from tests.api.test_console import OGG, compose
from tests.api.test_pages import NASTY

PREVIEWS = [
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 (compatible; Facebot/1.0)",
    "meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
    "WhatsApp/2.23.20.0",
    "TelegramBot (like TwitterBot)",
    "Twitterbot/1.0",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Slack-ImgProxy (+https://api.slack.com/robots)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
    "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com",
    "facebookexternalhit/1.1;line-poker/1.0",
    "facebookexternalhit/1.1; kakaotalk-scrap/1.0; +https://devtalk.kakao.com/",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/116.0 Safari/537.36 BingPreview/1.0b",
    "Mozilla/5.0 (compatible; coccocbot-web/1.0; +http://help.coccoc.com/searchengine)",
    "Mozilla/5.0 (compatible; vkShare; +http://vk.com/dev/Share)",
    "Viber/13.3.0.5 CFNetwork/1121.2.2 Darwin/19.3.0",
    "Dalvik/2.1.0 (Linux; U; Android 12; SM-A525F Build/SP1A.210812.016)",
    "okhttp/4.12.0",
    "curl/8.5.0",
    "python-requests/2.31.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0 Safari/537.36",
    "",
]
ANDROID = "Mozilla/5.0 (Linux; Android 13; {}) AppleWebKit/537.36 (KHTML, like Gecko) {} Mobile Safari/537.36"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/21D50 {}"
)
RESIDENTS = {
    "Zalo on Android": ANDROID.format("SM-A525F; wv", "Version/4.0 Chrome/120.0")
    + " Zalo android/12100609 ZaloLanguage/vi",
    "Zalo on an iPhone": IPHONE.format("Zalo iOS/470 ZaloTheme/light ZaloLanguage/vn"),
    "Facebook's browser": ANDROID.format("RMX3630; wv", "Chrome/125.0") + " [FB_IAB/FB4A;FBAV/470.0.0.0;]",
    "Messenger on an iPhone": IPHONE.format("[FBAN/MessengerForiOS;FBAV/442.0.0.33.107]"),
    "Coc Coc": ANDROID.format("SM-J700H", "coc_coc_browser/120.0.150 Chrome/114.0"),
    "a Cubot": ANDROID.format("CUBOT P30", "Chrome/120.0"),
    "Opera Mini": "Opera/9.80 (Android; Opera Mini/36.2/119.132; U; vi) Presto/2.12.423 Version/12.16",
    "UC Browser": ANDROID.format("U; vi", "UCBrowser/11.0 U3/0.8.0"),
}


async def card_of(house, number: int) -> str:
    def look(session):
        return card_token(house.runtime.house, session.exec(_household(number)).one())

    return await house.read(look)


def _household(number: int):
    """Of Bản Một."""
    return select(Household).join(Unit).where(Household.number == number, Unit.code == "ban-1")


async def receipts(house, kind=ReceiptKind.ACKNOWLEDGED) -> list[Receipt]:
    return await house.read(lambda s: list(s.exec(select(Receipt).where(Receipt.kind == kind)).all()))


async def change(house, link: Link, *, state: NoticeState | None = None, body: str = "", revoked: bool = False) -> None:
    def work(session):
        notice = session.get_one(Notice, link.notice_id)
        if state:
            notice.state = state
        if body:
            notice.revision += 1
            words = NoticeRevision(
                notice_id=link.notice_id,
                revision=notice.revision,
                body=body,
                body_hash="",
                author_id=notice.author_id,
                created_at=datetime(2026, 11, 20, 2, 5, tzinfo=UTC),
            )
            session.add(words)
        if revoked:
            session.get_one(NoticeTarget, (link.notice_id, link.unit_id)).link_revoked_at = datetime.now(UTC)

    await house.write(work)


# ---------------------------------------------------------------- what the page says


async def test_the_page_says_who_speaks_when_and_everything_and_asks_for_one_tap(house):
    link, _ = await linked(house, body="Dòng một.\nDòng hai.\n\nĐoạn sau.", due_at="2030-11-21T08:00:00+07:00")
    page = await Resident(house, link).open()
    assert page.status_code == 200
    assert "Ban của Xã Mẫu phát lúc" in page.text
    assert "Thông báo gửi Bản Một" in page.text
    assert "Dòng một.<br>" in page.text.replace("\n", "")
    assert "Đoạn sau." in page.text
    assert "08:00, 21/11/2030" in page.text
    assert page.text.count("<button") == 1
    assert "Nhà tôi đã nắm" in page.text
    assert f'href="/tb/{link.code}"' in page.text
    assert 'href="/chat/ban-1/private">Hỏi riêng</a>' in page.text
    assert page.text.count("/chat/") == 1, "one way to write to us, which promises nothing"
    assert "Gặp tin nhắn lạ thì đừng bấm" in page.text
    assert "<svg" not in page.text, "who reads it needs no QR code"
    assert "<script" not in page.text
    assert page.headers["cache-control"] == "no-store"


async def test_a_recording_is_loaded_only_when_it_is_played_and_says_its_language(house):
    browser = await house.signed_in("truong1")
    village = str((await house.village_ids())["ban-1"])
    address = await compose(browser, files=[("voice", ("noi.ogg", OGG, "x"))], to="some", villages=[village])
    await browser.post_form(address, f"{address}/submit")
    code = address.rpartition("/")[2]

    def give(session):
        notice = session.exec(select(Notice).where(Notice.code == code)).one()
        target = session.exec(select(NoticeTarget).where(NoticeTarget.notice_id == notice.id)).one()
        target.link_token = "x" * 12
        return Link(code, target.notice_id, target.unit_id, target.link_token)

    page = await Resident(house, await house.write(give)).open()
    assert f'<audio controls preload="none" src="/tb/{code}/files/0">' in page.text
    assert "Ghi âm: Tiếng Mông" in page.text


@pytest.mark.parametrize(
    ("wanted", "labels"),
    [
        ("acknowledge", ["Nhà tôi đã nắm"]),
        ("attend", ["Tham gia", "Vắng", "Cần giúp"]),
        ("nothing", []),
    ],
)
async def test_the_buttons_are_what_the_notice_asks_for(house, wanted, labels):
    link, _ = await linked(house, answers=wanted)
    page = (await Resident(house, link).open()).text
    assert regex.findall(r"<button[^>]*>([^<]+)</button>", page) == labels


async def test_the_page_needs_thirty_kilobytes_at_most(house):
    body = "Kính mời bà con dự họp bản vào sáng thứ bảy tại nhà văn hoá để bàn việc làm đường. " * 20
    link, _ = await linked(house, body=body, answers="attend")
    resident = Resident(house, link)
    sizes = []
    for _ in range(2):
        page = await resident.open()
        loaded = regex.findall(r'<(?:link|script|img|iframe)[^>]+(?:href|src)="([^"]*)"', page.text)
        parts = [await resident.http.get(address) for address in set(loaded)]
        assert len(loaded) == 3, "style, icon and the picture that counts"
        sizes.append(len(page.content) + sum(len(part.content) for part in parts))
        await resident.answer("join")
    assert max(sizes) <= 30_000, sizes


async def test_nothing_that_people_typed_becomes_markup_here(house):
    link, _ = await linked(house, body=NASTY)
    await change(house, link, body=NASTY, state=NoticeState.RECALLED)
    page = (await Resident(house, link).open()).text
    assert "<script" not in page
    assert "<img src=x" not in page
    resident = Resident(house, (await linked(house))[0])
    await resident.open()
    assert "<script" not in (await resident.number(NASTY)).text


# ---------------------------------------------------------------- one tap


async def test_first_the_tap_then_once_the_household_and_next_time_one_tap_is_all(house):
    first, _ = await linked(house)
    resident = Resident(house, first)
    await resident.open()
    answer = await resident.answer()
    assert (answer.status_code, answer.headers["location"]) == (303, f"{first.path}#xong")
    page = (await resident.open()).text
    assert "Đã ghi: máy này (chưa gắn hộ)" in page
    assert 'inputmode="numeric"' in page
    assert "Nhà tôi đã nắm" not in page
    assert ((await figures(house, first)).number, (await figures(house, first)).unlinked) == (0, 1)

    assert (await resident.number(3)).status_code == 303
    page = (await resident.open()).text
    assert regex.search(r"Đã ghi: hộ số 3, \d{1,2}:\d\d ngày", page)
    assert 'inputmode="numeric"' not in page
    assert ((await figures(house, first)).number, (await figures(house, first)).unlinked) == (1, 0)

    second, _ = await linked(house)
    resident.link = second
    assert "Máy này là của hộ số 3" in (await resident.open()).text
    await resident.answer()
    page = (await resident.open()).text
    assert "Đã ghi: hộ số 3" in page
    assert 'inputmode="numeric"' not in page
    assert (await figures(house, second)).number == 1


async def test_who_does_not_remember_stays_an_account_and_is_not_asked_again(house):
    link, other = await linked(house)
    resident = Resident(house, link)
    await resident.open()
    await resident.answer()
    assert (await resident.post("/household", forgot="1", number="")).status_code == 303
    page = (await resident.open()).text
    assert 'inputmode="numeric"' not in page
    assert f'href="{link.path}?ho=1#ho">Khai số hộ' in page
    assert 'inputmode="numeric"' in (await resident.open(path=f"{link.path}?ho=1")).text
    assert (await figures(house, link)).unlinked == 1
    assert (await figures(house, other)).unlinked == 0


async def test_without_a_register_nobody_is_asked_for_a_number(house):
    _, link = await linked(house)
    resident = Resident(house, link)
    await resident.open()
    await resident.answer()
    page = (await resident.open()).text
    assert 'inputmode="numeric"' not in page
    assert (await figures(house, link)).unlinked == 1


@pytest.mark.parametrize("typed", ["", "không", "3 4", "-3x4", "999999", "\u0663"])
async def test_what_is_no_number_is_asked_again_in_words(house, typed):
    link, _ = await linked(house)
    resident = Resident(house, link)
    await resident.open()
    await resident.answer()
    answer = await resident.number(typed)
    assert answer.status_code == 422
    assert "Hãy gõ số hộ bằng chữ số" in answer.text
    assert (await figures(house, link)).unlinked == 1


async def test_a_number_in_a_few_words_is_understood_and_one_that_is_not_there_is_told(house):
    link, _ = await linked(house)
    resident = Resident(house, link)
    await resident.open()
    await resident.answer()
    answer = await resident.number(HOUSEHOLDS + 1)
    assert answer.status_code == 404
    assert f"không có hộ số {HOUSEHOLDS + 1}" in answer.text
    assert (await resident.number("hộ 2 ạ")).status_code == 303
    assert (await figures(house, link)).number == 1
    back = await resident.http.get(f"{link.path}/household")
    assert (back.status_code, back.headers["location"]) == (307, link.path)


async def test_the_newest_answer_counts_and_a_replay_counts_once(house):
    link, _ = await linked(house, answers="attend")
    resident = Resident(house, link)
    await resident.open()
    for word in ("join", "join", "absent"):
        await resident.answer(word)
    await asyncio.gather(*(resident.answer("absent") for _ in range(5)))
    row = await figures(house, link)
    assert (row.unlinked, row.join, row.absent, row.opens) == (1, 0, 1, 1)
    page = (await resident.open()).text
    assert "– vắng" in page
    assert "Đổi ý thì bấm lại" in page
    assert 'value="absent"' not in page
    assert 'value="join"' in page


async def test_many_posts_of_one_new_browser_at_once_are_one_account(house):
    link, _ = await linked(house)
    resident = Resident(house, link)
    await resident.open()
    await asyncio.gather(*(resident.answer() for _ in range(8)))
    assert await count(house, Account) == 1
    assert (await figures(house, link)).unlinked == 1


@pytest.mark.parametrize("word", ["", "join", "<script>", "got_it\x00"])
async def test_an_answer_that_was_not_asked_for_counts_nothing(house, word):
    link, _ = await linked(house)
    resident = Resident(house, link)
    await resident.open(pictures=False)
    assert (await resident.answer(word)).status_code == 422
    assert await untouched(house)


async def test_a_call_for_help_that_reaches_nobody_says_so(house):
    link, _ = await linked(house, answers="attend")
    resident = Resident(house, link)
    await resident.open()
    await resident.answer("help")
    assert "chưa báo được ai" in (await resident.open()).text


async def test_a_call_for_help_reaches_the_head_once(house):
    link, _ = await linked(house, answers="attend")

    def tie(session):
        person = session.exec(select(Person).where(Person.username == "truong1")).one()
        chat = session.exec(select(Outbox.chat_id)).first()
        now, channel_id = datetime.now(UTC), house.runtime.channels["webchat", "main"].id
        account = Account(
            channel_id=channel_id, user_key="head", private_chat_id=chat, person_id=person.id, created_at=now
        )
        session.add(account)

    await house.write(tie)
    resident = Resident(house, link)
    await resident.open()
    for word in ("help", "join", "help"):
        await resident.answer(word)
    calls = await house.read(lambda s: s.exec(select(Outbox).where(Outbox.key.startswith("help:"))).all())
    assert len(calls) == 1
    assert "chưa báo được ai" not in (await resident.open()).text


# ---------------------------------------------------------------- one resident, here and in the web chat


async def test_the_web_chat_knows_the_same_resident(house):
    link, _ = await linked(house)
    resident = Resident(house, link)
    await resident.open()
    await resident.answer()
    await resident.number(2)
    page = await resident.http.get("/chat/ban-1/private")
    assert "set-cookie" in page.headers
    form_token = regex.search(r'data-token="(\w+)"', page.text)
    assert form_token
    assert form_token[1] == resident.form_token
    said = {"text": "/trogiup", "form_token": form_token[1]}
    answer = await resident.http.post(
        "/chat/ban-1/private/messages",
        data=said,
        headers={"accept": "application/json", "sec-fetch-site": "same-origin"},
    )
    assert answer.status_code == 200
    (account,) = await house.read(lambda s: s.exec(select(Account)).all())
    assert account.private_chat_id is not None
    assert account.grade is Grade.NUMBER


async def test_a_card_joins_this_browser_and_a_number_does_not_move_it_away(house):
    link, _ = await linked(house)
    resident = Resident(house, link)
    await resident.open()
    await resident.answer()
    card = f"/h/{await card_of(house, 4)}"
    page = await resident.http.get(card)
    assert "Gắn máy này với hộ số 4" in page.text
    assert (await figures(house, link)).unlinked == 1, "opening a card joins nothing"

    joined = await resident.http.post(card, data={"form_token": resident.form_token, "back": link.token})
    assert (joined.status_code, joined.headers["location"]) == (303, f"{card}?t={link.token}")
    page = (await resident.http.get(joined.headers["location"])).text
    assert "Máy này đã gắn với hộ số 4" in page
    assert f'href="{link.path}">Về thông báo' in page
    assert f'href="{link.path}">Về thông báo' in (await resident.http.get(card)).text, "it is known from the answer too"
    row = await figures(house, link)
    assert (row.card, row.number, row.unlinked) == (1, 0, 0)

    refused = await resident.number(2)
    assert refused.status_code == 409
    assert "quét thẻ của hộ ấy" in refused.text
    other = f"/h/{await card_of(house, 1)}"
    await resident.http.post(other, data={"form_token": resident.form_token})
    row = await figures(house, link)
    assert (row.card, row.number, row.unlinked) == (1, 0, 0)
    (receipt,) = await receipts(house)
    assert receipt.grade is Grade.CARD


async def test_a_card_is_joined_only_from_its_own_page(house):
    resident = Resident(house, Link("", 0, 0, ""))
    card = f"/h/{await card_of(house, 4)}"
    await resident.open(path=card)
    tries = [
        await resident.http.post(card),
        await resident.http.post(card, data={"form_token": "0" * 32}),
        await resident.http.post(
            card, data={"form_token": resident.form_token}, headers={"sec-fetch-site": "cross-site"}
        ),
        await resident.http.post(
            card, data={"form_token": resident.form_token}, headers={"origin": "https://xau.example"}
        ),
        await house.browser().post(card, data={"form_token": resident.form_token}),
    ]
    assert [answer.status_code for answer in tries] == [403] * 5
    assert await untouched(house)
    wrong = await resident.http.post(f"{card}x", data={"form_token": resident.form_token})
    assert wrong.status_code == 404


async def test_a_household_of_another_village_counts_where_it_lies_or_not_at_all(house):
    first, second = await linked(house)
    resident = Resident(house, second)
    await resident.open()
    await resident.answer()
    assert (await figures(house, second)).unlinked == 1
    await resident.http.post(f"/h/{await card_of(house, 1)}", data={"form_token": resident.form_token})
    assert ((await figures(house, second)).unlinked, (await figures(house, first)).card) == (0, 1)

    (third,) = await linked(house, villages=["ban-2"])
    resident.link = third
    await resident.open()
    await resident.answer()
    row = await figures(house, third)
    assert (row.unlinked, row.card) == (1, 0)
    assert "máy này (chưa gắn hộ)" in (await resident.open()).text


async def test_an_account_that_leaves_for_a_house_elsewhere_counts_again_where_its_link_was(house):
    """The notice is for two villages; the resident's house turns out to lie in a third."""
    first, second = await linked(house)

    def far(session):
        household = Household(unit_id=village_ids["ban-3"], number=1)
        session.add(household)
        session.flush()
        return card_token(house.runtime.house, household)

    village_ids = await house.village_ids()
    far_card = await house.write(far)
    resident = Resident(house, second)
    await resident.open()
    await resident.answer()
    await resident.http.post(f"/h/{await card_of(house, 1)}", data={"form_token": resident.form_token})
    await resident.http.post(f"/h/{far_card}", data={"form_token": resident.form_token})
    assert [(row.card, row.unlinked) for row in (await figures(house, first), await figures(house, second))] == [
        (0, 0),
        (0, 1),
    ]


# ---------------------------------------------------------------- counted honestly


async def test_previews_count_nothing_and_change_nothing(house):
    """Even one that keeps cookies and loads pictures."""
    link, _ = await linked(house)
    before = house.runtime.store.commits
    for agent in PREVIEWS:
        preview = Resident(house, link, agent=agent)
        for _ in range(2):
            assert (await preview.open()).status_code == 200
        assert await opens(house, link) == 0, agent
    assert await untouched(house)
    assert house.runtime.store.commits == before
    assert await state_of(house, link) is State.HANDED


async def test_an_unknown_program_that_loads_no_pictures_counts_nothing_however_often_it_comes(house):
    link, _ = await linked(house)
    before = house.runtime.store.commits
    preview = Resident(
        house, link, agent="Mozilla/5.0 (Linux; Android 12) AppleWebKit/537.36 Chrome/120.0 Safari/537.36"
    )
    for _ in range(5):
        await preview.open(pictures=False)
        await preview.http.head(link.path)
        await preview.http.head(f"{link.path}/o.gif")
    assert await untouched(house)
    assert house.runtime.store.commits == before, "not even written"
    assert await state_of(house, link) is State.HANDED


async def test_residents_browsers_count_once_each_and_the_first_proves_that_it_was_carried(house):
    link, other = await linked(house)
    await signed_in(house)
    for number, (name, agent) in enumerate(RESIDENTS.items(), start=1):
        resident = Resident(house, link, agent=agent)
        for _ in range(3):
            await resident.open()
        assert (await opens(house, link), await opens(house, other)) == (number, 0), name
        assert await state_of(house, link) is State.SENT
    assert await state_of(house, other) is State.HANDED
    assert await count(house, Account) == 0, "who only looks is not known"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-purpose": "prefetch"},
        {"sec-purpose": "prefetch;prerender"},
        {"purpose": "prefetch"},
        {"x-moz": "prefetch"},
        {"sec-fetch-site": "cross-site"},
        {"cookie": "loa_chat=made.up"},
        {"cookie": ""},
    ],
    ids=lambda headers: " ".join(next(iter(headers.items()))),
)
async def test_what_nobody_looks_at_is_not_counted_and_looks_the_same(house, headers):
    link, _ = await linked(house)
    resident = Resident(house, link)
    await resident.open(pictures=False)
    answers = [
        await resident.http.get(f"{link.path}/o.gif", headers=headers),
        await resident.http.get("/t/nobodysToken/o.gif"),
    ]
    assert await untouched(house)
    answers.append(await resident.http.get(f"{link.path}/o.gif"))
    assert await opens(house, link) == 1
    answers.append(await resident.http.get(f"{link.path}/o.gif"))
    for answer in answers:
        assert (answer.status_code, answer.content, answer.headers["cache-control"]) == (200, DOT, "no-store")
        assert "set-cookie" not in answer.headers
    assert len({tuple(sorted(answer.headers.items())) for answer in answers}) == 1


async def test_with_pictures_switched_off_the_answer_counts_the_open(house):
    link, _ = await linked(house)
    await signed_in(house)
    resident = Resident(house, link)
    await resident.open(pictures=False)
    assert await opens(house, link) == 0
    await resident.answer()
    assert await opens(house, link) == 1
    await resident.open()
    assert await opens(house, link) == 1
    assert await state_of(house, link) is State.SENT


async def test_the_carriers_own_browser_does_not_count_whatever_it_is_signed_in_to(house):
    link, _ = await linked(house)
    vault = house.runtime.vault

    async def signed_in_by(cookie: str, **changes) -> Resident:
        def keep(session):
            person = session.exec(select(Person).where(Person.username == "truong1")).one()
            at = datetime(2020, 1, 1, tzinfo=UTC)
            key = vault.fingerprint("web session", cookie)
            session.add(
                WebSession(token_key=key, person_id=person.id, created_at=at, seen_at=at, expires_at=at, **changes)
            )

        await house.write(keep)
        return Resident(house, link)

    phone, console = await signed_in_by("a phone", is_phone=True), await signed_in_by("the console")
    phone.http.cookies.set("loa_truong", "a phone")
    console.http.cookies.set("loa_session", "the console")
    official = Resident(house, link)
    assert (await official.http.sign_in("canbo")).status_code == 303

    linked_account = Resident(house, link)
    await linked_account.open(pictures=False)
    await linked_account.answer()

    def tie(session):
        (account,) = session.exec(select(Account)).all()
        account.person_id = session.exec(select(Person.id).where(Person.username == "truong1")).one()
        for receipt in session.exec(select(Receipt)).all():
            session.delete(receipt)

    await house.write(tie)
    for resident in (phone, console, official, linked_account):
        await resident.open()
        await resident.answer()
    row = await figures(house, link)
    assert row.opens == 0, "nobody but who hands it out has opened it"
    assert row.unlinked == 4, "their answers count like everybody's"

    neighbour = Resident(house, link)
    assert (await neighbour.http.sign_in("truong2")).status_code == 303, "a head, but of another village"
    await neighbour.open()
    assert await opens(house, link) == 1


async def test_five_hundred_browsers_behind_one_address_all_count(house):
    link, _ = await linked(house)
    form = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}

    async def come(number: int) -> None:
        _, headers, page = await ask(house, "GET", link.path, {})
        cookie = {"cookie": headers["set-cookie"].partition(";")[0]}
        await ask(house, "GET", f"{link.path}/o.gif", cookie)
        token = found(r'name="form_token" value="(\w+)"', page)
        answer = await ask(house, "POST", link.path, cookie | form, f"form_token={token}&answer=got_it")
        assert answer[0] == 303
        if number <= HOUSEHOLDS:
            said = f"form_token={token}&number={number}"
            assert (await ask(house, "POST", f"{link.path}/household", cookie | form, said))[0] == 303

    for start in range(1, 501, 50):
        await asyncio.gather(*(come(number) for number in range(start, start + 50)))
    row = await figures(house, link)
    assert (row.opens, row.number, row.unlinked) == (500, HOUSEHOLDS, 500 - HOUSEHOLDS)


async def test_one_browser_that_floods_is_told_to_wait_and_its_neighbour_is_not(house):
    link, _ = await linked(house)
    flood, neighbour = Resident(house, link), Resident(house, link)
    await flood.open()
    await neighbour.open()
    answers = [await flood.answer() for _ in range(90)]
    assert answers[-1].status_code == 429
    assert answers[-1].headers["retry-after"].isdecimal()
    assert "chờ" in answers[-1].text
    assert (await neighbour.answer()).status_code == 303


async def test_an_open_does_not_prove_what_it_cannot_prove(house):
    """Once the link stands in one group, that it is opened tells nothing of a correction that waits to be carried."""
    link, _ = await linked(house)
    await carried(house, link)
    await change(house, link, body="Bản đúng.")

    def again(session):
        from bot import errands, kits
        from store import outbox
        from store.tables import Chat, Lane

        now, notice = datetime.now(UTC), session.get_one(Notice, link.notice_id)
        old = session.exec(select(Outbox).where(Outbox.unit_id == link.unit_id, Outbox.state == State.SENT)).one()
        chat = session.get_one(Chat, old.chat_id)
        outbox.supersede(session.connection(), link.notice_id, [old.chat_id], now=now)
        kits.queue(session, house.runtime.house, notice, [chat], lane=Lane.NOTICE, now=now)
        row = session.exec(select(Outbox).where(Outbox.chat_id == chat.id, Outbox.revision == notice.revision)).one()
        row.state = State.HANDED
        session.flush()
        errands.hand(session, house.runtime.house, row, None, now=now)

    await house.write(again)
    await Resident(house, link).open()
    assert await opens(house, link) == 1
    assert await state_of(house, link) is State.HANDED


# ---------------------------------------------------------------- forged, foreign, gone


async def test_a_form_from_elsewhere_counts_nothing(house):
    link, _ = await linked(house)
    resident = Resident(house, link)
    await resident.open(pictures=False)
    thief = Resident(house, link)
    await thief.open(pictures=False)
    tries = [
        await resident.answer(form_token=""),
        await resident.answer(form_token=thief.form_token),
        await resident.answer(headers={"sec-fetch-site": "cross-site"}),
        await resident.answer(headers={"sec-fetch-site": "none"}),
        await house.browser().post(
            link.path,
            data={"answer": "got_it", "form_token": resident.form_token},
            headers={"origin": "https://xau.example"},
        ),
        await house.browser().post(link.path, data={"answer": "got_it", "form_token": resident.form_token}),
    ]
    assert {answer.status_code for answer in tries} == {403}
    resident.http.cookies.clear()
    assert (await resident.answer()).status_code == 403
    assert await untouched(house)


async def test_a_browser_that_keeps_no_cookies_is_told_what_to_do(house):
    link, _ = await linked(house)
    resident = Resident(house, link)
    await resident.open(pictures=False)
    resident.http.cookies.clear()
    answer = await resident.answer()
    assert answer.status_code == 403
    assert "cho phép trang này dùng cookie" in answer.text
    assert "Nhà tôi đã nắm" in answer.text, "the page is there, to try again"


async def test_a_broken_form_is_refused_in_words(house):
    link, _ = await linked(house)
    resident = Resident(house, link)
    await resident.open()
    answer = await resident.http.post(
        link.path, content=b"--x\r\nbroken", headers={"content-type": "multipart/form-data; boundary=y"}
    )
    assert answer.status_code in (400, 403)
    files = {"answer": ("x.txt", b"got_it")}
    answer = await resident.http.post(link.path, data={"form_token": resident.form_token}, files=files)
    assert answer.status_code == 400


async def test_guessing_tokens_ends_and_is_of_no_use(house):
    link, _ = await linked(house)
    guesser = house.browser(address="203.0.113.5")
    answers = [await guesser.get(f"/t/{n:012}") for n in range(pages.GUESSES + 1)]
    assert [answer.status_code for answer in answers] == [404] * pages.GUESSES + [429]
    assert "Đường dẫn này không dùng được" in answers[0].text
    assert (await guesser.post("/t/x")).status_code in (403, 429)
    assert (await guesser.get(link.path)).status_code == 200, "what is right is served to whoever shares the address"
    assert await untouched(house)


@pytest.mark.parametrize("token", ["%00", "é", "a" * 3000, "<script>", "%2e%2e", "1'--"])
async def test_a_made_up_token_opens_nothing(house, token):
    resident = Resident(house, (await linked(house))[0])
    await resident.open(pictures=False)
    answer = await resident.http.get(f"/t/{token}")
    assert answer.status_code == 404
    assert "<script" not in answer.text
    told = await resident.http.post(f"/t/{token}", data={"form_token": resident.form_token, "answer": "got_it"})
    assert told.status_code == 404
    assert await untouched(house)


async def test_a_revoked_link_leads_to_the_notices_own_page_and_counts_nothing(house):
    link, _ = await linked(house)
    resident = Resident(house, link)
    await resident.open(pictures=False)
    await change(house, link, revoked=True)
    page = await resident.http.get(link.path)
    assert page.status_code == 410
    assert f'href="/tb/{link.code}"' in page.text
    assert "nói với trưởng thôn, trưởng bản" in page.text
    assert "đường dẫn mới" not in page.text, "there is none"
    assert (await resident.answer()).status_code == 410
    assert (await resident.http.get(f"{link.path}/o.gif")).content == DOT
    assert await untouched(house)


@pytest.mark.parametrize("state", [s for s in NoticeState if s not in (NoticeState.PUBLISHED, NoticeState.RECALLED)])
async def test_a_notice_that_is_not_out_has_no_page(house, state):
    link, _ = await linked(house)
    await change(house, link, state=state)
    assert (await house.browser().get(link.path)).status_code == 404


# ---------------------------------------------------------------- corrected, recalled


async def test_a_correction_turns_every_page_of_it_red_at_once(house):
    link, _ = await linked(house, body="Họp lúc 8 giờ.")
    await change(house, link, body="Họp lúc 9 giờ.")
    resident = Resident(house, link)
    for page in ((await resident.open()).text, (await resident.http.get(f"/tb/{link.code}")).text):
        banner = regex.search(r'<p class="note bad" role="alert">(.+?)</p>', page)
        assert banner
        assert "đã được sửa lúc 09:05, 20/11/2026" in banner[1]
        assert "bản trước không còn đúng" in banner[1]
        assert page.index("bản trước không còn đúng") < page.index("Họp lúc 9 giờ.")
        assert "Họp lúc 8 giờ." not in page
    assert (await resident.answer()).status_code == 303


async def test_a_recalled_notice_is_not_to_be_followed_and_takes_no_answer(house):
    link, _ = await linked(house, body="Chuyển tiền làm đường.")
    resident = Resident(house, link)
    await resident.open()
    await change(house, link, body="Không thu tiền.", state=NoticeState.RECALLED)
    for page in ((await resident.http.get(link.path)).text, (await resident.http.get(f"/tb/{link.code}")).text):
        assert "đã thu hồi" in page
        assert "Không làm theo" in page
        assert "Thông báo thật" not in page
        assert page.index("Không thu tiền.") < page.index("không còn hiệu lực") < page.index("Chuyển tiền làm đường.")
        assert regex.search(r"<del>\s*<p class=\"body\">Chuyển tiền làm đường.</p>\s*</del>", page)
        assert "<button" not in page
    refused = await resident.answer()
    assert refused.status_code == 409
    assert "đã dừng" in refused.text
    assert (await figures(house, link)).unlinked == 0


async def test_a_notice_that_was_recalled_without_words_says_so_all_the_same(house):
    link, _ = await linked(house, body="Chuyển tiền làm đường.")
    await change(house, link, state=NoticeState.RECALLED)
    page = (await house.browser().get(link.path)).text
    assert "đã thu hồi" in page
    assert "<del>" in page


# ---------------------------------------------------------------- without the web chat


async def test_without_the_web_chat_the_account_is_the_relays_and_nothing_leads_to_a_chat(tmp_path):
    async with opened(tmp_path, ADAPTERS=("relay",)) as house:
        link, _ = await linked(house)
        resident = Resident(house, link)
        page = (await resident.open()).text
        assert "/chat/" not in page
        await resident.answer()
        await resident.number(1)
        assert (await figures(house, link)).number == 1
        (account,) = await house.read(lambda s: s.exec(select(Account)).all())
        assert account.channel_id == house.runtime.channels["relay", "main"].id


async def test_where_no_account_can_be_kept_the_notice_is_there_to_read(tmp_path):
    async with opened(tmp_path, ADAPTERS=()) as house:
        link, _ = await linked(house)
        page = (await Resident(house, link).open()).text
        assert "Mai họp bản" in page
        assert "<button" not in page
        assert "Gắn máy này" not in (await house.browser().get(f"/h/{await card_of(house, 1)}")).text


async def test_over_https_the_cookie_is_secure_and_good_for_every_page(house):
    link, _ = await linked(house)
    browser = house.browser(base="https://loa.xa.example")
    cookie = (await browser.get(link.path)).headers["set-cookie"]
    assert regex.match(r"loa_chat=[\w-]{32}\.[\w-]{20}; ", cookie)
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Secure", "Max-Age=34560000"} <= set(cookie.split("; "))


async def test_only_a_cookie_that_we_signed_is_taken(house):
    link, _ = await linked(house)
    for made_up in ("x" * 53, "a" * 32 + "." + "b" * 20, "a.b", "é"):
        browser = house.browser()
        headers = httpx.Headers([(b"cookie", f"loa_chat={made_up}".encode())])
        told = (await browser.get(link.path, headers=headers)).headers["set-cookie"]
        assert made_up not in told
