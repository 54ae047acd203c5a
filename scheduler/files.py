"""Files on their way out: bytes are read from the store once, and uploaded to a messenger once."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from sqlmodel import Session

from adapters.contract import FileKind, OutFile
from bot.messages import FileUse
from store import files
from store.store import Store
from store.tables import ChannelFile
from store.tables import FileKind as StoredKind

MOST_BYTES = 64 << 20

Key = tuple[int, FileKind]


class FileBytes:
    """The contents of files sent lately, shared by all channels."""

    def __init__(self, store: Store, *, most: int = MOST_BYTES) -> None:
        self._store = store
        self._most = most
        self._held: OrderedDict[int, bytes] = OrderedDict()

    async def load(self, file_id: int) -> bytes:
        """Raises LookupError for a file that is no more."""
        if (content := self._held.get(file_id)) is not None:
            self._held.move_to_end(file_id)
            return content
        found = await self._store.read(files.load, file_id)
        if found is None:
            raise LookupError(f"no stored file {file_id}")
        self._held[file_id] = found.content
        while len(self._held) > 1 and sum(map(len, self._held.values())) > self._most:
            self._held.popitem(last=False)
        return found.content


PATIENCE = 2.0
"""Seconds for which a file's first upload goes alone."""


class Uploads:
    """What one channel's messenger already has.

    The first upload of a file goes alone, and the others wait for its name: for a while, because an upload that is not
    answered must not hold everybody up.
    """

    def __init__(self, channel_id: int, store: Store, contents: FileBytes) -> None:
        self._channel_id = channel_id
        self._store = store
        self._contents = contents
        self._refs: dict[Key, str] = {}
        self._first: dict[Key, float] = {}
        """Files under way, and since when."""
        self._learnt: dict[Key, str] = {}
        """Names that are not in the store yet."""

    def must_wait(self, use: FileUse, now: float) -> bool:
        """Somebody uploads this very file right now, and has not taken long yet."""
        since = self._first.get((use.file_id, use.kind))
        return since is not None and now - since < PATIENCE

    def begin(self, use: FileUse, now: float) -> bool:
        """Called before the row is started, so that a file's second send is not started beside its first.

        True: this is the first upload, and others wait for it until PATIENCE is over.
        """
        key = (use.file_id, use.kind)
        if key in self._refs or key in self._first:
            return False
        self._first[key] = now
        return True

    def end(self, use: FileUse, ref: str | None) -> None:
        """The send is over; `ref` is None when it failed."""
        key = (use.file_id, use.kind)
        if ref and self._refs.get(key) != ref:
            self._learnt[key] = ref
        if ref is not None:
            self._refs[key] = ref
        self._first.pop(key, None)

    async def file(self, use: FileUse) -> OutFile:
        """Raises LookupError for a file that is no more."""
        ref = self._refs.get((use.file_id, use.kind))
        if ref is None:
            ref = await self._store.read(_ref, self._channel_id, use)
        content = await self._contents.load(use.file_id)
        return OutFile(kind=use.kind, name=use.name, media_type=use.media_type, content=content, ref=ref)

    def rows(self) -> list[dict[str, object]]:
        """What was learnt, as rows of `channel_file`."""
        return [
            {"channel_id": self._channel_id, "file_id": file_id, "kind": StoredKind(kind.value), "ref": ref}
            for (file_id, kind), ref in self._learnt.items()
        ]

    def kept(self, rows: Iterable[Mapping[str, object]]) -> None:
        """These rows are in the store."""
        known = {(row["file_id"], row["kind"], row["ref"]) for row in rows}
        self._learnt = {
            (file_id, kind): ref
            for (file_id, kind), ref in self._learnt.items()
            if (file_id, StoredKind(kind.value), ref) not in known
        }


def _ref(session: Session, channel_id: int, use: FileUse) -> str:
    found = session.get(ChannelFile, (channel_id, use.file_id, StoredKind(use.kind.value)))
    return "" if found is None else found.ref
