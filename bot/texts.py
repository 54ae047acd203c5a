"""Every sentence that the bot says, in one place: short, plain, as a neighbour would say it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from store.outbox import Failure
from store.tables import Answer, Grade, IssuerKind, NoticeKind, NoticeState, RoleName, State, Wanted

# ---------------------------------------------------------------- words for things

HEADLINES: dict[IssuerKind, str] = {
    IssuerKind.COMMUNE: "🏛 THÔNG BÁO",
    IssuerKind.POLICE: "👮 CÔNG AN THÔNG BÁO",
    IssuerKind.HEALTH: "🏥 TRẠM Y TẾ THÔNG BÁO",
    IssuerKind.SCHOOL: "🏫 NHÀ TRƯỜNG THÔNG BÁO",
}
KINDS: dict[NoticeKind, str] = {
    NoticeKind.NOTICE: "Thông báo",
    NoticeKind.MEETING: "Mời họp",
    NoticeKind.SCAM_WARNING: "Cảnh báo lừa đảo",
    NoticeKind.DISASTER: "Cảnh báo thiên tai",
}
KIND_HEADLINES: dict[NoticeKind, str] = {
    NoticeKind.MEETING: "MỜI HỌP",
    NoticeKind.SCAM_WARNING: "CẢNH BÁO LỪA ĐẢO",
    NoticeKind.DISASTER: "CẢNH BÁO THIÊN TAI",
}
ANSWERS: dict[Answer, str] = {
    Answer.GOT_IT: "Đã nắm",
    Answer.JOIN: "Tham gia",
    Answer.ABSENT: "Vắng",
    Answer.HELP: "Cần giúp",
}
BUTTONS: dict[Answer, str] = {
    Answer.GOT_IT: "✅ Đã nắm",
    Answer.JOIN: "✅ Tham gia",
    Answer.ABSENT: "🚫 Vắng",
    Answer.HELP: "🆘 Cần giúp",
}
WANTED: dict[Wanted, str] = {
    Wanted.ACKNOWLEDGE: "Đã nắm",
    Wanted.ATTEND: "Tham gia · Vắng · Cần giúp",
    Wanted.NOTHING: "không cần trả lời",
}
STATES: dict[NoticeState, str] = {
    NoticeState.DRAFT: "nháp",
    NoticeState.WAITING: "chờ duyệt",
    NoticeState.RETURNED: "bị trả lại",
    NoticeState.PUBLISHED: "đã phát",
    NoticeState.CANCELLED: "đã bỏ",
    NoticeState.RECALLED: "đã thu hồi",
}
DELIVERY: dict[State, str] = {
    State.QUEUED: "đang chờ gửi",
    State.LEASED: "đang chờ gửi",
    State.SENDING: "đang gửi",
    State.SENT: "đã gửi",
    State.HANDED: "đã giao người chuyển",
    State.FAILED: "chưa gửi được",
    State.UNKNOWN: "chưa rõ đã tới chưa",
    State.CANCELLED: "đã dừng",
    State.EXPIRED: "quá hạn, không gửi nữa",
    State.RECALLED: "đã thu hồi",
}
GRADES: dict[Grade, str] = {
    Grade.CARD: "tự xác nhận",
    Grade.NUMBER: "tự khai số hộ",
    Grade.HEAD: "trưởng bản ghi",
    Grade.VISIT: "tổ đến nhà ghi",
}
ROLES: dict[RoleName, str] = {
    RoleName.ADMIN: "Quản trị",
    RoleName.OFFICIAL: "Cán bộ",
    RoleName.POLICE: "Công an",
    RoleName.VIEWER: "Xem số liệu",
    RoleName.VILLAGE_HEAD: "Trưởng thôn, bản",
    RoleName.HELPER: "Tổ công nghệ số cộng đồng",
}
FAILURES: dict[str, str] = {
    Failure.CHAT_GONE: "Loa bản không còn trong nhóm",
    Failure.NO_RIGHT: "nhóm không cho Loa bản viết",
    Failure.REJECTED: "ứng dụng không nhận tin này",
    Failure.NO_CARRIER: "chưa có người chuyển tay",
    Failure.NOT_SENT: "đường truyền không thông",
    Failure.THROTTLED: "ứng dụng bắt chờ",
    Failure.NO_ANSWER: "gửi đi nhưng không thấy ứng dụng trả lời",
    Failure.CRASHED: "máy dừng đúng lúc đang gửi",
    Failure.BROKEN: "kênh gửi đang hỏng, cần quản trị xem",
}


def headline(kind: IssuerKind, issuer: str) -> str:
    """Who speaks. A village's own notice names its head, and never looks like the commune's."""
    return HEADLINES.get(kind, f"🏘 TIN CỦA {issuer.upper()}")


NOT_MEASURABLE = "không đo được"


def failure(code: str) -> str:
    return FAILURES.get(code, "chưa rõ lý do")


def number(value: int) -> str:
    """As Vietnamese write it: 12.480."""
    return f"{value:,}".replace(",", ".")


def day(at: datetime) -> str:
    return f"{at:%d/%m/%Y}"


def moment(at: datetime) -> str:
    return f"{at:%H:%M, %d/%m/%Y}"


def span(wait: timedelta) -> str:
    """A duration as people say it."""
    minutes = round(wait.total_seconds() / 60)
    if minutes < 1:
        return "dưới 1 phút"
    if minutes < 60:
        return f"{minutes} phút"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} giờ {minutes} phút" if minutes else f"{hours} giờ"
    return f"{hours // 24} ngày {hours % 24} giờ"


def sentence(words: str) -> str:
    """With a capital first letter: places are called "bản …" and begin sentences."""
    return words[:1].upper() + words[1:]


def recording(language: str) -> str:
    """What stands beside a voice recording."""
    name = dict(LANGUAGES).get(language, "")
    return f"🔊 Nghe bằng {name[:1].lower()}{name[1:]}" if language and name else "🔊 Nghe ghi âm"


def answered(took: int, households: int, unlinked: int, *, wanted: Wanted) -> str:
    """What a village has answered so far, for whoever just pressed."""
    figure = took_note(took, households, unlinked)
    return f"{figure} đã trả lời" if wanted is Wanted.ATTEND else f"{figure} đã nắm"


def took_note(acknowledged: int, households: int, unlinked: int) -> str:
    """ "31/62 hộ, và 5 tài khoản chưa gắn hộ"; without a register "tài khoản", never "hộ"."""
    if not households:
        return f"{number(acknowledged + unlinked)} tài khoản"
    line = f"{number(acknowledged)}/{number(households)} hộ"
    return f"{line}, và {number(unlinked)} tài khoản chưa gắn hộ" if unlinked else line


def button_count(acknowledged: int, households: int, unlinked: int) -> str:
    """Short enough for a button; '' while nobody has pressed."""
    if households:
        figure = f"{number(acknowledged)}/{number(households)} hộ" if acknowledged else ""
        return figure + (f" +{number(unlinked)}" if unlinked else "")
    return number(acknowledged + unlinked) if acknowledged + unlinked else ""


def help_wanted(code: str, village: str, household: int | None) -> str:
    who = f"Hộ số {household}" if household is not None else "Một tài khoản chưa gắn hộ"
    return f"🆘 {sentence(village)}: {who} bấm “Cần giúp” ở {code}."


def help_line(village: str, household: int | None) -> str:
    """The same in a list."""
    who = f"hộ số {household}" if household is not None else "một tài khoản chưa gắn hộ"
    return f"{sentence(village)}: {who}"


# ---------------------------------------------------------------- first words, help, privacy

WELCOME = (
    "Chào bác. Đây là loa của bản trên điện thoại: nhận thông báo của xã, của bản.\n"
    "Bác có thẻ hộ thì quét mã trên thẻ. Không có thẻ thì gõ số hộ của nhà mình, ví dụ: 12.\n"
    "Cần giúp, gõ /trogiup."
)
HELP_RESIDENT = (
    "Bác làm được những việc này:\n"
    "• Bấm “Đã nắm” dưới mỗi thông báo trong nhóm.\n"
    "• Gõ số hộ của nhà mình ở đây để tính đúng cho nhà mình.\n"
    "/quyenriengtu – Loa bản giữ những gì về bác\n"
    "/xoadulieu – xoá dữ liệu của bác"
)
HELP_DUTY = (
    "Việc của người phụ trách:\n"
    "/thongbao – soạn và gửi thông báo\n"
    "/baocao – xem thông báo đã tới đâu\n"
    "/chuanam – xem hộ nào chưa nắm, đánh dấu hộ đã báo tận nơi\n"
    "1 – báo đã chuyển tin vào nhóm của bản\n"
    "/dangky MÃ – gõ trong nhóm để nối nhóm với bản\n"
    "/huy – bỏ việc đang làm dở"
)
HELP_GROUP = (
    "Loa bản: thông báo của xã, của bản hiện ở nhóm này, bà con bấm nút để báo đã nắm.\n"
    "Muốn hỏi riêng hoặc gắn số hộ, nhắn riêng cho Loa bản.\n/baocao xem mấy hộ đã nắm · /quyenriengtu"
)
PRIVACY = (
    "Loa bản giữ: bác đã bấm nút ở thông báo nào, lúc nào, và số hộ nếu bác khai. Số tài khoản của bác chỉ giữ dưới dạng mã hoá.\n"
    "Loa bản không giữ: tin bà con nói chuyện với nhau trong nhóm, giấy tờ tuỳ thân, mật khẩu, mã OTP.\n"
    "Trưởng bản thấy hộ nào chưa nắm để đi báo. Xã chỉ thấy con số.\n"
    "Bác xoá được bất cứ lúc nào: /xoadulieu"
)
PRIVACY_ROOMS = (
    "Phòng chat trên mạng này do Loa bản giữ: tin bà con viết ở đây được cất (mã hoá) để hiện lại cho nhau, quá 90 ngày thì xoá. "
    "Không giữ giấy tờ tuỳ thân, mật khẩu, mã OTP."
)
PRIVACY_GROUP = "Trong nhóm này Loa bản chỉ đọc lệnh, tin trả lời Loa bản, và nút bà con bấm. Tin khác không giữ lại. Nhắn riêng /quyenriengtu để xem đủ."
ERASE_ASK = (
    "Xoá dữ liệu của bác: tài khoản này không còn gắn với hộ nào, lịch sử bấm nút không còn tên bác (con số chung của bản vẫn giữ).\n"
    "Xoá rồi không lấy lại được. Bác chắc chưa?"
)
ERASE_YES, ERASE_NO = "Xoá dữ liệu của tôi", "Không, giữ lại"
ERASED = "Đã xoá. Bác muốn dùng lại lúc nào thì nhắn cho Loa bản lúc đó."
KEPT = "Vâng, giữ nguyên."
UNKNOWN_COMMAND = "Không có lệnh này. Gõ /trogiup để xem làm được gì."
NOT_UNDERSTOOD = "Chưa hiểu ý bác. Gõ /trogiup để xem làm được gì, hoặc hỏi trưởng bản."
NOTHING_TO_CANCEL = "Không có việc nào đang làm dở."
CANCELLED = "Đã bỏ việc đang làm dở. Chưa gửi gì đi."
NOT_ON_DUTY = (
    "Việc này của trưởng bản hoặc cán bộ. Nếu đúng là bác, gõ /lienket và mã của bác (hỏi cán bộ xã để lấy mã)."
)
IN_PRIVATE_ONLY = "Việc này bác nhắn riêng cho Loa bản nhé."
TRY_LATER = "Bác thử sai nhiều lần rồi. Nghỉ một lúc lâu rồi thử lại."

# ---------------------------------------------------------------- linking and enrolling

LINK_HOW = "Gõ /lienket và mã, ví dụ: /lienket 7K4M-9QTX. Mã do cán bộ xã cấp, dùng một lần."
CODE_WRONG = "Mã không đúng, đã dùng rồi, hoặc quá hạn. Bác xin cán bộ xã mã mới."
GROUP_GREETING = (
    "Chào bà con. Nhóm này chưa nối với bản nào nên chưa nhận thông báo.\n"
    "Trưởng bản hoặc cán bộ gõ ở đây: /dangky và mã nối nhóm."
)
ENROL_HOW = "Gõ /dangky và mã nối nhóm, ví dụ: /dangky 7K4M-9QTX. Trưởng bản lấy mã ở trang quản lý, mục của bản."
ENROL_IN_GROUP = "Bác gõ lệnh này trong nhóm của bản, không phải ở đây."
ENROL_NOT_YOURS = "Bác chưa được giao bản này, hoặc tài khoản chưa liên kết. Nhắn riêng cho Loa bản: /lienket và mã của bác, rồi làm lại."
ENROL_OTHER = "Nhóm này đang nối với nơi khác. Người phụ trách nơi ấy gỡ ra trước."


def linked(name: str) -> str:
    return f"Đã liên kết: {name}. Gõ /trogiup để xem việc làm được."


def enrolled(place: str, *, in_rooms: bool) -> str:
    """`in_rooms`: the group is a room of ours, and keeps what is written in it."""
    talk = (
        "Tin bà con viết trong phòng chat này được cất (mã hoá) để hiện lại, quá 90 ngày thì xoá."
        if in_rooms
        else "Tin bà con nói chuyện với nhau Loa bản không đọc, không giữ."
    )
    return (
        f"Đã nối nhóm này với {place}.\n"
        "Từ nay ở đây: đăng thông báo của xã và của bản, đếm hộ đã nắm khi bà con bấm nút.\n"
        f"Loa bản thấy: lệnh, tin trả lời Loa bản, nút bấm, việc Loa bản ra vào nhóm. {talk}\n"
        "Chi tiết: /quyenriengtu"
    )


def group_lost(place: str, title: str, why: str) -> str:
    return f"⚠️ {sentence(place)}: {why} (nhóm “{title}”). Thông báo không tới được nhóm này nữa. Cho Loa bản vào lại nhóm, có quyền viết, là nhận tiếp; không cần mã mới."


LOST_GONE = "Loa bản đã bị đưa ra khỏi nhóm"
LOST_MUTED = "nhóm không cho Loa bản viết nữa"

# ---------------------------------------------------------------- households

HOUSEHOLD_ASK = "Nhà bác là hộ số mấy trong sổ của {village}? Gõ số, ví dụ: 12. Không nhớ thì bấm nút."
HOUSEHOLD_FORGOT = "Không nhớ"
HOUSEHOLD_FORGOT_OK = (
    "Không sao. Bác vẫn được ghi là một tài khoản. Khi nào nhớ thì gõ số hộ ở đây, hoặc hỏi trưởng bản lấy thẻ hộ."
)
HOUSEHOLD_NO_VILLAGE = (
    "Bác bấm nút ở một thông báo trong nhóm của bản trước, rồi gõ số hộ ở đây. Hoặc quét mã trên thẻ hộ."
)
CARD_WRONG = "Thẻ này không dùng được nữa. Bác xin trưởng bản thẻ mới."


def joined_household(number_: int, village: str) -> str:
    return f"Đã gắn tài khoản này với hộ số {number_}, {village}. Từ nay bác bấm “Đã nắm” là tính cho cả nhà."


def no_such_household(number_: int, village: str) -> str:
    return f"{sentence(village)} không có hộ số {number_}. Bác xem lại, hoặc hỏi trưởng bản."


# ---------------------------------------------------------------- answers to a press (at most 200 characters)


def press_counted(answer: Answer, household: int | None, figure: str, *, changed: bool) -> str:
    what = ANSWERS[answer].lower()
    whose = f"hộ số {household}" if household is not None else "tài khoản của bác"
    verb = "Đã đổi" if changed else "Đã ghi"
    return f"✅ {verb} {whose}: {what}. {figure}."


def press_again(household: int | None, figure: str) -> str:
    whose = f"Hộ số {household}" if household is not None else "Tài khoản của bác"
    return f"{whose} đã được ghi rồi, không cần bấm nữa. {figure}."


PRESS_ASK = " Để tính cho hộ nhà bác: nhắn riêng cho Loa bản số hộ (một lần thôi)."
PRESS_OLD = "Thông báo này đã dừng, không nhận trả lời nữa."
HELP_UNHEARD = "Đã ghi nhà mình cần giúp, nhưng chưa báo được ai qua tin nhắn. Gọi ngay trưởng bản, hoặc 112."
PRESS_PREVIEW = "Đây là bản xem trước, chưa gửi cho bà con."
PRESS_STALE = "Nút này không dùng được nữa."

# ---------------------------------------------------------------- writing a notice

COMPOSE_ASK = "Bác gõ nội dung thông báo, hoặc chuyển tiếp tin, ảnh, tệp, ghi âm vào đây.\nMuốn bỏ thì gõ /huy."
COMPOSE_ASK_TEXT = "Đã nhận tệp. Bác gõ thêm lời của thông báo."
COMPOSE_REWRITE = "Bác gõ lại nội dung. Tệp đã nhận vẫn giữ."
COMPOSE_LANGUAGE = "Ghi âm này nói tiếng gì?"
LANGUAGES: tuple[tuple[str, str], ...] = (
    ("vi", "Tiếng phổ thông"),
    ("hmn", "Tiếng Mông"),
    ("tai", "Tiếng Thái"),
    ("ium", "Tiếng Dao"),
    ("", "Tiếng khác"),
)
COMPOSE_VILLAGES = "Gửi tới bản nào? Bấm để chọn, hoặc gõ số thứ tự (ví dụ 1 3 5). Xong thì bấm Tiếp."
COMPOSE_ALL, COMPOSE_NEXT = "Chọn tất cả", "Tiếp ▶"
COMPOSE_NONE = "Chưa chọn bản nào."
COMPOSE_TOO_LONG = "Nội dung dài quá {limit} chữ. Bác rút ngắn, hoặc gửi kèm tệp."
COMPOSE_FILE_LOST = "Không tải được tệp vừa rồi. Bác gửi lại giúp."
COMPOSE_USE_BUTTONS = "Bác bấm một nút ở tin trên. Muốn sửa lời thì bấm “✏️ Viết lại”, muốn bỏ thì gõ /huy."
NO_VILLAGES = "Bác chưa được giao bản nào để gửi thông báo. Hỏi cán bộ xã."
SEND, REWRITE, RECHOOSE, DROP = "✅ Gửi đi", "✏️ Viết lại", "🏘 Chọn lại bản", "✖ Bỏ"
ALREADY_DONE = "Việc này đã xong rồi."


def compose_summary(
    villages: Sequence[str],
    chats: int,
    households: int,
    without: Sequence[str],
    issuer: str,
    *,
    by_hand: int = 0,
    carriers: int = 0,
    idle: Sequence[str] = (),
    approval: bool,
    link: bool,
) -> str:
    """`chats`: groups in which we post ourselves; `by_hand`: those into which `carriers` people carry it.

    `idle`: villages with a group that nobody is named to carry to.
    """
    lines = [f"👆 Bà con sẽ thấy như trên. Ký tên: {issuer}."]
    shown = ", ".join(villages[:6]) + (f" và {len(villages) - 6} bản nữa" if len(villages) > 6 else "")
    lines.append(
        f"Gửi tới {number(len(villages))} bản ({shown}): {ways(chats, by_hand, carriers)}, {number(households)} hộ."
    )
    if idle:
        lines.append(f"⚠️ Chưa có người chuyển tay: {', '.join(idle[:8])}.")
    if without:
        lines.append(f"⚠️ Chưa có nhóm nào: {', '.join(without[:8])}.")
    if not link:
        lines.append("Chưa có địa chỉ công khai nên tin không kèm đường dẫn và mã QR.")
    if approval:
        lines.append("Thông báo này cần người thứ hai duyệt rồi mới phát.")
    return "\n".join(lines)


def toggle_urgent(on: bool) -> str:
    return "🚨 Khẩn: CÓ" if on else "🚨 Khẩn: không"


def toggle_wanted(wanted: Wanted) -> str:
    return f"🙋 Hỏi: {WANTED[wanted]}"


def toggle_issuer(name: str) -> str:
    return f"🖋 Ký: {name}"


# ---------------------------------------------------------------- approval, progress, figures


SEE_REPORT = "📊 Xem kết quả"


def waiting(code: str, *, told: int) -> str:
    """`told`: how many of those who may approve were reached in a chat."""
    if told:
        return f"Đã gửi {code} cho {number(told)} người duyệt. Duyệt xong là phát ngay và báo bác."
    return f"{code} chờ duyệt ở trang quản lý. Chưa báo được ai qua tin nhắn: bác gọi người duyệt giúp."


def approval_ask(
    code: str, author: str, villages: int, chats: int, *, by_hand: int = 0, carriers: int = 0, urgent: bool
) -> str:
    mark = "🚨 KHẨN. " if urgent else ""
    where = ways(chats, by_hand, carriers)
    return f"{mark}Chờ bác duyệt: {code}, {author} soạn, gửi tới {number(villages)} bản, {where}. Nội dung ở tin trên."


APPROVE, SEND_BACK = "✅ Duyệt và phát", "↩️ Trả lại"
RETURN_WHY = "Bác gõ lý do trả lại (một câu), hoặc gõ /huy."


def approved(code: str, name: str, at: datetime) -> str:
    return f"{code}: {name} đã duyệt lúc {at:%H:%M}. Đang phát."


def returned(code: str, name: str, reason: str) -> str:
    return f"{code}: {name} trả lại. Lý do: {reason}"


def stopped(code: str) -> str:
    return f"{code}: đã bỏ, không phát."


def progress(
    code: str, sent: int, chats: int, failed: int, unknown: int, *, by_hand: int, given: int, carried: int, done: bool
) -> str:
    """`chats` and `sent` count groups in which we post ourselves; the named ones those that people carry to."""
    all_there = done and sent == chats and carried == by_hand and not failed
    lines = []
    more = "" if done else "…"
    if chats or not by_hand:
        lines.append(f"đã gửi {number(sent)}/{number(chats)} nhóm{more}")
    if by_hand:
        all_given = "" if given == by_hand else f"/{number(by_hand)}"
        lines.append(f"{number(given)}{all_given} nhóm giao người chuyển tay, {number(carried)} đã chuyển{more}")
    if failed:
        lines.append(f"⚠️ {number(failed)} nhóm chưa gửi được")
    if unknown:
        lines.append(f"❓ {number(unknown)} nhóm chưa rõ đã tới chưa")
    return f"{'✅' if all_there else '📣'} {code}: " + "\n".join(lines)


NO_GROUPS = "Các bản đã chọn chưa có nhóm chat nào nên chưa gửi được tới ai. Nối nhóm bằng /dangky, rồi gửi lại."
NO_NOTICES = "Chưa có thông báo nào."
NO_MISSING = "Không còn hộ nào chưa nắm. 🎉"
HEADS_LIST = "Danh sách hộ chưa nắm chỉ trưởng thôn, bản xem được. Bác xem số liệu bằng /baocao."
FINISH_FIRST = "Bác đang soạn dở một thông báo. Gửi xong hoặc gõ /huy rồi bấm lại."
DECIDED_MEANWHILE = "Có người vừa xử lý thông báo này rồi, không cần lý do nữa."
OWN_HOUSE = "🏠 Khai số hộ nhà tôi"
CARD_STAYS = "Tài khoản này đã gắn hộ bằng thẻ. Muốn đổi sang hộ khác thì quét thẻ của hộ ấy."
NO_REGISTER = "Bản này chưa có sổ hộ nên chưa biết hộ nào chưa nắm. Nhờ cán bộ xã nhập sổ hộ."
PICK_NOTICE = "Bác muốn xem thông báo nào?"


def missing_head(code: str, village: str, missing: int, households: int) -> str:
    return f"{code}, {village}: còn {number(missing)}/{number(households)} hộ chưa nắm. Đã báo tận nơi hộ nào thì bấm hộ đó, hoặc gõ số hộ."


def ticked(numbers: Sequence[int]) -> str:
    return f"Đã ghi: hộ số {', '.join(map(str, numbers))} đã được báo tận nơi."


def take_back(number_: int) -> str:
    return f"↩️ Ghi nhầm hộ {number_}, bỏ ghi"


def missing_more(count: int) -> str:
    return f"… và {number(count)} hộ nữa, đánh dấu bớt thì hiện tiếp."


def unticked(number_: int) -> str:
    return f"Đã bỏ ghi hộ số {number_}."


REPEAT = "(Nhắc lại) "

# ---------------------------------------------------------------- carried by hand

MARK_CORRECTED, MARK_RECALLED = "🔴 ĐÍNH CHÍNH", "🔴 THU HỒI"
KIT_ASKS: dict[Wanted, str] = {
    Wanted.ACKNOWLEDGE: "Nhà nào xem rồi, mở liên kết bấm “Đã nắm”:",
    Wanted.ATTEND: "Tham gia, vắng hay cần giúp: mở liên kết rồi bấm nút:",
}
"""Stands before the link: a forwarded text has no buttons."""
CARRIED, NOT_CARRIED = "✅ Đã chuyển", "↩️ Bấm nhầm, chưa chuyển"
CARRY_NONE = "Không có tin nào chờ bác chuyển."
CARRY_OVER = "Thông báo này đã dừng hoặc đã quá hạn nên không cần chuyển nữa."
CARRY_REPLACED = "Tin này đã có tin mới thay. Bác chuyển tin mới, đừng chuyển tin cũ."
CARRY_LATE = "Ghi đã lâu quá 30 phút nên không bỏ được nữa. Bác chuyển tin vào nhóm giúp, thế là đúng."
CARRY_SEEN = "Bà con đã mở liên kết trong nhóm rồi, nên tin đã tới: không bỏ ghi được."
CARRY_NOT_TOLD = "Tin này chưa được ghi là đã chuyển."


def ways(chats: int, by_hand: int, carriers: int) -> str:
    """How groups are reached: "máy gửi 3 nhóm, 14 người chuyển tay"; where no group is reached by hand, "3 nhóm"."""
    if not by_hand:
        return f"{number(chats)} nhóm"
    where = f" vào {number(by_hand)} nhóm" if carriers != by_hand else ""
    hands = f"{number(carriers)} người chuyển tay{where}"
    return f"máy gửi {number(chats)} nhóm, {hands}" if chats else hands


def clock(at: datetime) -> str:
    """As people say it: 9:14."""
    return f"{at.hour}:{at.minute:02d}"


def carry_what(messages: int, *, correction: bool, recall: bool) -> str:
    """ "2 tin trên"; of a notice that changed, what kind of message it is."""
    count = f"{messages} tin" if messages > 1 else "tin"
    if recall:
        return f"{count} báo thu hồi ở trên"
    return f"{count} sửa ở trên" if correction else f"{count} trên"


CARRY_THEN_TAKE_AWAY = ", rồi thu hồi tin cũ trong nhóm"


def carry_page(group: str, *, correction: bool, recall: bool) -> str:
    """The same on a page, where the messages stand below."""
    what = "tin báo thu hồi" if recall else "tin sửa" if correction else "tin"
    take_away = CARRY_THEN_TAKE_AWAY if correction or recall else ""
    return f"Chuyển {what} vào nhóm {group}{take_away}. Xong bấm “Đã chuyển”."


def carry_for(name: str) -> str:
    """Before the words for a backup."""
    return f"{name} chưa báo đã chuyển, nhờ bác chuyển giúp. " if name else "Nhờ bác chuyển giúp. "


def carry_noted(code: str, village: str, group: str, at: datetime, *, by: str = "") -> str:
    """`by`: somebody else who said so."""
    who = f"{by} đã chuyển" if by else "đã chuyển"
    return f"✅ Đã ghi: {code}, {village}: {who} vào nhóm {group} lúc {clock(at)}."


def carry_opened(code: str, village: str, group: str, at: datetime) -> str:
    return f"✅ {code}, {village}: bà con đã mở liên kết lúc {clock(at)}, tin đã tới nhóm {group}."


def carry_known(code: str, village: str) -> str:
    return f"{code}, {village}: đã được ghi là chuyển rồi."


def carry_left(count: int) -> str:
    return f"Còn {number(count)} thông báo chờ bác chuyển." if count else "Không còn tin nào chờ bác chuyển."


def carry_back(code: str, village: str) -> str:
    return f"Đã bỏ ghi: {code}, {village} chưa chuyển."


def carry_remind(code: str, village: str, group: str, page: str) -> str:
    """`page`: where all of the kit lies; '' when nobody can reach us."""
    missing = f" Thiếu tin nào ở trên thì lấy ở {page}" if page else ""
    return f"⏰ Nhắc bác: {code}, {village}: chưa thấy báo đã chuyển vào nhóm {group}. Chuyển xong trả lời 1.{missing}"


def carry_passed(code: str, group: str, name: str) -> str:
    return f"{code}: đã nhờ {name} chuyển vào nhóm {group}. Nếu bác chuyển rồi thì vẫn trả lời 1."


def carry_released(code: str, group: str, name: str) -> str:
    """For somebody who is named for the group no more; `name`: who is asked now, '' for nobody."""
    if not name:
        return f"{code}: bác không phải chuyển tin trên vào nhóm {group} nữa."
    return f"{code}: đã nhờ {name} chuyển vào nhóm {group}. Bác không phải chuyển tin trên nữa."


def carry_not_household(number_: int) -> str:
    """After a number that was taken for a report, while a list of households lay open."""
    return f"Nếu bác muốn ghi hộ số {number_} thì bấm nút dưới."


def carry_stopped(code: str, group: str) -> str:
    return f"⛔ {code}: tin trên đã dừng hoặc đã có tin khác thay, đừng chuyển vào nhóm {group}."


def commune_calls(code: str, *, urgent: bool, page: str) -> str:
    """`page`: the console's address, '' when it has none. Numbers stand there alone: a chat keeps what was written."""
    mark = "🚨 KHẨN. " if urgent else ""
    where = f" ({page})" if page else ""
    return (
        f"📞 {mark}{code}: chưa ai báo đã chuyển tin vào các nhóm sau. "
        f"Xin gọi, số điện thoại ở trang quản lý, mục “Chờ gọi”{where}:"
    )


