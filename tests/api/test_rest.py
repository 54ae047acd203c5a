"""/api/v1: notices are written once, read as far as one may, and every refusal says what and where."""

import asyncio
import csv
import io
from datetime import UTC, datetime

import pytest
from sqlmodel import col, select

from bot import audiences, reach
from bot.permissions import actor_of
from bot.texts import failure as told_as
from store import reach as figures
from store import sessions
from store.outbox import Failure
from store.tables import ApiToken, Audit, Household, Notice, Outbox, Person, State, Unit
from tests.api.conftest import HOUSEHOLDS, PUBLIC, opened
from tests.api.errand_rows import handed, relay_group

URL = "/api/v1/notices"
BODY = {"body": "Mai họp bản lúc 8 giờ.", "villages": ["ban-1", "ban-2"]}


async def test_a_notice_is_written_and_told_whole(house):
    answer = await (await house.rest("canbo")).post(
        URL,
        json={**BODY, "kind": "meeting", "answers": "attend", "due_at": "2099-01-02T08:00:00+07:00"},
        headers={"idempotency-key": "1"},
    )
    assert answer.status_code == 201
    told = answer.json()
    assert told["state"] == "published"
    assert told["url"] == f"{PUBLIC}/tb/{told['code']}"
    assert [village["code"] for village in told["villages"]] == ["ban-1", "ban-2"]
    assert datetime.fromisoformat(told["due_at"]) == datetime(2099, 1, 2, 1, tzinfo=UTC)
    assert (told["kind"], told["answers"], told["issuer"]) == ("meeting", "attend", "Ban của Xã Mẫu")


