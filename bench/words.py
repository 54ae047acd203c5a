"""What all clients send and know, without importing the service."""

HOOK = "a-secret-for-measuring"
WORDS = "Mời bà con tới nhà văn hoá bản lúc 8 giờ sáng thứ Bảy để tiêm phòng cho trâu bò. " * 3
"""About 250 letters; with its head and foot a usual notice of 300."""


def token_of(number: int) -> str:
    """Of the bot with this number."""
    return f"{number}:a-token-for-measuring-that-nobody-has"


def group(number: int) -> int:
    """Telegram's id of a group."""
    return -1_001_000_000_001 - number
