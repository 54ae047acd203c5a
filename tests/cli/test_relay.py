"""`loa relay`: groups that exist already, and who carries notices into them."""

import json
import shutil
import sqlite3
from contextlib import closing

import pypdfium2
import pytest

from store.crypto import Vault
from tests.cli.conftest import KEY, Loa

GROUPS = (
    "SELECT c.title, c.members, u.code FROM relay_group g JOIN chat c ON c.id = g.chat_id "
    "LEFT JOIN unit u ON u.id = c.unit_id ORDER BY c.id"
)
CARRIERS = (
    "SELECT a.username, b.username FROM relay_group g "
    "LEFT JOIN person a ON a.id = g.carrier_id LEFT JOIN person b ON b.id = g.backup_id ORDER BY g.chat_id"
)


VILLAGES = "Tên bản;Mã\nbản Nà Pheo;na-pheo\nbản Huổi Mây;huoi-may\n"
PEOPLE = (
    ("Trưởng bản Nà Pheo", "napheo", "village_head", "na-pheo"),
    ("Trưởng bản Huổi Mây", "huoimay", "village_head", "huoi-may"),
    ("Tổ công nghệ số", "tocongnghe", "helper", "na-pheo"),
    ("Người xem", "xem", "viewer", "xa1"),
)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    """The database of a commune with a head and a helper in its villages: made once, copied for each test."""
    loa = Loa(tmp_path_factory.mktemp("office"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOA_SECRET_KEY", KEY)
        patch.chdir(loa.folder)
        loa.does("migrate")
        names = ["--commune", "xa1", "--commune-name", "xã Một", "--province-name", "tỉnh Hai"]
        loa.does("import", "villages", loa.write("villages.csv", VILLAGES), *names)
        for name, username, role, unit in PEOPLE:
            loa.does("user", "add", name, "--role", role, "--unit", unit, "--username", username, "--generate")
        with closing(sqlite3.connect("data/loa.db")) as connection:
            connection.execute("VACUUM INTO 'office.db'")
    return loa.folder / "office.db"


@pytest.fixture
def office(loa, furnished, monkeypatch):
    monkeypatch.setenv("ADAPTERS", "webchat,relay")
    (loa.folder / "data").mkdir()
    shutil.copy(furnished, loa.folder / "data" / "loa.db")
    return loa


def set_(office, *more, village="na-pheo", group="Bản Pheo mình", carrier="napheo"):
    return office.does("relay", "set", village, "--group", group, "--carrier", carrier, *more)


def test_a_group_is_noted_with_who_carries_to_it(office):
    said = set_(office, "--members", "64", "--backup", "tocongnghe")
    assert "“Bản Pheo mình” của bản Nà Pheo: Trưởng bản Nà Pheo chuyển, dự phòng Tổ công nghệ số" in said
    assert "chưa nhắn được" in said, "nobody's phone is linked yet"
    assert office.rows(GROUPS) == [("Bản Pheo mình", 64, "na-pheo")]
    assert office.rows(CARRIERS) == [("napheo", "tocongnghe")]


def test_noting_it_again_changes_it_and_keeps_what_was_not_said(office):
    set_(office, "--members", "64")
    set_(office, "--backup", "tocongnghe", group="BẢN PHEO MÌNH")
    assert office.rows(GROUPS) == [("BẢN PHEO MÌNH", 64, "na-pheo")]
    assert office.rows(CARRIERS) == [("napheo", "tocongnghe")]
    set_(office, "--rename", "bản pheo mình", group="Nà Pheo 24h")
    assert office.rows(GROUPS) == [("Nà Pheo 24h", 64, "na-pheo")]


def test_a_second_group_is_added_only_when_that_is_meant(office):
    set_(office)
    arguments = ["relay", "set", "na-pheo", "--group", "Hội phụ nữ", "--carrier", "napheo"]
    assert "đã có nhóm “Bản Pheo mình”" in office.refuses(*arguments)
    office.does(*arguments, "--add")
    assert [title for title, *_ in office.rows(GROUPS)] == ["Bản Pheo mình", "Hội phụ nữ"]
    assert "hãy nói rõ bằng --group" in office.refuses("relay", "close", "na-pheo")
    assert "Hội phụ nữ" in office.does("relay", "close", "na-pheo", "--group", "hội phụ nữ")
    assert [unit for *_, unit in office.rows(GROUPS)] == ["na-pheo", None]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["set", "xa1", "--group", "A", "--carrier", "napheo"], "không phải thôn, bản", id="a commune"),
        pytest.param(["set", "na-pheo", "--group", " ", "--carrier", "napheo"], "tên nhóm", id="no name"),
        pytest.param(["set", "na-pheo", "--group", "A", "--carrier", "ai-do"], "Không có người nào", id="nobody"),
        pytest.param(["set", "na-pheo", "--group", "A", "--carrier", "huoimay"], "không giữ việc", id="of elsewhere"),
        pytest.param(["set", "na-pheo", "--group", "A", "--carrier", "xem"], "không giữ việc", id="who only looks"),
        pytest.param(
            ["set", "na-pheo", "--group", "A", "--carrier", "napheo", "--rename", "B"], "không có nhóm", id="no such"
        ),
        pytest.param(["close", "na-pheo"], "chưa có nhóm nào", id="nothing to close"),
        pytest.param(["sheet", "na-pheo", "-o", "the.pdf"], "chưa có nhóm nào", id="nothing to print"),
    ],
)
def test_what_cannot_be_is_refused_in_words(office, arguments, words):
    assert words in office.refuses("relay", *arguments)
    assert office.rows(GROUPS) == []


def test_a_house_without_relay_says_so(office, monkeypatch):
    monkeypatch.setenv("ADAPTERS", "webchat")
    assert "ADAPTERS" in office.refuses("relay", "set", "na-pheo", "--group", "A", "--carrier", "napheo")


