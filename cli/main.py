"""The command `loa`. One file a group of commands; what a command needs of the service it imports when it runs."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli import cards, channel, demo, doctor, imports, migrate, notice, opening, relay, serve, user
from cli.say import Trouble, trouble


class InWords(TyperGroup):
    """Expected trouble becomes a sentence on standard error and exit code 1; a traceback means a mistake of ours."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            words = _words(error)
            if words is None:
                raise
            trouble(words)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=InWords,
    name="loa",
    help="Loa Bản: thông báo tới từng nhóm thôn, bản, và biết đã tới đâu. (Notices of a commune, and their reach.)",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    context: typer.Context,
    env_file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Đọc thêm cài đặt từ tệp này, ví dụ data/.env của bản chạy thử"),
    ] = None,
) -> None:
    """Options of every command."""
    context.with_resource(opening.reading(env_file))


app.command("serve")(serve.serve)
app.command("migrate")(migrate.migrate)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("cards")(cards.cards)
app.add_typer(notice.app, name="notice")
app.add_typer(channel.app, name="channel")
app.add_typer(user.app, name="user")
app.add_typer(relay.app, name="relay")
app.add_typer(imports.app, name="import")


def _words(error: Exception) -> str | None:
    """What to say of the trouble; None when it is not one that we expect."""
    from bot.errors import Refused
    from store.schema import SchemaMismatch
    from store.store import DiskFailed, StoreBusy, StoreError, StoreInUse, StoreUnsure

    match error:
        case Refused():
            return error.words
        case Trouble() | SchemaMismatch() | StoreInUse():
            return str(error)
        case StoreBusy():
            return "Cơ sở dữ liệu đang bận hoặc không liên lạc được; chưa ghi gì. Hãy thử lại sau ít phút."
        case StoreUnsure():
            return "Mất kết nối đúng lúc đang ghi: chưa rõ đã ghi hay chưa. Hãy xem lại trước khi làm lại."
        case DiskFailed():
            return "Không ghi được vì ổ đĩa đầy hoặc hỏng; chưa ghi gì. Hãy dọn ổ đĩa rồi làm lại."
        case StoreError():
            return None
        case _:
            return None
