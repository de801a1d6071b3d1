"""Compares three accounts of a storm: Loket's rows, the sandbox's records, the ledger of its clients.

`judge(home, ledger)` changes nothing and may be asked of any town that is quiet, also without a ledger.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from loket import supervisor
from loket.postgres import Postgres
from storm import due, money, pace, promised, seen, states, told, whole
from storm.evidence import Evidence, Outside, open_town
from storm.findings import Bench, Findings, Verdict
from storm.ledger import Journal

JUDGES: tuple[tuple[str, Callable[[Evidence, Bench], None]], ...] = (
    ("whole", whole.judge),
    ("whole", promised.judge),
    ("told", due.judge),
    ("told", told.judge),
    ("money", money.judge),
    ("states", states.judge),
    ("seen", seen.judge),
    ("pace", pace.judge),
)


def judge(home: Path, ledger: Path | None = None, *, database_url: str = "") -> Verdict:
    """The verdict on the town under `home`, which runs; `ledger`: what its clients were told.

    Raises:
        OSError: there is no town, or the sandbox keeps no files there.
        psycopg.Error: its database does not answer.
    """
    began = time.monotonic()
    url = database_url or json.loads((home / "run.json").read_text("utf-8"))["database_url"]
    outside = Outside(home / "sandbox")
    journal = Journal.read(ledger) if ledger is not None and ledger.exists() else Journal()
    with open_town(url) as town:
        findings = examine(Evidence(town, outside, journal))
    outside.close()
    return Verdict(
        findings.violations,
        {group: dict(counts) for group, counts in findings.counts.items()},
        time.monotonic() - began,
    )


def examine(evidence: Evidence) -> Findings:
    findings = Findings()
    for group, look in JUDGES:
        look(evidence, findings.of(group))
    return findings


@contextlib.contextmanager
def kept(folder: Path) -> Iterator[tuple[Path, Path, str]]:
    """Of a town that runs, or of a folder that a storm left: its home, its ledger, and its database, awake.

    Raises:
        loket.postgres.PostgresError: its database does not start.
    """
    home = folder / "home" if (folder / "home").is_dir() else folder
    ledger = folder / "ledger.jsonl"
    running = supervisor.find(home)
    if running is not None:
        yield home, ledger, running.database_url
        return
    beside = home / "server"
    postgres = Postgres(beside if beside.is_dir() else home / "postgres")
    try:
        yield home, ledger, postgres.start()
    finally:
        postgres.stop()


def judge_again(folder: Path) -> int:
    """1 where something is wrong. Raises as `kept` and `judge`."""
    with kept(folder) as (home, ledger, url):
        verdict = judge(home, ledger, database_url=url)
    print(verdict.text())
    print(f"Nothing to look at: {'; '.join(verdict.empty) or 'of nothing'}")
    return 1 if verdict.violations else 0
