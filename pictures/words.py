"""Words that stand on every picture and sheet of their kind. Plain values: this package knows nothing of the bot's."""

SCAN = "Quét mã, hoặc mở địa chỉ này:"
MORE = "… còn nữa, đọc ở tin chữ"
SCAN_BOARD = "Quét mã bằng máy ảnh điện thoại để đọc lại:"
CARD = (
    "Quét mã bằng máy ảnh điện thoại để bản biết hộ mình đã nắm tin. "
    "Trang này không hỏi họ tên, số căn cước, số điện thoại hay mã nào."
)
SETUP_HOW = (
    "Khi có thông báo, Loa bản gửi cho người chuyển: tin chữ, ảnh, ghi âm nếu có.",
    "Người chuyển đưa các tin ấy vào nhóm, rồi bấm “Đã chuyển” hoặc trả lời 1.",
    "Chưa chuyển: nếu người chuyển đã nối nhắn tin thì máy nhắc một lần; rồi giao người thay, rồi báo xã gọi điện.",
    "Loa bản không vào nhóm, không đọc tin trong nhóm: hỏi gì thì bà con hỏi ở địa chỉ dưới đây.",
)
SETUP_SIGN_IN = "Người chuyển đăng nhập"
SETUP_PIN = "Chữ để ghim trong nhóm"
SETUP_CHAT = "Bà con hỏi Loa bản"
SETUP_CHECK = "Kiểm tra một thông báo"
UNKNOWN = "chưa có"


def code(value: str) -> str:
    return f"Mã {value}"


def due(moment: str) -> str:
    return f"Hạn: {moment}"


def ask(issuer: str) -> str:
    return f"Chưa rõ thì hỏi trưởng thôn, trưởng bản, hoặc {issuer}."


def household(number: int) -> str:
    return f"Hộ số {number}"


def cards_note(village: str, count: int) -> str:
    return (
        f"Thẻ hộ, {village}: {count} thẻ. In ra giấy A4, cắt theo đường nét đứt, đưa tận tay từng hộ. "
        "Ai giữ thẻ thì gắn được điện thoại vào hộ đó: đừng dán nơi công cộng."
    )


def setup_title(village: str) -> str:
    return f"Chuyển thông báo vào nhóm của {village}"


def setup_rows(group: str, members: int | None, carrier: str, backup: str) -> list[tuple[str, str]]:
    count = f" ({members:,} người)".replace(",", ".") if members is not None else ""
    return [
        ("Nhóm đang dùng", f"{group}{count}" if group else UNKNOWN),
        ("Người chuyển", carrier or UNKNOWN),
        ("Người thay", backup or UNKNOWN),
    ]


def sign_in(*, has_code: bool) -> str:
    if has_code:
        return "Mở địa chỉ này trên điện thoại (hoặc quét mã), gõ mã dùng một lần dưới đây. Giữ kín, dùng xong là hết."
    return "Mở địa chỉ này trên điện thoại (hoặc quét mã), gõ mã dùng một lần do cán bộ xã cấp."
