"""Lines of the log are written together, and none is lost or late when it matters."""

import asyncio
import io
import logging
import subprocess
import sys

from loket import logs


def told(level: int, text: str) -> logging.LogRecord:
    return logging.LogRecord("loket", level, "", 1, text, None, None)


async def test_quiet_lines_are_written_together_and_soon() -> None:
    out = io.BytesIO()
    lines = logs.Lines(out)
    for text in ("one", "two"):
        lines.handle(told(logging.INFO, text))
    assert out.getvalue() == b""
    await asyncio.sleep(logs.TOGETHER_SECONDS * 2)
    assert out.getvalue() == b"one\ntwo\n"


async def test_a_warning_is_written_at_once_behind_what_came_before_it() -> None:
    out = io.BytesIO()
    lines = logs.Lines(out)
    lines.handle(told(logging.INFO, "before"))
    lines.handle(told(logging.WARNING, "wrong"))
    assert out.getvalue() == b"before\nwrong\n"
    lines.handle(told(logging.INFO, "after"))
    await asyncio.sleep(logs.TOGETHER_SECONDS * 2)
    assert out.getvalue() == b"before\nwrong\nafter\n"


def test_without_an_event_loop_nothing_waits() -> None:
    out = io.BytesIO()
    lines = logs.Lines(out)
    asyncio.run(log(lines, "in a loop that ends"))
    lines.handle(told(logging.INFO, "outside"))
    lines.flush()
    assert out.getvalue() == b"in a loop that ends\noutside\n"
    lines.handle(told(logging.INFO, "later"))
    assert out.getvalue().endswith(b"later\n")


async def log(lines: logs.Lines, text: str) -> None:
    lines.handle(told(logging.INFO, text))


def test_what_is_kept_is_written_when_the_process_ends() -> None:
    code = (
        "import asyncio, logging\nfrom loket import logs\nlogs.configure()\n"
        "async def main(): logging.getLogger('loket').info('goodbye')\nasyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert '"message":"goodbye"' in done.stderr
