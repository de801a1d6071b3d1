"""Wake-ups over NATS: they reach other processes and come back with the server; nothing is lost without."""

import asyncio
import contextlib
import logging
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from sqlalchemy import text

from flemish import Credentials
from loket import app
from loket.app import Loket
from loket.database import EFFECTS, EVENTS, Database, after_commit
from loket.interests import Interest
from loket.nats_wakeups import Nats
from loket.settings import Nats as Set
from loket.settings import Settings, SettingsError
from loket.wakeups import WakeUps
from nats_server import PASSWORD, NatsServer, nats_server, needed
from test_feed import arrived, following, happens, running, some_case

PREFIX = "loket.13999"


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    with nats_server() as started:
        yield started


@contextlib.asynccontextmanager
async def opened(url: str, prefix: str = PREFIX) -> AsyncIterator[Nats]:
    """The wake-ups of a process of its own."""
    one = Nats(url, prefix=prefix)
    await one.open()
    try:
        yield one
    finally:
        await one.aclose()


@contextlib.asynccontextmanager
async def hearing(one: WakeUps, channels: list[str]) -> AsyncIterator[list[str]]:
    """What a listener has heard since it listens."""
    heard: list[str] = []

    async def listen() -> None:
        async with contextlib.aclosing(one.listen(channels)) as names:
            async for channel in names:
                heard.append(channel)  # noqa: PERF401  # looked at from outside while it grows

    listener = asyncio.create_task(listen())
    await eventually(lambda: set(heard) == set(channels))
    heard.clear()
    yield heard
    listener.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await listener


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110  # what changes is another process
            await asyncio.sleep(0.01)


LISTENER = """
    import asyncio, sys
    from loket.nats_wakeups import Nats

    async def main(url):
        one = Nats(url, prefix="loket.13999")
        await one.open()
        async for channel in one.listen(["loket_events"]):
            print(channel, flush=True)

    asyncio.run(main(sys.argv[1]))
"""


@contextlib.contextmanager
def listener_elsewhere(url: str) -> Iterator[IO[str]]:
    """What a process that listens says."""
    command = [sys.executable, "-c", textwrap.dedent(LISTENER), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()


@needed
async def test_a_commit_wakes_the_listener_of_another_process(nats: NatsServer, database_url: str) -> None:
    with listener_elsewhere(nats.url) as said:
        assert await asyncio.to_thread(said.readline) == "loket_events\n", "it listens"
        async with Database(database_url, wake_ups=Nats(nats.url, prefix=PREFIX)) as database:
            async with database.transaction() as session:
                await (await session.connection()).execute(text("SELECT 1"))
                after_commit(session, EVENTS)
            assert await asyncio.to_thread(said.readline) == "loket_events\n"


@needed
async def test_a_listener_hears_its_own_channels_of_its_own_installation(nats: NatsServer) -> None:
    async with (
        opened(nats.url) as here,
        opened(nats.url) as there,
        opened(nats.url, "loket.44021") as elsewhere,
        hearing(there, [EVENTS]) as heard,
    ):
        async with hearing(elsewhere, [EVENTS, EFFECTS]) as other:
            here.wake([EFFECTS])
            elsewhere.wake([EVENTS])
            await eventually(lambda: EVENTS in other)
            assert other == [EVENTS]
        assert heard == []
        here.wake([EVENTS])
        await eventually(lambda: heard == [EVENTS])


@needed
async def test_many_marks_become_few_messages_and_the_last_ones_are_sent_at_the_end(
    nats: NatsServer,
) -> None:
    async with opened(nats.url) as there, hearing(there, [EVENTS, EFFECTS]) as heard:
        async with opened(nats.url) as here:
            began = time.monotonic()
            for _ in range(200):
                here.wake([EVENTS])
                await asyncio.sleep(0)
            await eventually(lambda: bool(heard))
            assert heard.count(EVENTS) <= (time.monotonic() - began) / 0.010 + 2
            here.wake([EFFECTS])
        await eventually(lambda: EFFECTS in heard)


@needed
async def test_a_server_that_was_killed_is_found_again_and_said_to_be_away_once(
    nats: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with opened(nats.url) as here, opened(nats.url) as there, hearing(there, [EVENTS]) as heard:
            nats.kill()
            await eventually(lambda: "is away" in caplog.text)
            await asyncio.sleep(1.0)  # several attempts
            nats.start()
            await eventually(lambda: caplog.text.count("is back") == 2)
            await eventually(lambda: bool(heard))  # for what was missed
            heard.clear()
            here.wake([EVENTS])
            await eventually(lambda: heard == [EVENTS])
    assert caplog.text.count("is away") == 2, "once for each of the two"
    assert f"127.0.0.1:{nats.port}" in caplog.text
    assert PASSWORD not in caplog.text


@needed
async def test_who_may_not_come_in_is_told_without_the_password(
    nats: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(nats.url.replace(PASSWORD, "geraden")):
        await eventually(lambda: "is away" in caplog.text)
    assert "uthorization" in caplog.text
    assert "geraden" not in caplog.text


async def test_what_nobody_is_woken_for_is_found_by_the_poll(database_url: str, tmp_path: Path) -> None:
    """As where the NATS server never answers: a subscriber waits for one poll, and misses nothing."""
    credentials = Credentials.made_in(tmp_path)
    own = Settings(
        database_url=database_url,
        secret_key="5a" * 32,
        acmidm=credentials.acmidm("http://127.0.0.1:9"),
        magda=credentials.magda("http://127.0.0.1:9"),
        nats=Set(url="nats://127.0.0.1:9"),
    )
    async with Loket(own) as loket, running(loket) as source:
        case = await some_case(loket)
        async with following(source, Interest(case_id=case.id)) as got:
            events = [await happens(loket, case) for _ in range(3)]
            await arrived(got, 3)
            assert [one.event_id for one in got] == events


def test_settings_of_nats_are_looked_at_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(**given: str) -> WakeUps | None:
        return app._wake_ups(Settings(nats=Set(**given)))

    assert chosen() is None
    assert isinstance(chosen(url="nats://a:1, tls://b"), Nats)
    with pytest.raises(SettingsError, match="LOKET_NATS_URL: an address is") as told:
        chosen(url="http://u:secret@a")
    assert "secret" not in str(told.value)
    with pytest.raises(SettingsError, match="LOKET_NATS_CA_FILE"):
        chosen(url="tls://a", ca_file="/nowhere.pem")
    assert "secret" not in repr(Settings(nats=Set(url="nats://u:secret@a")))
    monkeypatch.setitem(sys.modules, "nats.aio.client", None)
    monkeypatch.delitem(sys.modules, "loket.nats_wakeups")
    with pytest.raises(SettingsError, match=r"pip install 'loket\[nats\]'"):
        chosen(url="nats://a:1")
