"""Statement files that come in by a command or in a watched folder; and the matching that follows.

A file in the folder is taken when it did not change between two looks, so that one that is still being
written is left alone. It stays where it is until its import is committed: then it moves to `done/`, or to
`refused/` beside a `.txt` with the reason. Any number of workers may look.
"""

import asyncio
import contextlib
import logging
import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select

from loket import bank, matching, statements
from loket.app import Loket
from loket.errors import ErrorCode, Refused
from loket.records import BankStatement
from loket.settings import Settings
from loket.work import the_system

logger = logging.getLogger(__name__)

LOOK_SECONDS = 20.0
"""Between two looks at the folder: a file that did not change for so long is whole."""
BATCH = 200
"""Movements that are looked up together; each is matched in a transaction of its own."""
UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload")
"""How names end while a file is still on its way."""


async def take(loket: Loket, name: str, content: bytes) -> statements.Imported:
    """Import a file, in one transaction.

    Raises:
        Refused: as `statements.read` and `statements.keep`.
    """
    file = await asyncio.to_thread(statements.read, name, content)
    async with loket.work(the_system("Bank")) as work:
        return await statements.keep(work, file)


async def match_due(loket: Loket, *, seconds: float | None = None) -> int:
    """Match what says itself what it is of, until nothing is left or `seconds` are over; how many it were.

    One that fails is left open, and holds up no other.
    """
    ends_at = None if seconds is None else time.monotonic() + seconds
    matched, after = 0, None
    while True:
        async with loket.work(the_system("Bank")) as work:
            found = await matching.due(work, after=after, at_most=BATCH)
        for entry_id in found:
            if ends_at is not None and time.monotonic() > ends_at:
                return matched
            matched += await _match(loket, entry_id)
            after = entry_id
        if len(found) < BATCH:
            return matched


async def _match(loket: Loket, entry_id: UUID) -> bool:
    try:
        async with loket.work(the_system("Bank")) as work:
            return await matching.match_by_itself(work, entry_id)
    except Exception:
        logger.exception("movement %s could not be matched; it stays open", entry_id)
        return False


async def run(settings: Settings, paths: Sequence[str]) -> list[tuple[str, bool]]:
    """Import these files now: of each what to tell about it, and whether it was taken."""
    async with Loket(settings) as loket:
        told = [await _told(loket, Path(one)) for one in paths]
        await match_due(loket)
        return told


async def _told(loket: Loket, path: Path) -> tuple[str, bool]:
    try:
        imported = await take(loket, path.name, await asyncio.to_thread(path.read_bytes))
    except (Refused, OSError) as fault:
        return f"{path}: refused: {fault}", False
    lines = [f"{path}: {len(imported.new)} new of {len(imported.statements)} statements"]
    lines += [f"{path}: {one}" for one in await gaps(loket, imported)]
    return "\n".join(lines), True


async def gaps(loket: Loket, imported: statements.Imported, language: str = "nl") -> list[str]:
    """What does not connect with the statements before, in words."""
    async with loket.work(the_system("Bank")) as work:
        kept = [await work.session.get_one(BankStatement, one) for one in imported.new]
        return [said for one in kept if (said := await statements.gap(work, one, language)) is not None]


# --- the folder -------------------------------------------------------------------------------


class Folder:
    """The folder where the bank's software, or a person, puts statements."""

    def __init__(self, loket: Loket, path: Path) -> None:
        self._loket = loket
        self._path = path
        self._seen: dict[str, tuple[int, int]] = {}
        """Size and time of change at the last look."""

    async def look(self) -> list[str]:
        """Take what lies still since the last look; answers the names of what was taken or refused."""
        present = await asyncio.to_thread(self._present)
        still = [name for name, state in present.items() if self._seen.get(name) == state]
        self._seen = present
        settled = []
        for name in still:
            try:
                if await self._take(name):
                    settled.append(name)
            except Exception:
                logger.exception("%s could not be imported now; it stays where it is", name)
        return settled

    def _present(self) -> dict[str, tuple[int, int]]:
        found = {}
        for one in sorted(self._path.iterdir()):
            if one.name.startswith(".") or one.name.lower().endswith(UNFINISHED):
                continue
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                state = one.lstat()
                if stat.S_ISREG(state.st_mode):
                    found[one.name] = (state.st_size, state.st_mtime_ns)
        return found

    async def _take(self, name: str) -> bool:
        """False when another worker has it in hand, or had it before."""
        path = self._path / name
        try:
            async with self._loket.work(the_system("Bank")) as work:
                lock = func.hashtextextended(f"statement file {name}", 0)
                if not await work.session.scalar(select(func.pg_try_advisory_xact_lock(lock))):
                    return False
                content = await asyncio.to_thread(_content, path)
                file = await asyncio.to_thread(statements.read, name, content)
                imported = await statements.keep(work, file)
        except FileNotFoundError:
            return False
        except Refused as refusal:
            logger.warning("statement file %s is refused: %s", name, refusal)
            return await asyncio.to_thread(_put_away, path, "refused", str(refusal))
        for gap in await gaps(self._loket, imported):
            logger.warning("statement file %s: %s", name, gap)
        logger.info("statement file %s: %d new statements", name, len(imported.new))
        return await asyncio.to_thread(_put_away, path, "done", "")


def _content(path: Path) -> bytes:
    """Raises `Refused` for more than a statement can be, `OSError` for what has become a link."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        content = file.read(bank.LARGEST_BYTES + 1)
    if len(content) > bank.LARGEST_BYTES:
        raise Refused(ErrorCode.TOO_LARGE, limit=f"{bank.LARGEST_BYTES} bytes")
    return content


def _put_away(path: Path, folder: str, reason: str) -> bool:
    """Move a file out of the way, over no other of its name; False when somebody else did."""
    target = path.parent / folder / path.name
    target.parent.mkdir(exist_ok=True)
    number = 1
    while target.exists():
        number += 1
        target = target.with_name(f"{path.stem}-{number}{path.suffix}")
    try:
        path.rename(target)
    except FileNotFoundError:
        return False
    if reason:
        why = target.with_name(f"{target.name}.txt")
        why.unlink(missing_ok=True)  # whoever fills the folder may have laid a link there
        with why.open("x", encoding="utf-8") as file:
            file.write(reason + "\n")
    return True
