"""The commands, as messengers list them."""

from adapters.contract import ChatKind, Command

COMMANDS: tuple[Command, ...] = (
    Command("thongbao", "Soạn và gửi thông báo", ChatKind.PRIVATE),
    Command("baocao", "Thông báo đã tới đâu", ChatKind.PRIVATE),
    Command("chuanam", "Hộ nào chưa nắm", ChatKind.PRIVATE),
    Command("lienket", "Liên kết tài khoản với người phụ trách", ChatKind.PRIVATE),
    Command("huy", "Bỏ việc đang làm dở", ChatKind.PRIVATE),
    Command("trogiup", "Làm được gì ở đây", ChatKind.PRIVATE),
    Command("quyenriengtu", "Loa bản giữ những gì về bác", ChatKind.PRIVATE),
    Command("xoadulieu", "Xoá dữ liệu của bác", ChatKind.PRIVATE),
    Command("baocao", "Mấy hộ đã nắm", ChatKind.GROUP),
    Command("dangky", "Nối nhóm này với bản", ChatKind.GROUP),
    Command("trogiup", "Làm được gì ở đây", ChatKind.GROUP),
    Command("quyenriengtu", "Loa bản giữ những gì ở nhóm này", ChatKind.GROUP),
)
