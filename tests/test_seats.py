"""How many connections a caller may keep open, over real sockets; who has gone away leaves room."""

import asyncio
import socket as sockets
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

import toys
from loket.api.endpoint import Endpoint
from loket.api.limits import Limits
from loket.database import Database
from loket.serving import cut_off_unread
from test_api_engine import WRITTEN, Office, closing, hear, say, serving, socket, until


class Narrow(Office):
    endpoint: Endpoint


@pytest_asyncio.fixture
async def office(database: Database) -> AsyncIterator[Narrow]:
    await toys.fill(database)
    office = Narrow(database)
    office.endpoint = Endpoint(
        toys.schema(Limits()),
        context=office.context,
        connection_init_seconds=5,
        most_of_a_person=2,
        most_of_an_address=3,
    )
    async with serving(office.endpoint) as office.port:
        yield office
    assert len(office.endpoint.known) == len(office.endpoint.unknown) == 0


async def stream(office: Narrow, client: httpx2.AsyncClient, caller: str = "staff") -> httpx2.Response:
    request = client.build_request(
        "POST",
        office.url,
        json={"query": WRITTEN},
        headers={"Accept": "text/event-stream", "Authorization": f"Bearer {caller}"},
    )
    return await client.send(request, stream=True)


async def test_a_person_has_so_many_sockets_and_streams_and_then_no_more(office: Narrow) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client, socket(office):
        first = await stream(office, client)
        assert first.status_code == 200
        async with socket(office, None) as third:
            await say(third, type="connection_init", payload={"authorization": "staff"})
            assert await closing(third) == 4429
        second = await stream(office, client)
        assert (second.status_code, second.headers["retry-after"]) == (429, "30")
        await second.aread()
        told = second.json()
        assert told["errors"][0]["extensions"]["code"] == "TOO_MANY_CONNECTIONS"
        async with socket(office, "an"):
            assert len(office.endpoint.known) == 3, "others have their own"
        await first.aclose()
        await until(lambda: len(office.endpoint.known) == 1)
        again = await stream(office, client)
        assert again.status_code == 200, "who went away leaves room"
        await again.aclose()


async def test_an_address_has_so_many_that_did_not_say_who_they_are(office: Narrow) -> None:
    async with socket(office, None), socket(office, None), socket(office, None) as silent:
        async with socket(office, None) as fourth:
            assert await closing(fourth) == 4429
        await say(silent, type="connection_init", payload={"authorization": "an"})
        assert (await hear(silent))["type"] == "connection_ack"
        async with socket(office, None) as fifth:
            await say(fifth, type="connection_init", payload={"authorization": "an"})
            assert (await hear(fifth))["type"] == "connection_ack", "who said it is counted as a person"


async def test_who_never_reads_is_cut_off_by_the_kernel() -> None:
    """What is accepted has the patience of the socket that listens; here a second of it."""
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        cut_off_unread(listener, seconds=1)
        deaf = sockets.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        with deaf, accepted:
            accepted.setblocking(False)
            with pytest.raises(OSError, match="timed out"):
                await asyncio.wait_for(_send_for_ever(accepted), 60)


async def _send_for_ever(to: sockets.socket) -> None:
    while True:
        await asyncio.get_running_loop().sock_sendall(to, b"x" * 1_000_000)