def commune_call(village: str, group: str, carrier: str, backup: str) -> str:
    who = ", ".join(name for name in (carrier, backup) if name) or "chưa có người chuyển"
    return f"• {sentence(village)}, nhóm {group}: {who}"


# ---------------------------------------------------------------- set-up of a group that is reached by hand


def pin_text(village: str, carrier: str, *, chat_url: str, check_url: str) -> str:
    """What is pinned in the village's existing group. An address is '' when residents cannot reach us."""
    lines = [
        f"📌 Thông báo của xã gửi {village}",
        f"• {carrier or 'Người của bản'} chuyển thông báo của xã vào nhóm này. Cuối mỗi thông báo có mã, ví dụ TB-4K7Q.",
    ]
    if check_url:
        lines.append(f"• Thông báo có thật không: mở {check_url} rồi gõ mã của thông báo.")
    if chat_url:
        lines.append(
            f"• Hỏi riêng: mở {chat_url}, không cần tài khoản. Máy mới hiểu được ít câu, "
            "cần biết ngay thì hỏi trưởng thôn, trưởng bản."
        )
    lines += [
        "• Gặp tin lạ, ngờ là giả: đừng bấm liên kết, đừng chuyển tiền. Hỏi trưởng thôn, trưởng bản hoặc công an xã.",
        "• Trong nhóm này máy không nghe, không đọc được gì: viết ở đây thì chỉ bà con trong nhóm thấy. Xã không bao giờ hỏi mật khẩu, mã OTP, số căn cước của bà con.",
    ]
    return "\n".join(lines)


