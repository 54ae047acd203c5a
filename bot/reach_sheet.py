"""The table of figures as a file for a spreadsheet."""

from datetime import timedelta

from bot import texts
from bot.cells import harmless
from bot.reach import NoticeReach, VillageReach

COLUMNS = (
    "Thôn, bản", "Nhóm cần gửi", "Đã gửi", "Giao", "Đã chuyển", "Đang giao chuyển tay", "Chưa gửi được", "Chưa rõ",
    "Người trong nhóm lúc gửi", "Đã xem", "Lượt mở (ước lượng)", "Hộ trong sổ", "Hộ đã nắm", "Tự xác nhận",
    "Tự khai số hộ", "Trưởng bản ghi", "Tổ đến nhà ghi", "Tài khoản chưa gắn hộ",
    "Số người trưởng bản đếm (không cộng vào hộ)", "Tham gia", "Vắng", "Cần giúp", "Trung vị thời gian nắm (phút)",
    "Trung vị thời gian chuyển (phút)", "Nhóm còn mang tin cũ", "Lý do chưa gửi được",
)  # fmt: skip


def csv_rows(reach: NoticeReach) -> list[list[str]]:
    """The table as text, header first. A cell that a spreadsheet could take for a formula is disarmed."""
    return [list(COLUMNS), *([harmless(cell) for cell in _cells(line)] for line in (*reach.villages, reach.total))]


def _cells(line: VillageReach) -> list[str]:
    reasons = sorted({problem.words for problem in line.problems})
    by_hand = [line.given, line.carried, line.handed] if line.by_hand else ["", "", ""]
    measured = [line.members, line.seen, line.opens]
    households = [line.households, line.acknowledged, line.card, line.number, line.head, line.visit]
    return [
        line.name,
        *map(str, (line.chats, line.sent, *by_hand, line.failed, line.unknown)),
        *(texts.NOT_MEASURABLE if count is None else str(count) for count in measured),
        *(str(count) if line.households else "không có sổ hộ" for count in households),
        str(line.unlinked),
        "" if line.told_count is None else str(line.told_count),
        *map(str, (line.join, line.absent, line.help)),
        _minutes(line.median),
        _minutes(line.carried_median),
        "; ".join(line.old_texts),
        "; ".join(reasons),
    ]


def _minutes(wait: timedelta | None) -> str:
    return "" if wait is None else f"{wait.total_seconds() / 60:.1f}".replace(".", ",")
