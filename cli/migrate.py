"""`loa migrate`: bring the database to the shape that this program needs."""

from cli.opening import database, settings
from cli.say import Trouble, say


def migrate() -> None:
    """Tạo hoặc nâng cấp cơ sở dữ liệu. (Make the database, or bring it up to date.)"""
    found = settings()
    before, after = upgraded(found.database_url)
    place = database(found)
    if before == after:
        say(f"Cơ sở dữ liệu {place} đã ở phiên bản mới nhất ({after}).")
    elif before is None:
        say(f"Đã tạo cơ sở dữ liệu {place} (phiên bản {after}).")
    else:
        say(f"Đã nâng cấp cơ sở dữ liệu {place} từ phiên bản {before} lên {after}.")


def upgraded(url: str) -> tuple[str | None, str]:
    """Version before and after. Raises Trouble when the database cannot be reached."""
    from sqlalchemy.exc import OperationalError

    from store import migrations

    try:
        return migrations.upgrade(url)
    except OperationalError as error:
        # Without the driver's text: it may quote the address with its password.
        raise Trouble(
            "Không mở được cơ sở dữ liệu ở LOA_DATABASE_URL. Kiểm tra địa chỉ, quyền ghi và máy chủ."
        ) from error
    except ImportError as error:
        raise Trouble(
            "LOA_DATABASE_URL trỏ tới PostgreSQL: hãy cài thêm bằng `make install EXTRAS=postgres`."
        ) from error