# ---------------------------------------------------------------- corrections, recalls, and what people carry by hand

NOT_REPORTED = "hết hạn mà chưa báo đã chuyển"
OPENS = "lượt mở (ước lượng)"
"""Never called read: a browser opened the link, and that is all one knows."""


def recall_words(reason: str) -> str:
    """What takes the place of a notice that was taken back."""
    return f"Thông báo này đã được thu hồi. Bà con đừng làm theo tin cũ nữa.\n\nLý do: {reason}"


def relay_line(
    *,
    villages: int,
    machine: tuple[int, int],
    by_hand: int,
    given: int,
    carried: int,
    median: timedelta | None,
    households: int,
    card: int,
    number_: int,
    head: int,
    visit: int,
    unlinked: int,
) -> str:
    """ "14 bản: 14 đã giao, 13 đã chuyển (trung vị 9 phút), 612/840 hộ: 395 tự xác nhận, …"; a grade of nobody is left out.

    `machine`: (sent, all) of the groups that we write to ourselves. Where there are groups of both kinds, both are told
    apart: "8 bản: máy gửi 7/7 nhóm; chuyển tay 1/1 đã giao, …".
    """
    took = card + number_ + head + visit
    parts = []
    if by_hand:
        sent, chats = machine
        mixed = f"máy gửi {number(sent)}/{number(chats)} nhóm; chuyển tay " if chats else ""
        of_all = f"/{number(by_hand)}" if chats else ""
        pace = f" (trung vị {span(median)})" if carried and median is not None else ""
        parts = [f"{mixed}{number(given)}{of_all} đã giao", f"{number(carried)} đã chuyển{pace}"]
    line = ", ".join([*parts, took_note(took, households, unlinked)])
    grades = ((card, "tự xác nhận"), (number_, "tự khai"), (head, "trưởng bản ghi"), (visit, "tổ đến nhà"))
    shown = ", ".join(f"{number(count)} {word}" for count, word in grades if count) if households else ""
    return f"{number(villages)} bản: {line}" + (f": {shown}" if shown else "")


