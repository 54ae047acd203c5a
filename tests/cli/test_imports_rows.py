"""Registers as people really send them: what is understood, and what is said of each bad row."""

import csv
import io
from unicodedata import normalize

import pytest

from bot.errors import Invalid
from bot.imports import (
    Carrier,
    Complaint,
    HouseholdRow,
    RelayRow,
    Village,
    VillageRow,
    check_households,
    check_relays,
    check_villages,
    complaints_csv,
    read,
)

PHEO = Village(1, "na-pheo", "bản Nà Pheo", {40, 41})
MAY = Village(2, "huoi-may", "bản Huổi Mây")
TWINS = [Village(3, "a-suoi", "bản Suối"), Village(4, "b-suoi", "bản Suối")]


def villages(text, taken=None):
    return check_villages(read(text.encode()), commune_code="xa", taken=taken or {})


def households(text, known=(PHEO, MAY), only=None):
    return check_households(read(text.encode()), known, only=only)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("Thôn,Số hộ\nna-pheo,1\n".encode(), id="UTF-8"),
        pytest.param("Thôn,Số hộ\nna-pheo,1\n".encode("utf-8-sig"), id="UTF-8 with BOM"),
        pytest.param("Thôn;Số hộ\r\nna-pheo;1\r\n".encode("utf-8-sig"), id="semicolons, Windows lines"),
        pytest.param("Thôn\tSố hộ\nna-pheo\t1\n".encode("utf-16"), id="Excel's Unicode text"),
        pytest.param("sep=;\nThôn;Số hộ\nna-pheo;1\n".encode(), id="Excel's hint"),
        pytest.param("THON , SO HO\nNÀ PHEO, 1.0\n".encode(), id="no accents, capitals, a number as a fraction"),
        pytest.param("village,number\nbản nà pheo,1\n".encode(), id="English headers, name of the village"),
        pytest.param('"Số hộ","Thôn"\n"1","na-pheo"\n\n,\n'.encode(), id="quoted, other order, blank rows"),
        pytest.param(normalize("NFD", "Thôn,Số hộ\nbản Nà Pheo,1\n").encode(), id="decomposed letters"),
    ],
)
def test_a_file_is_understood_however_it_was_saved(data):
    checked = check_households(read(data), [PHEO, MAY])
    assert checked.complaints == ()
    assert [(row.unit_id, row.number) for row in checked.rows] == [(1, 1)]


def test_every_column_of_a_register_is_read():
    checked = households(
        "Thôn,Số hộ,Tên gọi,Mã địa chỉ,Tiếng,Không có điện thoại thông minh,Hộ báo giúp,Cột lạ\n"
        "na-pheo,1,Nhà đầu bản,32.001,Thái,,,bỏ qua\n"
        "na-pheo,2,,,,x,1,\n"
        "na-pheo,3,,,,Có,41,\n"
    )
    assert checked.complaints == ()
    assert checked.ignored == ("Cột lạ",)
    assert checked.rows == (
        HouseholdRow(row=2, unit_id=1, number=1, label="Nhà đầu bản", address_code="32.001", language="Thái"),
        HouseholdRow(row=3, unit_id=1, number=2, no_smartphone=True, told_by=1),
        HouseholdRow(row=4, unit_id=1, number=3, no_smartphone=True, told_by=41),
    )


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        pytest.param("xa-la,1", (2, "Thôn, bản", "không có thôn, bản nào là “xa-la”"), id="foreign village"),
        pytest.param(",1", (2, "Thôn, bản", "còn trống"), id="no village"),
        pytest.param("bản Suối,1", (2, "Thôn, bản", "có 2 nơi cùng tên “bản Suối”"), id="two of that name"),
        pytest.param("na-pheo,mười", (2, "Số hộ", "“mười” không phải là số hộ"), id="a word as number"),
        pytest.param("na-pheo,0", (2, "Số hộ", "không phải là số hộ"), id="zero"),
        pytest.param("na-pheo,-3", (2, "Số hộ", "không phải là số hộ"), id="negative"),
        pytest.param("na-pheo,1.5", (2, "Số hộ", "không phải là số hộ"), id="half a household"),
        pytest.param("na-pheo,", (2, "Số hộ", "còn trống"), id="no number"),
        pytest.param("na-pheo,1\nhuoi-may,1\nNà Pheo,1", (4, "Số hộ", "trùng với dòng 2"), id="twice in the file"),
        pytest.param("na-pheo,1," + "a" * 81, (2, "Tên gọi", "dài quá 80"), id="too long"),
        pytest.param("na-pheo,1,nhà 012345678901", (2, "Tên gọi", "số căn cước"), id="an identity number"),
        pytest.param("na-pheo,1,,có lẽ", (2, "Không có điện thoại thông minh", "“x” hoặc để trống"), id="maybe"),
        pytest.param("na-pheo,1,,,1", (2, "Hộ báo giúp", "chính mình"), id="tells itself"),
        pytest.param("na-pheo,1,,,9", (2, "Hộ báo giúp", "không có hộ số 9"), id="told by nobody"),
        pytest.param("huoi-may,1,,,40", (2, "Hộ báo giúp", "không có hộ số 40"), id="told by another village"),
        pytest.param("na-pheo,1,,,,thừa", (2, "", "thừa dấu phân cách"), id="too many cells"),
    ],
)
def test_a_bad_row_is_named_with_its_reason(rows, complaint):
    checked = households(
        f"Thôn,Số hộ,Tên gọi,Không có điện thoại thông minh,Hộ báo giúp\n{rows}\n", known=[PHEO, MAY, *TWINS]
    )
    assert checked.rows == ()
    [found] = checked.complaints
    assert (found.row, found.column) == complaint[:2]
    assert complaint[2] in found.reason


