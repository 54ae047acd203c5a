"""Signing in: what is checked, what is told, what is counted, and what is over at once."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import perf_counter

import pytest
from argon2 import PasswordHasher
from sqlmodel import select

from api import auth
from api.console.notices import ACTS
from api.console.signin import safe_next
from api.passwords import Passwords
from bot import people
from store import sessions
from store.tables import Attempt, Person, WebSession
from tests.api.conftest import PASSWORD, csrf_in, opened

WRONG = "Tên đăng nhập hoặc mật khẩu chưa đúng."
OFTEN = "Đăng nhập sai nhiều lần."


async def test_the_right_password_opens_the_console_and_signing_out_closes_it(house):
    browser = house.browser()
    assert (await browser.get("/console/")).headers["location"] == "/console/login"
    welcome = await browser.sign_in(" CanBo ")
    assert (welcome.status_code, welcome.headers["location"]) == (303, "/console/")
    cookie = next(c for c in welcome.headers.get_list("set-cookie") if c.startswith(auth.COOKIE)).lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert "Cán bộ văn hoá" in (await browser.get("/console/")).text

    before = dict(browser.cookies)
    assert (await browser.post_form("/console/", "/console/logout")).status_code == 303
    browser.cookies.update(before)  # somebody kept the cookie: it opens nothing any more
    assert (await browser.get("/console/")).status_code == 303


async def test_the_cookie_is_for_https_alone_where_there_is_https(house):
    browser = house.browser(base="https://loa.xa.example")
    welcome = await browser.sign_in("canbo")
    assert "; secure" in next(c for c in welcome.headers.get_list("set-cookie") if c.startswith(auth.COOKIE)).lower()
    assert "max-age" in welcome.headers["strict-transport-security"]


async def test_only_a_fingerprint_of_the_cookie_is_kept(house):
    browser = await house.signed_in("canbo")
    kept = await house.read(lambda s: [row.model_dump() for row in s.exec(select(WebSession)).all()])
    assert browser.cookies[auth.COOKIE] not in repr(kept)


@pytest.mark.parametrize(
    ("username", "password"),
    [
        pytest.param("canbo", "sai hoàn toàn", id="wrong password"),
        pytest.param("khongai", PASSWORD, id="unknown name"),
        pytest.param("", "", id="nothing"),
        pytest.param("canbo", PASSWORD + " ", id="almost right"),
    ],
)
async def test_a_wrong_name_and_a_wrong_password_are_told_alike(house, username, password):
    answer = await house.browser().sign_in(username, password)
    assert answer.status_code == 400
    assert WRONG in answer.text
    assert auth.COOKIE not in "".join(answer.headers.get_list("set-cookie"))


async def test_an_unknown_name_takes_as_long_as_a_wrong_password():
    costly = PasswordHasher(time_cost=20, memory_cost=1024, parallelism=1)
    passwords, known = Passwords(costly), costly.hash(PASSWORD)
    spans = {}
    for kept in (known, None):
        took: list[float] = []
        for _ in range(3):
            begun = perf_counter()
            assert not await passwords.matches(kept, "sai")
            took.append(perf_counter() - begun)
        spans[kept] = min(took)
    assert spans[None] > spans[known] / 2


async def test_a_person_without_a_password_cannot_sign_in(house):
    await house.write(lambda s: people.add_person(s, "Chưa có mật khẩu", "moi", now=datetime.now(UTC)))
    for password in ("", "nobody has this password"):
        assert WRONG in (await house.browser().sign_in("moi", password)).text


async def test_wrong_tries_lock_the_name_at_that_address_and_nobody_else(house):
    guesser = house.browser(address="203.0.113.5")
    answers = [await guesser.sign_in("canbo", f"đoán {n}") for n in range(auth.ALLOWED_HERE)]
    assert [OFTEN in a.text for a in answers] == [False] * (auth.ALLOWED_HERE - 1) + [True]
    assert OFTEN in (await guesser.sign_in("canbo")).text, "the right password opens nothing while locked"
    assert OFTEN not in (await guesser.sign_in("chutich", "sai")).text
    assert (await house.browser(address="203.0.113.77").sign_in("canbo")).status_code == 303


async def test_guesses_at_the_same_moment_are_all_counted_before_one_is_looked_at(house):
    guesser = house.browser(address="203.0.113.8")
    csrf = csrf_in(await guesser.get("/console/login"))
    passwords = [f"đoán {n}" for n in range(39)] + [PASSWORD]
    answers = await asyncio.gather(
        *(
            guesser.post("/console/login", data={"csrf": csrf, "username": "canbo", "password": password})
            for password in passwords
        )
    )
    looked_at = [answer for answer in answers if answer.status_code == 303 or WRONG in answer.text]
    assert len(looked_at) <= auth.ALLOWED_HERE
    assert sum(OFTEN in answer.text for answer in answers) >= len(passwords) - auth.ALLOWED_HERE


async def test_right_passwords_use_up_no_tries(house):
    for _ in range(auth.ALLOWED_HERE * 2):
        assert (await house.browser(address="203.0.113.9").sign_in("canbo")).status_code == 303


async def test_the_words_tell_how_long_it_really_is_until_the_next_try(house):
    guesser = house.browser(address="203.0.113.5")
    begun = datetime.now(UTC)
    house.runtime.clock = lambda: begun
    for n in range(auth.ALLOWED_HERE):
        answer = await guesser.sign_in("canbo", f"đoán {n}")
    assert "thử lại sau 15 phút" in answer.text
    house.runtime.clock = lambda: begun + timedelta(minutes=10, seconds=30)
    assert "thử lại sau 5 phút" in (await guesser.sign_in("canbo")).text
    house.runtime.clock = lambda: begun + timedelta(minutes=15)
    assert "thử lại sau 30 phút" in (await guesser.sign_in("canbo", "sai")).text, "longer each time"
    house.runtime.clock = lambda: begun + timedelta(minutes=45)
    assert (await guesser.sign_in("canbo")).status_code == 303


async def test_an_unknown_name_is_locked_like_a_known_one(house):
    guesser = house.browser(address="203.0.113.6")
    answers = [await guesser.sign_in("khongai", f"đoán {n}") for n in range(auth.ALLOWED_HERE)]
    assert OFTEN in answers[-1].text


async def test_the_right_password_forgets_the_wrong_ones_before_it(house):
    browser = house.browser()
    for n in range(auth.ALLOWED_HERE - 1):
        await browser.sign_in("canbo", f"đoán {n}")
    assert (await browser.sign_in("canbo")).status_code == 303
    assert WRONG in (await house.browser().sign_in("canbo", "sai")).text


async def test_what_is_kept_of_wrong_tries_names_nobody(house):
    await house.browser(address="203.0.113.9").sign_in("canbo", "sai")
    kept = await house.read(lambda s: [a.key for a in s.exec(select(Attempt)).all()])
    assert kept
    assert not [key for key in kept if "canbo" in key or "203.0" in key]


async def test_a_form_without_its_token_is_refused(house):
    browser = house.browser()
    fields = {"username": "canbo", "password": PASSWORD}
    assert (await browser.post("/console/login", data=fields)).status_code == 403
    strangers = csrf_in(await house.browser().get("/console/login"))
    await browser.get("/console/login")
    assert (await browser.post("/console/login", data={**fields, "csrf": strangers})).status_code == 403
    assert (await browser.get("/console/")).status_code == 303


async def test_every_form_of_the_console_is_refused_without_its_token(house):
    notice = await house.notice()
    browser = await house.signed_in("quantri")
    code = notice["code"]
    addresses = [
        "/console/logout",
        "/console/notices/new",
        *(f"/console/notices/{code}/{act}" for act in ACTS),
        *(f"/console/villages/ban-1/{act}" for act in ("bind-code", "unbind", "audiences", "new-card", "setup.pdf")),
        *(f"/console/villages/ban-1/{act}" for act in ("relay", "relay/close")),
        *(f"/console/villages/ban-1/{act}/{code}" for act in ("missing", "count")),
        "/console/errands/1/done",
        "/console/people/1/link-code",
        "/console/people/1/phone",
        "/console/people/1/handover",
        "/console/me/link-code",
        "/console/me/tokens",
        "/console/me/tokens/1/revoke",
        "/console/me/sessions/1/end",
        "/console/me/password",
    ]
    posts = {route.path for route in house.app.routes if "POST" in (getattr(route, "methods", None) or ())}
    forms = len([path for path in posts if path.startswith("/console")])
    login, acts = 1, len(ACTS) - 1  # one asks for no sign-in, and what is done with a notice shares one address
    assert forms == len(addresses) - acts + login, "a new form needs a line here"
    strangers = csrf_in(await (await house.signed_in("canbo")).get("/console/"))
    for address in addresses:
        for data in ({}, {"csrf": "0" * 32}, {"csrf": strangers}, {"csrf": "é"}):
            assert (await browser.post(address, data=data)).status_code == 403, address


async def test_a_sign_in_ends_when_it_is_idle_and_after_a_week(tmp_path):
    async with opened(tmp_path) as house:
        browser = await house.signed_in("canbo")
        begun = datetime.now(UTC)
        house.runtime.clock = lambda: begun + sessions.IDLE + timedelta(minutes=1)
        assert (await browser.get("/console/")).status_code == 303
        house.runtime.clock = lambda: begun
        for hours in range(11, 168, 11):  # always at work
            house.runtime.clock = lambda hours=hours: begun + timedelta(hours=hours)
            assert (await browser.get("/console/")).status_code == 200
        house.runtime.clock = lambda: begun + sessions.LONGEST + timedelta(minutes=1)
        assert (await browser.get("/console/")).status_code == 303


async def test_leaving_office_ends_the_sign_in_at_once(house):
    browser = await house.signed_in("canbo")

    def leave(session):
        person = session.exec(select(Person).where(Person.username == "canbo")).one()
        person.is_active = False
        session.add(person)

    await house.write(leave)
    assert (await browser.get("/console/")).status_code == 303


async def test_signing_out_another_place_and_changing_the_password_ends_the_others(house):
    here, there = await house.signed_in("canbo"), await house.signed_in("canbo")
    answer = await here.post_form(
        "/console/me", "/console/me/password", old="sai", new="mật khẩu mới tinh", again="mật khẩu mới tinh"
    )
    assert answer.status_code == 422
    answer = await here.post_form("/console/me", "/console/me/password", old=PASSWORD, new="ngắn", again="ngắn")
    assert "ít nhất 10" in answer.text
    assert (await there.get("/console/")).status_code == 200
    answer = await here.post_form(
        "/console/me", "/console/me/password", old=PASSWORD, new="mật khẩu mới tinh", again="mật khẩu mới tinh"
    )
    assert "Đã đổi mật khẩu" in answer.text
    assert (await here.get("/console/")).status_code == 200
    assert (await there.get("/console/")).status_code == 303
    assert (await house.browser().sign_in("canbo", "mật khẩu mới tinh")).status_code == 303
    assert WRONG in (await house.browser(address="192.0.2.1").sign_in("canbo")).text


async def test_after_signing_in_one_comes_back_to_the_page_that_was_wanted(house):
    browser = house.browser()
    sent = await browser.get("/console/notices?tab=draft")
    assert sent.headers["location"] == "/console/login?next=%2Fconsole%2Fnotices%3Ftab%3Ddraft"
    assert 'name="next" value="/console/notices?tab=draft"' in (await browser.get(sent.headers["location"])).text
    answer = await browser.post_form(
        sent.headers["location"],
        "/console/login",
        username="canbo",
        password=PASSWORD,
        next="/console/notices?tab=draft",
    )
    assert answer.headers["location"] == "/console/notices?tab=draft"


@pytest.mark.parametrize(
    "wanted",
    [
        "https://xau.example/console/",
        "//xau.example/console/",
        "/\\xau.example",
        "/console/\\..\\x",
        "javascript:alert(1)",
        "/console/\r\nset-cookie: a=b",
        "/tb/TB-0000",
        "/console/login",
        "",
    ],
)
def test_nobody_is_sent_to_another_site(wanted):
    assert safe_next(wanted) == "/console/"