RECORD_OVER = "Thông báo này đã dừng hoặc đã thu hồi nên không ghi thêm được nữa. Ghi nhầm thì vẫn bỏ ghi được."


def told_count(count: int) -> str:
    """The head's bare number, which is never added to households."""
    return f"{number(count)} người theo trưởng bản đếm (không cộng vào hộ)"


def visited(numbers: Sequence[int]) -> str:
    return f"Đã ghi: đã đến nhà hộ số {', '.join(map(str, numbers))}."


# ---------------------------------------------------------------- a village's own page of a notice (/t/…)

HOUSE_ANSWERS: dict[Answer, str] = {
    Answer.GOT_IT: "Nhà tôi đã nắm",
    Answer.JOIN: "Tham gia",
    Answer.ABSENT: "Vắng",
    Answer.HELP: "Cần giúp",
}
LINK_WRONG = "Đường dẫn này không dùng được. Xem lại tin trong nhóm, hoặc hỏi trưởng thôn, trưởng bản."
LINK_REVOKED = "Đường dẫn này không dùng nữa."
NUMBER_UNREAD = "Hãy gõ số hộ bằng chữ số, ví dụ: 12. Không nhớ thì bấm “Không nhớ”."


def house_answered(answer: Answer, household: int | None, when: str) -> str:
    """ "Đã ghi: hộ số 12, 9:14"."""
    whose = f"hộ số {household}" if household is not None else "máy này (chưa gắn hộ)"
    what = "" if answer is Answer.GOT_IT else f" – {ANSWERS[answer].lower()}"
    return f"Đã ghi: {whose}{what}, {when}"