def test_the_groups_of_all_villages_are_noted_in_one_go(office):
    text = (
        "Thôn bản;Nhóm Zalo;Số người;Người chuyển;Người dự phòng;Ghi chú\n"
        "na-pheo;Bản Pheo mình;64;napheo;Tổ công nghệ số;\n"
        "Huổi Mây;Huổi Mây quê tôi;;Trưởng bản Huổi Mây;;\n"
    )
    file = office.write("groups.csv", text, "utf-8-sig")
    assert "Chưa ghi gì" in office.does("relay", "import", file, "--dry-run")
    assert office.rows(GROUPS) == []
    said = office.does("relay", "import", file)
    assert "2 nhóm: 2 mới" in said
    assert "Không dùng các cột: Ghi chú" in said
    assert office.rows(GROUPS) == [("Bản Pheo mình", 64, "na-pheo"), ("Huổi Mây quê tôi", None, "huoi-may")]
    assert office.rows(CARRIERS) == [("napheo", "tocongnghe"), ("huoimay", None)]

    renamed = office.write("again.csv", text.replace("Huổi Mây quê tôi;;", "Huổi Mây 24h;31;"))
    assert "2 nhóm: 0 mới, 2 đã có" in office.does("relay", "import", renamed)
    assert office.rows(GROUPS) == [("Bản Pheo mình", 64, "na-pheo"), ("Huổi Mây 24h", 31, "huoi-may")]


def test_one_bad_row_of_groups_and_nothing_is_written(office):
    text = "Bản,Nhóm,Người chuyển\nna-pheo,Nhóm A,napheo\nhuoi-may,Nhóm B,napheo\nxa-la,Nhóm C,ai đó\n"
    said = office.refuses("relay", "import", office.write("bad.csv", text), "--errors", "mend.csv")
    assert "Dòng 3, cột “Người chuyển”" in said
    assert "Dòng 4, cột “Thôn, bản”" in said
    assert office.rows(GROUPS) == []
    assert len((office.folder / "mend.csv").read_text("utf-8-sig").splitlines()) == 3
    told = office.run("relay", "import", "bad.csv", "--json")
    assert told.exit_code == 1
    assert [error["row"] for error in json.loads(told.stdout)["errors"]] == [3, 4]


def test_groups_are_listed_with_whether_anything_reaches_their_carriers(office):
    assert "Chưa có nhóm nào" in office.does("relay", "list")
    set_(office, "--members", "64")
    said = office.does("relay", "list")
    assert "Bản Pheo mình" in said
    assert "CHƯA" in said
    [line] = json.loads(office.does("relay", "list", "--json"))
    assert line == {
        "village": "na-pheo",
        "group": "Bản Pheo mình",
        "members": 64,
        "audience": "",
        "carrier": "Trưởng bản Nà Pheo",
        "backup": "",
        "reachable": False,
    }


def test_the_doctor_names_groups_that_nobody_can_carry_to(office):
    assert "Chuyển tay" not in office.does("doctor")
    office.does("channel", "add", "webchat", "thu")
    office.does("import", "villages", office.write("villages.csv", VILLAGES), "--commune", "xa1")
    set_(office)
    said = office.does("doctor")
    assert "1 nhóm mà máy không nhắn được cho người chuyển: bản Nà Pheo" in said
    assert "1 nơi chưa nối nhóm nào: bản Huổi Mây" in said, "a room of our own is no group of theirs"
    assert "Kênh relay:main: do người chuyển tay" in said
    office.rows("UPDATE relay_group SET carrier_id = NULL")
    assert "1 nhóm không có người chuyển: bản Nà Pheo" in office.does("doctor")


def test_the_set_up_sheet_is_a_page_to_print(office, monkeypatch):
    set_(office, "--members", "64")
    assert "không có liên kết" in office.does("relay", "sheet", "na-pheo", "-o", "the.pdf")
    assert (office.folder / "the.pdf").read_bytes().startswith(b"%PDF-")
    monkeypatch.setenv("LOA_PUBLIC_URL", "https://loa.vi-du.gov.vn")
    assert "không có liên kết" not in office.does("relay", "sheet", "na-pheo", "-o", "the.pdf")
    [page] = pypdfium2.PdfDocument(office.folder / "the.pdf")
    words = page.get_textpage().get_text_range()
    assert "Bản Pheo mình" in words
    assert "https://loa.vi-du.gov.vn/tb/" in words
    assert "/chat/" not in words, "the village has no room to write to"
    assert "Không ghi được" in office.refuses("relay", "sheet", "na-pheo", "-o", "none/the.pdf")


# ---------------------------------------------------------------- numbers to call


def test_a_number_to_call_is_kept_sealed(office):
    said = office.does("user", "phone", "napheo", "0000 000 000")
    assert "0000" not in said
    [(sealed,)] = office.rows("SELECT sealed_phone FROM person WHERE username = 'napheo'")
    assert b"0000000000" not in sealed
    assert Vault(KEY).open_text(sealed, purpose="phone") == "0000000000"
    assert "Đã bỏ" in office.does("user", "phone", "napheo", "")
    assert office.rows("SELECT sealed_phone FROM person WHERE username = 'napheo'") == [(None,)]


def test_a_person_is_added_with_a_number(office):
    added = ["user", "add", "Bí thư", "--role", "helper", "--unit", "na-pheo", "--phone"]
    assert "chữ số" in office.refuses(*added, "gọi tôi")
    office.does(*added, "(+00) 000-000.000")
    [(sealed,)] = office.rows("SELECT sealed_phone FROM person WHERE name = 'Bí thư'")
    assert Vault(KEY).open_text(sealed, purpose="phone") == "+00000000000"
