"""Compares three accounts of a storm: Loket's rows, the sandbox's records, the ledger of its clients.

`judge(home, ledger)` changes nothing and may be asked of any town that is quiet, also without a ledger.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

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


def main() -> int:
    """`python -m storm.judge HOME [LEDGER]`: 1 where something is wrong."""
    home, *ledger = [Path(one) for one in sys.argv[1:]]
    verdict = judge(home, ledger[0] if ledger else None)
    print(verdict.text())
    print(f"nothing to look at: {'; '.join(verdict.empty) or 'of nothing'}")
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main())
