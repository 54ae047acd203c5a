"""Registers from a spreadsheet: bytes of a CSV file → checked rows, or every complaint by row. Knows no database.

What people really have is accepted: UTF-8 with or without BOM, Excel's "Unicode text" (UTF-16), `;` or `,` or tab,
headers in Vietnamese (accents or not) or English, columns in any order. A row number is the row in the spreadsheet.
"""

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from adapters.text import clean
from bot.cells import harmless
from bot.errors import Invalid
from store.places import folded

LARGEST_FILE = 8 << 20
MOST_ROWS = 30_000
MOST_HOUSEHOLDS = 9_999
NAME_LENGTH = 80
SHORT_LENGTH = 32
GROUP_LENGTH = 100
"""As Zalo allows."""
CODE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
IDENTITY_NUMBER = re.compile(r"(?<!\d)\d{12}(?!\d)")
"""Căn cước: no register of ours keeps one (ARCHITECTURE §4)."""
YES = {"x", "co", "1", "yes", "true", "dung"}
NO = {"", "khong", "0", "no", "false", "sai"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column that we understand: how messages call it, and the headers (folded, no spaces) by which it is known."""

    key: str
    title: str
    headers: frozenset[str]
    required: bool = False


def _column(key: str, title: str, *headers: str, required: bool = False) -> Column:
    return Column(key, title, frozenset(_header(name) for name in (key, title, *headers)), required)


def as_said(name: str) -> str:
    """For names that are the same but for capitals and spaces; accents tell people apart."""
    return " ".join(name.casefold().split())


def _header(cell: str) -> str:
    return "".join(c for c in folded(cell) if c.isalnum())


VILLAGE_COLUMNS = (
    _column("name", "Tên thôn, bản", "tên", "tên thôn", "tên bản", "thôn", "bản", "village", required=True),
    _column("code", "Mã", "mã thôn", "mã bản", "village code"),
)
HOUSEHOLD_COLUMNS = (
    _column("village", "Thôn, bản", "thôn", "bản", "mã thôn", "mã bản", "tên thôn", "tên bản", "village code"),
    _column("number", "Số hộ", "hộ số", "số", "stt", "household", "household number", required=True),
    _column("label", "Tên gọi", "tên hộ", "chủ hộ", "hộ", "ghi chú", "household name"),
    _column("address_code", "Mã địa chỉ", "mã bưu chính", "mã địa chỉ số", "postal code", "address"),
    _column("language", "Tiếng", "ngôn ngữ", "tiếng nói", "dân tộc"),
    _column("no_smartphone", "Không có điện thoại thông minh", "không điện thoại thông minh", "không smartphone"),
    _column("told_by", "Hộ báo giúp", "báo giúp", "hộ báo tin", "neighbour", "neighbor"),
)
RELAY_COLUMNS = (
    _column(
        "village", "Thôn, bản", "thôn", "bản", "mã thôn", "mã bản", "tên thôn", "tên bản", "village", required=True
    ),
    _column("title", "Nhóm Zalo", "nhóm", "tên nhóm", "tên nhóm zalo", "group", "group name", required=True),
    _column("members", "Số người", "số thành viên", "thành viên", "members"),
    _column("carrier", "Người chuyển", "người chuyển tin", "carrier", required=True),
    _column("backup", "Người dự phòng", "dự phòng", "backup"),
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong in one row of the file, for the person who will mend it."""

    row: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file as it was read: its headers, and its rows that hold anything."""

    headers: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    """(row in the spreadsheet, cells)"""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Checked(Generic[T]):
    """Either every row is good, or there are complaints and nothing is to be written."""

    rows: tuple[T, ...]
    complaints: tuple[Complaint, ...]
    columns: frozenset[str]
    """Keys of the columns that the file has: what it does not have stays as it is."""
    ignored: tuple[str, ...] = ()
    """Headers that nobody understands."""


@dataclass(frozen=True, slots=True)
class VillageRow:
    row: int
    code: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseholdRow:
    row: int
    unit_id: int
    number: int
    label: str = ""
    address_code: str = ""
    language: str = ""
    no_smartphone: bool = False
    told_by: int | None = None
    """Number of the neighbour in the same village."""


@dataclass(frozen=True, slots=True)
class Village:
    """A village that the importing person may write to, with the household numbers that it has."""

    id: int
    code: str
    name: str
    numbers: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class Carrier:
    """Somebody who may carry notices into the groups of these villages."""

    id: int
    username: str
    """'' for who works by chat alone."""
    name: str
    villages: Collection[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayRow:
    """An existing group of a village, and who carries notices into it."""

    row: int
    unit_id: int
    title: str
    members: int | None
    carrier_id: int
    backup_id: int | None


@dataclass(slots=True)
class _Row:
    """One row being checked: `cell` reads, `wrong` complains."""

    number: int
    cells: Mapping[str, str]
    complaints: list[Complaint]
    titles: Mapping[str, str]
    start: int = field(init=False)

    def __post_init__(self) -> None:
        self.start = len(self.complaints)

    def cell(self, key: str) -> str:
        return self.cells.get(key, "")

    def wrong(self, key: str, reason: str) -> None:
        self.complaints.append(Complaint(self.number, self.titles[key], reason))

    def short(self, key: str, limit: int) -> str:
        value = self.cell(key)
        if len(value) > limit:
            self.wrong(key, f"dài quá {limit} ký tự")
        if IDENTITY_NUMBER.search(value):
            self.wrong(key, "có vẻ là số căn cước: danh sách này không ghi số căn cước của ai")
        return value

    @property
    def is_good(self) -> bool:
        return len(self.complaints) == self.start


def read(data: bytes) -> Sheet:
    """Take the file apart. Raises Invalid, in words, for what is no readable table at all."""
    if len(data) > LARGEST_FILE:
        raise Invalid(f"Tệp quá lớn (hơn {LARGEST_FILE >> 20} MB).")
    text = _decoded(data)
    first, _, rest = text.partition("\n")
    if mark := re.fullmatch(r"sep=(.)\r?", first):  # Excel's own hint, no row of the table
        delimiter, text = mark[1], rest
    else:
        delimiter = max(",;\t", key=first.count)
    try:
        records = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise Invalid('Tệp CSV bị hỏng: có dấu ngoặc kép (") mở mà không đóng đúng chỗ.') from error
    if not records or not any(cell.strip() for cell in records[0]):
        raise Invalid("Dòng đầu của tệp phải là tên các cột.")
    if len(records) > MOST_ROWS:
        raise Invalid(f"Tệp có hơn {MOST_ROWS} dòng: hãy chia nhỏ.")
    rows = (
        (number, tuple(clean(cell) for cell in cells))
        for number, cells in enumerate(records[1:], start=2)
        if any(cell.strip() for cell in cells)
    )
    return Sheet(tuple(clean(cell) for cell in records[0]), tuple(rows))


def check_villages(sheet: Sheet, *, commune_code: str, taken: Mapping[str, str]) -> Checked[VillageRow]:
    """Rows of a list of villages. `taken`: codes that belong to somebody else → whom, in words.

    A village without a code gets one from its name, the same at every import.
    """
    found, complaints, rows = _rows(sheet, VILLAGE_COLUMNS)
    good: list[VillageRow] = []
    codes: dict[str, int] = {}
    names: dict[str, int] = {}
    for row in rows:
        name = row.short("name", NAME_LENGTH)
        if not name:
            row.wrong("name", "còn trống")
        code = row.cell("code").lower() or f"{commune_code}-{'-'.join(re.findall(r'[a-z0-9]+', folded(name)))}"[
            :40
        ].strip("-")
        if name and not CODE.fullmatch(code):
            row.wrong("code", "chỉ gồm chữ cái không dấu, chữ số và dấu gạch nối, nhiều nhất 40 ký tự")
        elif code in taken:
            row.wrong("code", f"mã {code} đã dùng cho {taken[code]}")
        elif name and (before := codes.setdefault(code, row.number)) != row.number:
            row.wrong("code", f"mã {code} trùng với dòng {before}")
        elif name and (before := names.setdefault(folded(name), row.number)) != row.number:
            row.wrong("name", f"trùng tên với dòng {before}")
        if row.is_good:
            good.append(VillageRow(row.number, code, name))
    return _checked(sheet, found, good, complaints)


def check_households(
    sheet: Sheet, villages: Sequence[Village], *, only: Village | None = None
) -> Checked[HouseholdRow]:
    """Rows of registers of households. `only`: the file is of this village and may do without the column."""
    found, complaints, rows = _rows(sheet, HOUSEHOLD_COLUMNS)
    if only is None and "village" not in found and complaints == []:
        complaints.append(Complaint(1, "Thôn, bản", "thiếu cột này (hoặc nói rõ tệp là của thôn, bản nào)"))
        rows = iter(())
    by_name = _by_name(villages)
    good: list[HouseholdRow] = []
    seen: dict[tuple[int, int], int] = {}
    for row in rows:
        village = _village(row, by_name, only if "village" not in found or not row.cell("village") else None)
        number = _number(row, "number")
        told_by = _number(row, "told_by") if row.cell("told_by") else None
        if number is not None and told_by == number:
            row.wrong("told_by", "một hộ không báo giúp chính mình")
        checked = {
            "label": row.short("label", NAME_LENGTH),
            "address_code": row.short("address_code", SHORT_LENGTH),
            "language": row.short("language", SHORT_LENGTH),
        }
        no_smartphone = _yes(row, "no_smartphone")
        if village and number and (before := seen.setdefault((village.id, number), row.number)) != row.number:
            row.wrong("number", f"hộ số {number} của {village.name} trùng với dòng {before}")
        if row.is_good and village and number:
            good.append(
                HouseholdRow(
                    row=row.number,
                    unit_id=village.id,
                    number=number,
                    no_smartphone=no_smartphone,
                    told_by=told_by,
                    **checked,
                )
            )
    known = {village.id: village.numbers for village in villages}
    title = next(column.title for column in HOUSEHOLD_COLUMNS if column.key == "told_by")
    complaints += [
        Complaint(row.row, title, f"không có hộ số {row.told_by} trong cùng thôn, bản")
        for row in good
        if row.told_by is not None and (row.unit_id, row.told_by) not in seen and row.told_by not in known[row.unit_id]
    ]
    return _checked(sheet, found, good, complaints)


def check_relays(sheet: Sheet, villages: Sequence[Village], carriers: Sequence[Carrier]) -> Checked[RelayRow]:
    """Rows of a list of groups that are reached by hand. People are named by user name, or exactly by name."""
    found, complaints, rows = _rows(sheet, RELAY_COLUMNS)
    by_name = _by_name(villages)
    good: list[RelayRow] = []
    seen: dict[tuple[int, str], int] = {}
    for row in rows:
        village = _village(row, by_name, None)
        title = row.short("title", GROUP_LENGTH)
        if not title:
            row.wrong("title", "còn trống")
        members = _number(row, "members", "số người") if row.cell("members") else None
        carrier = backup = None
        if not row.cell("carrier"):
            row.wrong("carrier", "còn trống")
        elif village:
            carrier = _carrier(row, "carrier", village, carriers)
        if row.cell("backup") and village:
            backup = _carrier(row, "backup", village, carriers)
        if carrier and carrier == backup:
            row.wrong("backup", "phải là người khác với người chuyển")
        if village and (before := seen.setdefault((village.id, folded(title)), row.number)) != row.number:
            row.wrong("title", f"nhóm này của {village.name} trùng với dòng {before}")
        if row.is_good and village and carrier:
            good.append(
                RelayRow(
                    row=row.number,
                    unit_id=village.id,
                    title=title,
                    members=members,
                    carrier_id=carrier,
                    backup_id=backup,
                )
            )
    return _checked(sheet, found, good, complaints)


def complaints_csv(sheet: Sheet, complaints: Iterable[Complaint]) -> str:
    """The bad rows with what is wrong, to be mended and imported again. With a BOM, so that Excel reads Vietnamese."""
    reasons: dict[int, list[str]] = defaultdict(list)
    for complaint in complaints:
        reasons[complaint.row].append(f"{complaint.column}: {complaint.reason}")
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["Dòng", "Cần sửa", *(harmless(cell) for cell in sheet.headers)])
    cells = dict(sheet.rows)
    for number in sorted(reasons):
        writer.writerow([number, "; ".join(reasons[number]), *(harmless(cell) for cell in cells.get(number, ()))])
    return "\ufeff" + out.getvalue()


def _decoded(data: bytes) -> str:
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise Invalid("Tệp không phải UTF-8. Trong Excel hãy chọn “Lưu thành… → CSV UTF-8”.") from error
    if "\x00" in text:
        raise Invalid("Đây không phải tệp CSV. Trong Excel hãy chọn “Lưu thành… → CSV UTF-8”.")
    return text


def _rows(sheet: Sheet, columns: Sequence[Column]) -> tuple[dict[str, int], list[Complaint], Iterator[_Row]]:
    """Where each known column stands, complaints about the headers, and the rows by column key."""
    names = [_header(header) for header in sheet.headers]
    found: dict[str, int] = {}
    complaints: list[Complaint] = []
    for column in columns:
        places = [index for index, name in enumerate(names) if name in column.headers and index not in found.values()]
        if len(places) > 1:
            complaints.append(Complaint(1, column.title, "có hai cột cùng ý nghĩa này"))
        if places:
            found[column.key] = places[0]
        elif column.required:
            complaints.append(Complaint(1, column.title, "thiếu cột này"))
    titles = {column.key: column.title for column in columns}
    if complaints:
        return found, complaints, iter(())
    return found, complaints, _each(sheet, found, complaints, titles)


def _each(
    sheet: Sheet, found: Mapping[str, int], complaints: list[Complaint], titles: Mapping[str, str]
) -> Iterator[_Row]:
    width = len(sheet.headers)
    for number, cells in sheet.rows:
        if any(cells[width:]):
            complaints.append(
                Complaint(number, "", f"có {len(cells)} ô mà bảng chỉ có {width} cột: thừa dấu phân cách?")
            )
            continue
        values = {key: cells[index] for key, index in found.items() if index < len(cells)}
        yield _Row(number, values, complaints, titles)


def _checked(sheet: Sheet, found: Mapping[str, int], good: Sequence[T], complaints: list[Complaint]) -> Checked[T]:
    used = set(found.values())
    ignored = tuple(header for index, header in enumerate(sheet.headers) if header and index not in used)
    if not sheet.rows and not complaints:
        complaints.append(Complaint(2, "", "tệp không có dòng nào sau dòng tên cột"))
    ordered = tuple(sorted(complaints, key=lambda complaint: complaint.row))
    return Checked(() if ordered else tuple(good), ordered, frozenset(found), ignored)


def _by_name(villages: Sequence[Village]) -> dict[str, list[Village]]:
    """By code, by name, and by the name without the word for village where that is not ambiguous."""
    found: dict[str, list[Village]] = defaultdict(list)
    for village in villages:
        for name in {village.code, folded(village.name)}:
            found[name].append(village)
    bare = [(re.sub(r"^(thon|ban|ap|khu pho|to dan pho|buon|lang) ", "", folded(v.name)), v) for v in villages]
    counts = Counter(name for name, _ in bare)
    for name, village in bare:
        if counts[name] == 1 and name not in found:
            found[name].append(village)
    return found


def _village(row: _Row, by_name: Mapping[str, list[Village]], default: Village | None) -> Village | None:
    if default is not None:
        return default
    typed = row.cell("village")
    if not typed:
        row.wrong("village", "còn trống")
        return None
    match by_name.get(folded(typed), []):
        case [village]:
            return village
        case []:
            row.wrong("village", f"không có thôn, bản nào là “{typed}”")
        case several:
            row.wrong("village", f"có {len(several)} nơi cùng tên “{typed}”: hãy ghi mã thay cho tên")
    return None


def _carrier(row: _Row, key: str, village: Village, carriers: Sequence[Carrier]) -> int | None:
    typed = row.cell(key)
    named = [who for who in carriers if who.username == typed.lower()] or [
        who for who in carriers if as_said(who.name) == as_said(typed)
    ]
    match [who for who in named if village.id in who.villages]:
        case [one]:
            return one.id
        case []:
            why = f"“{typed}” không giữ việc ở {village.name}" if named else f"không có ai là “{typed}”"
            row.wrong(key, f"{why}. Thêm người: `loa user add`")
        case several:
            row.wrong(key, f"có {len(several)} người cùng tên “{typed}”: hãy ghi tên đăng nhập")
    return None


def _number(row: _Row, key: str, what: str = "số hộ") -> int | None:
    typed = row.cell(key)
    # Spreadsheets like to write 12 as "12.0" or "12,0".
    match = re.fullmatch(r"([0-9]{1,4})(?:[.,]0+)?", typed)
    if match and 1 <= int(match[1]) <= MOST_HOUSEHOLDS:
        return int(match[1])
    row.wrong(key, f"“{typed}” không phải là {what} (1 đến {MOST_HOUSEHOLDS})" if typed else "còn trống")
    return None


def _yes(row: _Row, key: str) -> bool:
    typed = folded(row.cell(key))
    if typed not in YES | NO:
        row.wrong(key, f"ghi “x” hoặc để trống, không ghi “{row.cell(key)}”")
    return typed in YES
