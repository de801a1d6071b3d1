"""Lines of the log are written together, and none is lost or late when it matters."""

import asyncio
import io
import logging
import subprocess
import sys

import pytest

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


def told_of(fault: Exception) -> str:
    """The line of a fault that was caught, with one that came before it."""
    try:
        try:
            raise fault
        except type(fault) as first:
            raise RuntimeError("then this") from first
    except RuntimeError:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "it broke", None, sys.exc_info())
    return logs.JsonLine().format(record)


@pytest.mark.parametrize(
    "words",
    [
        'invalid input syntax for type integer: "An Peeters"',
        "1 validation error\nemail\n  not valid [type=x, input_value='An Peeters', input_type=str]",
        "duplicate key\nDETAIL:  Key (given_name)=(An Peeters) already exists.",
        "bad number 85.07.30-033.28 of An",
        "bad number 85073003328",
        "no such account BE71 0961 2345 6769",
        "no such account BE71096123456769",
        "mail to an.peeters@voorbeeld.example failed",
        "sms to +32 471 01 86 07 failed",
        "(sqlalchemy) x\n[SQL: INSERT]\n[parameters: {'name': 'An Peeters'}]",
    ],
)
def test_a_fault_tells_where_and_of_what_kind_and_names_nobody(words: str) -> None:
    line = told_of(ValueError(words))
    assert "ValueError" in line
    assert "RuntimeError: then this" in line
    assert "test_logs.py" in line
    for private in ("Peeters", "85073003328", "033.28", "6769", "voorbeeld", "471"):
        assert private not in line


def test_a_message_keeps_its_ids_and_loses_what_is_somebodys() -> None:
    given = "01a20380-af94-75f0-84d9-09f12fb3c603 to an@stad.example, 85.07.30-033.28, 2026-11-22 took 12 s"
    line = logs.JsonLine().format(told(logging.INFO, given))
    assert "01a20380-af94-75f0-84d9-09f12fb3c603" in line
    assert "2026-11-22 took 12 s" in line
    assert "stad.example" not in line
    assert "033.28" not in line
