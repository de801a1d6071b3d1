"""Is the judge any good? Breaks a quiet town in many ways, one at a time, and looks whether that is found.

Nothing stays broken: rows are changed in a transaction that is never kept,
the sandbox's records in a copy, and the ledger is made up.
"""

import json
import sqlite3
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psycopg

from storm.evidence import Evidence, Outside, open_town
from storm.findings import Violation
from storm.judge import examine, kept
from storm.ledger import Journal
from storm.plants import Plant, made_up, plants


@dataclass(frozen=True)
class Control:
    plant: Plant
    outcome: str
    """found, REFUSED by the database, MISSED, or that there was nothing to break."""
    what: str

    @property
    def well(self) -> bool:
        return self.outcome != "MISSED"


def control(home: Path, *, database_url: str = "") -> list[Control]:
    """What the judge made of each plant, beside what it finds without. Raises as `judge`."""
    url = database_url or json.loads((home / "run.json").read_text("utf-8"))["database_url"]
    with tempfile.TemporaryDirectory() as folder, open_town(url) as town:
        town.rollback()
        town.read_only = False
        outside = Outside(_copied(home / "sandbox", Path(folder)), mode="")
        clean = Evidence(town, outside, Journal())
        clean.journal.lines[:] = made_up(clean)
        before = _kinds(examine(clean).violations)
        town.rollback()
        found = [_tried(town, outside, one, before) for one in plants()]
        outside.close()
    return found


def _tried(
    town: "psycopg.Connection[object]", outside: Outside, plant: Plant, before: Counter[tuple[str, str]]
) -> Control:
    evidence = Evidence(town, outside, Journal())
    try:
        evidence.journal.lines[:] = made_up(evidence)
        evidence = Evidence(town, outside, Journal(evidence.journal.lines))
        town.execute("SET LOCAL session_replication_role = replica")  # no triggers, no foreign keys
        changed = 0
        if plant.rows:
            changed = town.execute(plant.rows.encode()).rowcount
        if plant.system:
            records = outside.connection(plant.system)
            records.execute("BEGIN")
            changed = records.execute(plant.records.replace("@insz", _of_an_ended_case(evidence))).rowcount
        if plant.ledger is not None:
            changed = plant.ledger(evidence.journal.lines)
        if not changed:
            return Control(plant, "nothing to break", "")
        found = examine(evidence).violations
    except psycopg.errors.IntegrityError as refusal:
        return Control(plant, "REFUSED", str(refusal).splitlines()[0])
    finally:
        town.rollback()
        if plant.system:
            outside.connection(plant.system).execute("ROLLBACK")
    kinds = _kinds(found) - before
    hit = kinds.pop((plant.group, plant.finds), 0)
    told = f"{hit} × {plant.finds}" + (f", and {len(kinds)} kinds that follow from it" if kinds else "")
    return Control(plant, "found" if hit else "MISSED", told)


def _of_an_ended_case(evidence: Evidence) -> str:
    """The national number of somebody of whom nothing is open any more."""
    numbers = evidence.outside.parts(
        "dosis",
        "upload",
        "dossier.Agenten[0].Identificatie",
        "dossier.Identificatie.DossierNummer",
    )
    followed = {
        one.person_id
        for one in evidence.rows("SELECT person_id FROM magdaregistration WHERE state <> 'ENDED'")
    }
    ended = (insz for _, insz, number in numbers if evidence.references[number].person_id not in followed)
    return str(next(ended))


def _kinds(found: list[Violation]) -> Counter[tuple[str, str]]:
    return Counter((one.group, one.what) for one in found)


def _copied(folder: Path, to: Path) -> Path:
    """The sandbox's files as they are now, while it runs."""
    for file in folder.glob("*.sqlite"):
        with (
            sqlite3.connect(f"file:{file}?mode=ro", uri=True) as source,
            sqlite3.connect(to / file.name) as copy,
        ):
            source.backup(copy)
    return to


def try_the_judge(folder: Path) -> int:
    """1 where the judge missed something."""
    began = time.monotonic()
    with kept(folder) as (home, _, url):
        found = control(home, database_url=url)
    for one in found:
        print(f"{one.plant.group:<7} {one.plant.what:<60} {one.outcome:<17} {one.what}"[:230])
    missed = [one for one in found if not one.well]
    counts = Counter(one.outcome for one in found)
    print(f"{dict(counts)} of {len(found)} in {time.monotonic() - began:.0f} s")
    return 1 if missed else 0
