"""What all tests share: one PostgreSQL for the run, and a fresh, migrated database for whoever asks.

LOKET_TEST_DATABASE_URL names another server to use; its user must be allowed to create databases.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from hypothesis import settings
from psycopg import sql
from sqlalchemy.engine import make_url
from uuid_utils.compat import uuid7

from loket import revisions
from loket.database import Database, conninfo
from loket.postgres import Postgres

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
"""Nothing here has to outlive the machine."""

LONG = {
    *("test_machines", "test_books", "test_start", "test_walk_any", "test_decisions", "test_effects"),
    *(
        "test_concurrency",
        "test_back_office",
        "test_simulation",
        "test_timers",
        "test_walk",
        "test_publishing",
    ),
}
"""Files that take longest: begun first, so that at the end no process waits for one of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda one: one.path.stem not in LONG)


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder that PostgreSQL's own user may pass through, unlike `tmp_path` when root runs the tests."""
    with _room() as folder:
        yield folder


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server on which databases may be made."""
    external = os.environ.get("LOKET_TEST_DATABASE_URL")
    if external is not None:
        yield external
        return
    with _room() as folder:
        launcher = Postgres(folder / "postgres", settings=FAST)
        yield launcher.start()
        launcher.stop()


@pytest.fixture(scope="session")
def template(server: str) -> Iterator[str]:
    """The name of a database with all revisions and no rows; a copy of it takes some 30 ms."""
    with _fresh(server, None) as url:
        revisions.upgrade(url)
        yield make_url(url).database or ""


@pytest.fixture
def database_url(server: str, template: str) -> Iterator[str]:
    """A database for one test."""
    with _fresh(server, template) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(server: str, template: str) -> Iterator[str]:
    """A database for the tests of one file, which then see each other's rows."""
    with _fresh(server, template) as url:
        yield url


@pytest.fixture
def empty_database_url(server: str) -> Iterator[str]:
    """A database without tables."""
    with _fresh(server, None) as url:
        yield url


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open `Database` of one test's own."""
    async with Database(database_url, name="test") as opened:
        yield opened


@contextlib.contextmanager
def _room() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="loket-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _fresh(server: str, template: str | None) -> Iterator[str]:
    name = f"test_{uuid7().hex}"
    like = sql.Identifier(template) if template else sql.SQL("template1")
    with psycopg.connect(conninfo(server), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), like))
        try:
            yield conninfo(make_url(server).set(database=name))
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