async def test_the_same_key_is_the_same_notice_however_often_and_however_fast(house):
    rest = await house.rest("canbo")
    answers = await asyncio.gather(*(rest.post(URL, json=BODY, headers={"idempotency-key": "k"}) for _ in range(10)))
    assert sorted(a.status_code for a in answers) == [200] * 9 + [201]
    assert len({a.json()["code"] for a in answers}) == 1
    other = await rest.post(URL, json={**BODY, "body": "Khác."}, headers={"idempotency-key": "k"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
    theirs = await (await house.rest("chutich")).post(URL, json=BODY, headers={"idempotency-key": "k"})
    assert theirs.status_code == 201, "a key is its owner's"
    assert len(await house.read(lambda s: s.exec(select(Notice)).all())) == 2


async def test_a_notice_to_all_waits_for_a_second_person(house):
    told = await house.notice(villages="all")
    assert told["state"] == "waiting"
    author, second = await house.rest("canbo"), await house.rest("chutich")
    own = await author.post(f"{URL}/{told['code']}/approve")
    assert (own.status_code, own.json()["error"]["code"]) == (403, "not_allowed")
    assert (await second.post(f"{URL}/{told['code']}/approve")).json()["state"] == "published"
    assert (await second.post(f"{URL}/{told['code']}/approve")).status_code == 409


async def test_a_returned_notice_tells_its_reason(house):
    told = await house.notice(villages="all")
    answer = await (await house.rest("chutich")).post(f"{URL}/{told['code']}/return", json={"reason": "Sai ngày."})
    assert (answer.json()["state"], answer.json()["return_reason"]) == ("returned", "Sai ngày.")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"body": ""}, "body", id="no words"),
        pytest.param({"body": "  \n "}, "body", id="only blanks"),
        pytest.param({"body": "a" * 20_001}, "body", id="too long"),
        pytest.param({"villages": []}, "villages", id="no village"),
        pytest.param({"villages": ["ban-khac"]}, "villages", id="a foreign village"),
        pytest.param({"villages": ["khong-co"]}, "villages", id="an unknown village"),
        pytest.param({"villages": ["xa-mau"]}, "villages", id="a commune"),
        pytest.param({"kind": "party"}, "kind", id="an unknown kind"),
        pytest.param({"issuer": "Ban của Bản Một"}, "issuer", id="a body of somebody else"),
        pytest.param({"due_at": "2099-01-02T08:00:00"}, "due_at", id="a time without its zone"),
        pytest.param({"due_at": "2001-01-02T08:00:00Z"}, "due_at", id="a time that is over"),
        pytest.param({"colour": "red"}, "colour", id="an unknown field"),
    ],
)
async def test_a_mistake_is_named_with_its_field(house, changes, field):
    answer = await (await house.rest("canbo")).post(URL, json={**BODY, **changes}, headers={"idempotency-key": "1"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "invalid"
    assert error["field"].startswith(field)
    assert error["message"]


async def test_the_key_is_asked_for(house):
    answer = await (await house.rest("canbo")).post(URL, json=BODY)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "idempotency-key")


@pytest.mark.parametrize("username", ["quantri", "xem", "tohelp"])
async def test_who_has_no_duty_to_broadcast_sends_nothing(house, username):
    answer = await (await house.rest(username)).post(URL, json=BODY, headers={"idempotency-key": "1"})
    assert answer.status_code == 422
    assert await house.read(lambda s: s.exec(select(Notice)).all()) == []


async def test_a_head_speaks_for_the_own_village_alone(house):
    told = await house.notice("truong1", villages="all")
    assert (told["issuer"], [v["code"] for v in told["villages"]]) == ("Ban của Bản Một", ["ban-1"])


async def test_a_foreign_notice_is_not_found(house):
    code = (await house.notice())["code"]
    stranger = await house.rest("xakhac")
    for method, path in (
        ("GET", ""),
        ("GET", "/reach"),
        ("GET", "/reach.csv"),
        ("POST", "/approve"),
        ("POST", "/cancel"),
        ("POST", "/resend"),
        ("POST", "/return"),
        ("POST", "/correct"),
        ("POST", "/recall"),
    ):
        body = {"/resend": {"states": ["failed"]}, "/correct": {"body": "x"}}.get(path, {"reason": "x"})
        answer = await stranger.request(method, f"{URL}/{code}{path}", json=body if method == "POST" else None)
        unknown = await stranger.request(method, f"{URL}/TB-0000{path}", json=body if method == "POST" else None)
        assert (answer.status_code, answer.json()) == (404, unknown.json())
    assert (await stranger.get(URL)).json()["notices"] == []


async def test_a_draft_of_the_commune_is_not_shown_to_a_head(house):
    code = (await house.notice(villages="all"))["code"]
    head = await house.rest("truong1")
    assert (await head.get(f"{URL}/{code}")).status_code == 404
    assert (await head.get(URL)).json()["notices"] == []
    await (await house.rest("chutich")).post(f"{URL}/{code}/approve")
    seen = (await head.get(f"{URL}/{code}")).json()
    assert [village["code"] for village in seen["villages"]] == ["ban-1"], (
        "of a commune's notice a head sees own villages"
    )


async def test_the_list_is_paged(house):
    codes = [(await house.notice(body=f"Thông báo {n}"))["code"] for n in range(5)]
    rest, seen, before = await house.rest("canbo"), [], None
    while True:
        page = (await rest.get(URL, params={"limit": 2} | ({"before": before} if before else {}))).json()
        seen += [notice["code"] for notice in page["notices"]]
        before = page["next"]
        if before is None:
            break
    assert seen == codes[::-1]


async def test_what_cannot_be_told_is_null_and_named(house):
    code = (await house.notice())["code"]
    told = (await (await house.rest("canbo")).get(f"{URL}/{code}/reach")).json()
    one, two = told["villages"]
    assert (one["households"], one["acknowledged_households"]) == (HOUSEHOLDS, 0)
    assert (two["households"], two["acknowledged_households"], two["grades"]) == (None, None, None)
    assert "households" in two["not_measurable"]
    assert (one["chats"], one["sent"], one["members"]) == (1, 0, None)
    assert (one["given"], one["carried"], one["opens"]) == (None, None, None)
    assert "opens" in one["not_measurable"]
    assert "members" in one["not_measurable"]


async def test_reach_counts_and_tells_why_a_group_was_not_reached(house):
    code = (await house.notice())["code"]

    def happen(session):
        notice = session.exec(select(Notice).where(Notice.code == code)).one()
        village = session.exec(select(Unit).where(Unit.code == "ban-1")).one()
        row = session.exec(select(Outbox).where(Outbox.unit_id == village.id)).first()
        # What became of a send is written by the engine; here its row is put as it would leave it.
        row.state, row.error = State.FAILED, Failure.CHAT_GONE
        session.add(row)
        session.flush()
        figures.recount(session.connection(), [(notice.id, village.id)])

    await house.write(happen)
    told = (await (await house.rest("canbo")).get(f"{URL}/{code}/reach")).json()
    village = next(v for v in told["villages"] if v["code"] == "ban-1")
    assert village["failed"] == 1
    (failure,) = village["failures"]
    assert failure.pop("row")
    assert [failure] == [
        {"chat": "Nhóm Bản Một", "state": "failed", "error": "chat_gone", "reason": told_as(Failure.CHAT_GONE)}
    ]
    again = await (await house.rest("canbo")).post(f"{URL}/{code}/resend", json={"states": ["failed"]})
    assert again.json() == {"code": code, "resent": 1}
    wrong = await (await house.rest("canbo")).post(f"{URL}/{code}/resend", json={"states": ["sent"]})
    assert wrong.status_code == 422


async def test_what_is_unknown_is_settled_by_whoever_looked(house):
    code = (await house.notice())["code"]

    def lose(session):
        rows = session.exec(select(Outbox).where(col(Outbox.notice_id).is_not(None))).all()
        for row in rows:
            row.state, row.error = State.UNKNOWN, Failure.NO_ANSWER
            session.add(row)
        session.flush()
        figures.recount(session.connection(), [(row.notice_id, row.unit_id) for row in rows])

    await house.write(lose)
    rest, other = await house.rest("canbo"), await house.rest("congan")
    villages = (await rest.get(f"{URL}/{code}/reach")).json()["villages"]
    first, second = [village["failures"][0]["row"] for village in villages]
    assert (await other.post(f"{URL}/{code}/unknown/{first}", json={"arrived": True})).status_code == 404
    assert (await rest.post(f"{URL}/{code}/unknown/999", json={"arrived": True})).status_code == 404
    assert (await rest.post(f"{URL}/{code}/unknown/{first}", json={"arrived": True})).status_code == 204
    assert (await rest.post(f"{URL}/{code}/unknown/{second}", json={"arrived": False})).status_code == 204
    assert (await rest.post(f"{URL}/{code}/unknown/{first}", json={"arrived": False})).status_code == 409
    total = (await rest.get(f"{URL}/{code}/reach")).json()["total"]
    assert (total["sent"], total["failed"], total["unknown"]) == (1, 1, 0)
    settled = await house.read(lambda s: s.exec(select(Audit.detail).where(Audit.action == "unknown settled")).all())
    assert settled == [f"row {first} arrived", f"row {second} did not arrive"]


async def test_a_correction_and_a_recall_are_done_once_however_often_they_are_asked_for(house):
    code, rest = (await house.notice())["code"], await house.rest("canbo")
    new = "Mai họp bản lúc 9 giờ."
    answers = [await rest.post(f"{URL}/{code}/correct", json={"body": new, "revision": 1}) for _ in range(2)]
    assert [(a.status_code, a.json()["revision"], a.json()["body"]) for a in answers] == [(200, 2, new)] * 2
    late = await rest.post(f"{URL}/{code}/correct", json={"body": "Lời khác.", "revision": 1})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "conflict")
    answers = [await rest.post(f"{URL}/{code}/recall", json={"reason": "Ghi nhầm."}) for _ in range(2)]
    assert [(a.status_code, a.json()["state"], a.json()["revision"]) for a in answers] == [(200, "recalled", 3)] * 2
    assert (await rest.post(f"{URL}/{code}/correct", json={"body": new})).status_code == 409
    for body in ({}, {"body": ""}, {"body": new, "x": 1}, {"body": new, "revision": 0}):
        assert (await rest.post(f"{URL}/{code}/correct", json=body)).status_code == 422
    assert (await (await house.rest("congan")).post(f"{URL}/{code}/recall", json={"reason": "x"})).status_code == 404