def test_all_bad_rows_are_named_at_once_in_their_order():
    checked = households("Thôn,Số hộ,Hộ báo giúp\nna-pheo,1,7\nxa-la,mười,\nna-pheo,3,\nna-pheo,x,\n")
    assert [complaint.row for complaint in checked.complaints] == [2, 3, 3, 5]
    assert checked.rows == (), "the good row waits for the others"


def test_a_register_of_one_village_needs_no_column_for_it():
    assert [row.unit_id for row in households("Số hộ\n1\n2\n", only=MAY).rows] == [2, 2]
    assert "thiếu cột" in households("Số hộ\n1\n").complaints[0].reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("Tên gọi\nNhà 1\n", "thiếu cột", id="no number column"),
        pytest.param("Số hộ,STT\n1,1\n", "hai cột", id="two number columns"),
        pytest.param("Thôn,Số hộ\n", "không có dòng nào", id="headers alone"),
    ],
)
def test_headers_that_do_not_do_are_named(text, words):
    assert words in households(text).complaints[0].reason


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "tên các cột", id="empty"),
        pytest.param("Thôn,Số".encode("cp1258", "replace") + b"\xff\xe3", "UTF-8", id="an old code page"),
        pytest.param(b"PK\x03\x04\x00\x00", "không phải tệp CSV", id="an Excel workbook"),
        pytest.param('Thôn,Số hộ\n"na-pheo,1\n'.encode(), "ngoặc kép", id="an open quotation mark"),
        pytest.param(b"a" * (9 << 20), "quá lớn", id="too large"),
    ],
)
def test_what_is_no_table_is_refused_in_words(data, words):
    with pytest.raises(Invalid, match=words):
        read(data)


def test_a_village_without_a_code_gets_the_same_one_at_every_import():
    text = "Tên bản,Mã\nbản Đồi Chè,\nbản Pá Lim,PALIM\n"
    assert villages(text).rows == (VillageRow(2, "xa-ban-doi-che", "bản Đồi Chè"), VillageRow(3, "palim", "bản Pá Lim"))
    assert villages(text) == villages(text)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        pytest.param(",ma", "còn trống", id="no name"),
        pytest.param("bản A,m ã", "chữ cái không dấu", id="bad code"),
        pytest.param("bản A,cu", "đã dùng cho bản Cũ", id="code of another commune"),
        pytest.param("bản A,a\nbản B,A", "trùng với dòng 2", id="code twice"),
        pytest.param("bản Á,a\nBẢN Á,b", "trùng tên với dòng 2", id="name twice"),
    ],
)
def test_a_bad_village_is_named_with_its_reason(rows, reason):
    checked = villages(f"Tên bản,Mã\n{rows}\n", taken={"cu": "bản Cũ"})
    assert checked.rows == ()
    assert reason in checked.complaints[0].reason


