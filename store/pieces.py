"""What a piece of work gets in its hands, and what it may not do with it. The same on both databases."""

from collections.abc import Callable
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, Result, event
from sqlmodel import Session

from store.store import PieceRefused

RUNNING = "a piece is running"
"""Key in `Connection.info`."""


class PieceSession(Session):
    """A session inside a transaction that belongs to somebody else."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(bind=connection, join_transaction_mode="rollback_only", expire_on_commit=False)

    def commit(self) -> NoReturn:
        raise PieceRefused("a piece does not commit: it returns, and the store commits")

    def rollback(self) -> NoReturn:
        raise PieceRefused("a piece does not roll back: it raises, or uses session.begin_nested()")


def guard(engine: Engine) -> None:
    """Refuse commits, and new transactions in place of one given up, while a piece is running on the connection.

    After a refusal SQLAlchemy takes its transaction for ended and sends no ROLLBACK: the caller must, on the driver.
    """

    @event.listens_for(engine, "commit")
    def refuse_commit(connection: Connection) -> None:
        if connection.info.get(RUNNING):
            raise PieceRefused("a piece does not commit: it returns, and the store commits")

    @event.listens_for(engine, "begin")
    def refuse_begin(connection: Connection) -> None:
        if connection.info.get(RUNNING):
            raise PieceRefused("a piece ended its transaction and went on")


def run_orm(connection: Connection, work: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run `work(session, …)` in the connection's present (nested) transaction and flush. Raises what it raises."""
    session = PieceSession(connection)
    try:
        answer = answer_of(work, session, args, kwargs)
        session.flush()
        if not session.is_active:
            raise PieceRefused("a piece swallowed a failure of its session")
        if session.in_nested_transaction():
            raise PieceRefused("a piece left its begin_nested() open")
        return answer
    finally:
        session.close()


def answer_of(
    work: Callable[..., Any], given: Session | Connection, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call the piece. Its answer must stand without the transaction, and its error must pass through a future."""
    try:
        answer = work(given, *args, **kwargs)
    except StopIteration as error:  # as Python does in a generator; a future that gets it never resolves
        raise RuntimeError("a piece raised StopIteration") from error
    if isinstance(answer, Result):
        raise PieceRefused("a piece returns values (.all(), .scalars().all(), …), not an open result")
    return answer