async def test_what_people_carry_is_told_in_figures_of_its_own(house):
    await handed(house, await relay_group(house))
    code = (await (await house.rest("canbo")).get(URL)).json()["notices"][0]["code"]
    told = (await (await house.rest("canbo")).get(f"{URL}/{code}/reach")).json()
    one = next(village for village in told["villages"] if village["code"] == "ban-1")
    assert (one["given"], one["carried"], one["handed"], one["opens"]) == (1, 0, 1, 0)
    assert (one["told_count"], one["old_texts"], one["carried_median_seconds"]) == (None, [], None)
    assert "1 đã giao, 0 đã chuyển" in told["words"]


async def test_a_notice_goes_to_an_audience_by_its_name(house):
    def make(session):
        commune = session.exec(select(Unit).where(Unit.code == "xa-mau")).one()
        official = actor_of(session, session.exec(select(Person.id).where(Person.username == "canbo")).one())
        audiences.create(session, official, commune, " Chi hội  Phụ nữ ", datetime.now(UTC))

    await house.write(make)
    told = await house.notice(audience="Chi hội Phụ nữ")
    assert told["audience"] == "Chi hội Phụ nữ"
    assert (await house.notice())["audience"] is None
    body = {"body": "x", "villages": ["ban-1"], "audience": "Chi bộ"}
    wrong = await (await house.rest("canbo")).post(URL, json=body, headers={"idempotency-key": "1"})
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (422, "audience")
    assert "Chi hội Phụ nữ" in wrong.json()["error"]["message"]


