"""The Store: runs synchronous database work for asyncio code, and answers only what is really committed.

A piece of work is a plain function whose first argument is a session or a connection; what it returns is the answer.
Pieces are short, touch nothing but the database, and are run again from the start when the database asks for it, so
they must not count calls or send anything. A piece never commits or rolls back: to undo its work, it raises.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Insert
from sqlmodel import Session

P = ParamSpec("P")
T = TypeVar("T")
Row = Mapping[str, Any]


class StoreError(Exception):
    """The store could not do what was asked; the class says what is known and what to do."""


class StoreInUse(StoreError):
    """Another process owns this database file: stop one of the two."""


class StoreBusy(StoreError):
    """Nothing was written, because the database was locked, overloaded or out of reach: safe to try again later."""


class StoreUnsure(StoreError):
    """The connection broke while committing: written or not, only looking tells."""


class DiskFailed(StoreError):
    """Nothing was written, because the disk is full or failing: a person must mend it."""


class StoreClosed(StoreError):
    """The store is closed, and the work was not begun."""


class PieceRefused(StoreError):
    """A piece did what no piece may do, and nothing of it was written. A mistake in our code."""


class Store(Protocol):
    """Concurrent callers have no order among them. A caller that is cancelled leaves its piece: that may be written."""

    dialect: str
    """"sqlite" or "postgresql"."""

    @property
    def commits(self) -> int:
        """Commits so far, for measuring."""

    async def write(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(session, …)` whole or not at all; answered after the commit. Raises what `work` raised."""

    async def write_core(
        self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `write`, on the bare connection: for hot paths, a third of the cost or less."""

    async def append(self, statement: Insert, rows: Sequence[Row]) -> None:
        """Insert rows with a statement that ignores what is there already; answered after the commit.

        What waits with the very same statement object is inserted together: keep the statement in a constant.
        All rows of one call have the same keys.
        """

    async def read(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(session, …)` on one unchanging view of what is committed. Writing in it raises PieceRefused."""

    async def aclose(self) -> None:
        """Finish what waits, then let go of the database. Work that comes later raises StoreClosed."""
