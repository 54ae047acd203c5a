"""Who sees what: each role at each page, for its own place and for somebody else's. What is foreign is not there."""

import pytest
from sqlmodel import select

from store.tables import Household, Notice, NoticeState
from tests.api.conftest import HOUSEHOLDS, csrf_in
from tests.pictures.sheets import printed

ROLES = ("quantri", "canbo", "congan", "xem", "truong1", "truong2", "tohelp", "xakhac")
ALL = frozenset(ROLES)
COMMUNE = frozenset({"quantri", "canbo", "congan", "xem"})

PAGES: dict[str, frozenset[str]] = {
    "/console/": ALL,
    "/console/notices": ALL,
    "/console/villages": ALL,
    "/console/me": ALL,
    "/console/people": frozenset({"quantri", "canbo", "xakhac"}),
    "/console/system": frozenset({"quantri"}),
    # A notice of the commune to Bản Một and Bản Hai, released.
    "/console/notices/{released}": ALL - {"xakhac"},
    "/console/notices/{released}/board.pdf": ALL - {"xakhac"},
    "/console/notices/{released}/relay.png": ALL - {"xakhac"},
    "/console/notices/{released}/table": ALL - {"xakhac"},
    "/console/notices/{released}/reach.csv": ALL - {"xakhac"},
    # A notice to all that waits for its approval.
    "/console/notices/{waiting}": frozenset({"canbo", "congan"}),
    "/console/notices/{waiting}/board.pdf": frozenset(),
    "/console/notices/{waiting}/relay.png": frozenset({"canbo", "congan"}),
    "/console/notices/TB-0000": frozenset(),
    "/console/villages/ban-1": ALL - {"xakhac", "truong2"},
    "/console/villages/ban-khac": frozenset({"xakhac"}),
    "/console/villages/khong-co": frozenset(),
    "/console/villages/xa-mau": frozenset(),
    "/console/villages/ban-1/cards": frozenset({"quantri", "canbo", "truong1"}),
    "/console/villages/ban-1/setup.pdf": frozenset({"quantri", "canbo", "truong1"}),
    "/console/villages/ban-1/missing/{released}": frozenset({"truong1", "tohelp"}),
    "/console/villages/ban-2/missing/{released}": frozenset({"truong2"}),
    "/console/villages/ban-3/missing/{released}": frozenset(),
    "/console/villages/ban-1/missing/{waiting}": frozenset(),
}
MAY_WRITE = frozenset({"canbo", "congan", "truong1", "truong2", "xakhac"})


async def test_every_page_of_the_console_has_a_line_in_the_table(house):
    known = {path.replace("{released}", "{code}").replace("{waiting}", "{code}") for path in PAGES}
    known = {
        path.replace("ban-1", "{code}").replace("{code}/missing/{code}", "{code}/missing/{notice}") for path in known
    }
    gets = {
        route.path
        for route in house.app.routes
        if getattr(route, "path", "").startswith("/console") and "GET" in (getattr(route, "methods", None) or ())
    }
    elsewhere = {
        "/console",
        "/console/login",
        "/console/notices/new",  # below
        "/console/notices/{code}/events",  # test_live
        "/console/notices/{code}/files/{position:int}",  # test_console
    }
    assert gets - elsewhere <= known


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_sees_its_pages_and_no_other(house, role):
    codes = {
        "released": (await house.notice())["code"],
        "waiting": (await house.notice(villages="all"))["code"],
    }
    browser = await house.signed_in(role)
    seen = {path for path in PAGES if (await browser.get(path.format(**codes))).status_code == 200}
    assert seen == {path for path, roles in PAGES.items() if role in roles}
    refused = {path: (await browser.get(path.format(**codes))).status_code for path in PAGES if path not in seen}
    assert set(refused.values()) <= {404}
    assert (await browser.get("/console/notices/new")).status_code == (200 if role in MAY_WRITE else 403)


@pytest.mark.parametrize("role", ROLES)
async def test_what_may_not_be_seen_may_not_be_done_either(house, role):
    code = (await house.notice(villages="all"))["code"]
    browser = await house.signed_in(role)
    token = {"csrf": csrf_in(await browser.get("/console/me"))}
    before = await house.read(lambda s: s.exec(select(Notice)).one())
    approved = await browser.post(f"/console/notices/{code}/approve", data=token)
    expected = {"canbo": 403, "congan": 404}
    assert approved.status_code == expected.get(role, 404)
    fields = {"reason": "x", "states": "failed", "body": "x", "revision": "1", "village": "ban-1"}
    for act in ("submit", "return", "resend", "correct", "recall", "revoke-link"):
        answer = await browser.post(f"/console/notices/{code}/{act}", data={**token, **fields})
        if role != "canbo":
            assert answer.status_code == 404, act
    if role != "canbo":
        assert (await browser.post(f"/console/notices/{code}/cancel", data=token)).status_code == 404
    after = await house.read(lambda s: s.exec(select(Notice)).one())
    assert after.state is before.state is NoticeState.WAITING
    for place in ("ban-khac", "khong-co"):
        answer = await browser.post(f"/console/villages/{place}/bind-code", data=token)
        assert answer.status_code == (200 if (role, place) == ("xakhac", "ban-khac") else 404)
        for act in ("relay", "relay/close"):
            answer = await browser.post(f"/console/villages/{place}/{act}", data={**token, "title": "x", "chat": "1"})
            assert answer.status_code == 404


async def test_household_labels_are_for_the_heads_eyes_only(house):
    def label(session):
        for household in session.exec(select(Household)).all():
            household.sealed_label = house.runtime.vault.seal(f"nhà bí mật {household.number}")
            session.add(household)

    await house.write(label)
    code = (await house.notice())["code"]
    head = await house.signed_in("truong1")
    assert "nhà bí mật 1" in (await head.get(f"/console/villages/ban-1/missing/{code}")).text
    assert "nhà bí mật 1" in printed(await head.get("/console/villages/ban-1/cards"))
    for role in ("quantri", "canbo"):
        cards = printed(await (await house.signed_in(role)).get("/console/villages/ban-1/cards"))
        assert cards.count("Hộ số") == HOUSEHOLDS
        assert "nhà bí mật" not in cards


async def test_an_admin_of_another_commune_makes_no_code_for_our_people(house):
    admin = await house.signed_in("qtkhac")
    ours, theirs = await house.person_id("quantri"), await house.person_id("xakhac")
    listed = await admin.get("/console/people")
    assert "Cán bộ văn hoá" not in listed.text
    assert "Cán bộ xã khác" in listed.text
    assert (await admin.post_form("/console/people", f"/console/people/{theirs}/link-code")).status_code == 200
    assert (await admin.post_form("/console/people", f"/console/people/{ours}/link-code")).status_code == 404
    answer = await admin.post_form("/console/people", f"/console/people/{theirs}/handover", to=ours)
    assert answer.status_code == 404
    official = await house.signed_in("canbo")
    assert (await official.post_form("/console/people", f"/console/people/{ours}/link-code")).status_code == 404