async def test_a_households_tick_counts_once_and_shows_its_grade(house):
    code = (await house.notice())["code"]
    head_id = await house.person_id("truong1")

    def tick(session):
        notice = session.exec(select(Notice).where(Notice.code == code)).one()
        village = session.exec(select(Unit).where(Unit.code == "ban-1")).one()
        ids = session.exec(select(Household.id).where(Household.unit_id == village.id)).all()
        for _ in range(2):
            reach.tick(session, actor_of(session, head_id), notice, village, ids[:3], now=datetime.now(UTC))

    await house.write(tick)
    told = (await (await house.rest("canbo")).get(f"{URL}/{code}/reach")).json()
    assert told["villages"][0]["acknowledged_households"] == 3
    assert told["villages"][0]["grades"] == {"card": 0, "number": 0, "head": 3, "visit": 0}


async def test_the_table_comes_as_csv_too(house):
    code = (await house.notice())["code"]
    rest = await house.rest("canbo")
    for address in (f"{URL}/{code}/reach.csv", f"{URL}/{code}/reach?format=csv"):
        answer = await rest.get(address)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.content.startswith(b"\xef\xbb\xbf"), "so that a spreadsheet sees that it is UTF-8"
        rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
        assert [row[0] for row in rows[1:]] == ["Bản Một", "Bản Hai", "Cộng"]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer sai", "Basic Y2FuYm86eA==", "bearer loa_" + "x" * 43])
async def test_without_a_good_token_nothing_is_told(house, header):
    browser = house.browser()
    answer = await browser.get(URL, headers={"authorization": header})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["error"]["code"] == "unauthorized"


async def test_a_console_cookie_is_no_token(house):
    browser = await house.signed_in("canbo")
    assert (await browser.post(URL, json=BODY, headers={"idempotency-key": "1"})).status_code == 401


async def test_a_revoked_token_is_void_and_only_a_fingerprint_is_kept(house):
    rest = await house.rest("canbo")
    assert (await rest.get(URL)).status_code == 200
    token = rest.headers["authorization"].removeprefix("Bearer ")
    kept = await house.read(lambda s: s.exec(select(ApiToken)).one())
    assert kept.used_at is not None
    assert token not in repr(kept.model_dump())
    await house.write(sessions.revoke_token, kept.id, kept.person_id, now=datetime.now(UTC))
    assert (await rest.get(URL)).status_code == 401


async def test_without_a_public_address_there_is_no_link(tmp_path):
    async with opened(tmp_path, public_url="http://127.0.0.1:8000") as house:
        assert (await house.notice())["url"] is None


async def test_the_document_names_every_call_and_its_page_loads_nothing_from_elsewhere(house):
    document = (await house.browser().get("/api/openapi.json")).json()
    assert set(document["paths"]) == {
        URL,
        f"{URL}/{{code}}",
        *(f"{URL}/{{code}}/{act}" for act in ("approve", "return", "cancel", "correct", "recall", "resend")),
        *(f"{URL}/{{code}}/{act}" for act in ("unknown/{row}", "reach", "reach.csv")),
    }
    page = (await house.browser().get("/api/docs")).text
    assert "POST /api/v1/notices" in page
    assert "http://" not in page
    assert "https://" not in page


async def test_a_body_without_end_is_refused(house):
    rest = await house.rest("canbo")
    answer = await rest.post(URL, content=b"[" + b" " * (1 << 20), headers={"idempotency-key": "1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
