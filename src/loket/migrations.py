"""Whether a database has the tables of this Loket. Bringing it there is `revisions`."""

from pathlib import Path

import psycopg


class MigrationError(Exception):
    """A database cannot be brought to this Loket's tables."""


def pending(url: str) -> bool:
    """Whether the database lacks a revision of this Loket.

    Raises:
        MigrationError: there is no such server or database.
    """
    try:
        with psycopg.connect(url.replace("+psycopg:", ":", 1), autocommit=True) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        return True
    except psycopg.OperationalError as fault:
        raise MigrationError(f"no database: {fault}") from fault
    return row is None or row[0] < head()


def head() -> str:
    """The newest revision of this Loket. Revisions are numbered, and their files with them."""
    return max(path.name.partition("_")[0] for path in scripts().glob("versions/*.py"))


def scripts() -> Path:
    """The folder of the revisions: `alembic/` of a checkout, or its copy in the installed package."""
    package = Path(__file__).parent
    checkout = package.parents[1] / "alembic"
    return checkout if (checkout / "env.py").exists() else package / "alembic"