def test_bad_rows_go_back_with_their_reasons_and_hold_no_formula():
    sheet = read("Thôn,Số hộ,Tên gọi\nna-pheo,x,=HYPERLINK(1)\nna-pheo,2,\n".encode())
    text = complaints_csv(sheet, [Complaint(2, "Số hộ", "sai"), Complaint(2, "Tên gọi", "lạ")])
    assert text.startswith("\ufeff")
    header, row = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    assert header == ["Dòng", "Cần sửa", "Thôn", "Số hộ", "Tên gọi"]
    assert row == ["2", "Số hộ: sai; Tên gọi: lạ", "na-pheo", "x", "'=HYPERLINK(1)"]


# ---------------------------------------------------------------- groups that are reached by hand

HEAD = Carrier(1, "napheo", "Trưởng bản Nà Pheo", {1})
YOUTH = Carrier(2, "", "Bí thư Đoàn", {1, 2})
NAMESAKES = [Carrier(3, "lan1", "Cô Lan", {1}), Carrier(4, "lan2", "Cô Lan", {1}), Carrier(5, "lan3", "Cô Lan", {2})]
FAR = Carrier(6, "xa", "Người nơi khác", {9})


def relays(rows, header="Thôn bản,Nhóm Zalo,Số người,Người chuyển,Người dự phòng"):
    return check_relays(read(f"{header}\n{rows}\n".encode()), [PHEO, MAY], [HEAD, YOUTH, *NAMESAKES, FAR])


def test_every_column_of_a_list_of_groups_is_read():
    checked = relays("na-pheo,Bản Pheo mình,64,NaPheo,bí thư  đoàn\nHuổi Mây,Huổi Mây 24h,,Cô Lan,\n")
    assert checked.complaints == ()
    assert checked.rows == (
        RelayRow(row=2, unit_id=1, title="Bản Pheo mình", members=64, carrier_id=1, backup_id=2),
        RelayRow(row=3, unit_id=2, title="Huổi Mây 24h", members=None, carrier_id=5, backup_id=None),
    )


def test_a_list_of_groups_may_do_without_what_is_not_known_yet():
    [row] = relays("na-pheo,Nhóm bản,napheo", header="Bản,Nhóm,Người chuyển").rows
    assert (row.members, row.backup_id) == (None, None)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        pytest.param(",Nhóm,,napheo,", (2, "Thôn, bản", "còn trống"), id="no village"),
        pytest.param("na-pheo,,,napheo,", (2, "Nhóm Zalo", "còn trống"), id="no group"),
        pytest.param("na-pheo,Nhóm,,,", (2, "Người chuyển", "còn trống"), id="nobody carries"),
        pytest.param("na-pheo,Nhóm,nhiều,napheo,", (2, "Số người", "không phải là số người"), id="many"),
        pytest.param("na-pheo,Nhóm,,ông Ba,", (2, "Người chuyển", "không có ai là “ông Ba”"), id="nobody of that name"),
        pytest.param("na-pheo,Nhóm,,xa,", (2, "Người chuyển", "không giữ việc ở bản Nà Pheo"), id="of elsewhere"),
        pytest.param("huoi-may,Nhóm,,napheo,", (2, "Người chuyển", "không giữ việc"), id="head of another village"),
        pytest.param("na-pheo,Nhóm,,Cô Lan,", (2, "Người chuyển", "có 2 người cùng tên"), id="two of that name here"),
        pytest.param("na-pheo,Nhóm,,napheo,NAPHEO", (2, "Người dự phòng", "người khác"), id="own backup"),
        pytest.param("na-pheo,Nhóm,,napheo,\nNà Pheo,NHÓM,,napheo,", (3, "Nhóm Zalo", "dòng 2"), id="twice"),
        pytest.param(f"na-pheo,{'a' * 101},,napheo,", (2, "Nhóm Zalo", "dài quá 100"), id="too long"),
    ],
)
def test_a_bad_group_is_named_with_its_reason(rows, complaint):
    checked = relays(rows)
    assert checked.rows == ()
    [found] = checked.complaints
    assert (found.row, found.column) == complaint[:2]
    assert complaint[2] in found.reason
