r"""Looking for malware in what citizens upload: ClamAV's daemon, or nobody.

INSTREAM as in clamd(8): `zINSTREAM\0`, chunks with their length before them, a chunk of length zero; the
answer is `stream: OK` or `stream: <name> FOUND`.
"""

import asyncio
import struct
from typing import Protocol
from urllib.parse import urlsplit

from loket.errors import Unavailable
from loket.settings import SettingsError

SYSTEM = "scanner"
TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 256 * 1024


class Scanner(Protocol):
    async def find(self, content: bytes) -> str | None:
        """The name of the malware in `content`; None when there is none.

        Raises:
            Unavailable: it could not be looked at; it may not be taken for clean.
        """


class NoScanner:
    """For where the files are scanned by something before or behind Loket."""

    async def find(self, content: bytes) -> str | None:
        return None


class Clamd:
    """Recognises a repeat: `none`; it only looks."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    async def find(self, content: bytes) -> str | None:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                answer = await self._ask(content)
        except (OSError, TimeoutError) as fault:
            raise Unavailable(SYSTEM, f"no answer: {type(fault).__name__}") from fault
        verdict = answer.rstrip(b"\0\n").decode("ascii", "replace").removeprefix("stream: ")
        if verdict == "OK":
            return None
        name, _, word = verdict.rpartition(" ")
        if word != "FOUND":
            raise Unavailable(SYSTEM, f"unreadable answer: {verdict[:100]}")
        return name

    async def _ask(self, content: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(b"zINSTREAM\0")
            for at in range(0, len(content), CHUNK_BYTES):
                chunk = content[at : at + CHUNK_BYTES]
                writer.write(struct.pack(">I", len(chunk)) + chunk)
                await writer.drain()
            writer.write(struct.pack(">I", 0))
            await writer.drain()
            return await reader.read(1024)
        finally:
            writer.close()


def scanner(url: str) -> Scanner:
    """`clamd://host:3310`; empty for none. Raises `SettingsError` for anything else."""
    if not url:
        return NoScanner()
    parts = urlsplit(url)
    if parts.scheme != "clamd" or not parts.hostname:
        raise SettingsError(f"LOKET_SCANNER: not clamd://host:port: {url!r}")
    return Clamd(parts.hostname, parts.port or 3310)
