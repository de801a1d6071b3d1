"""What clients were told, beside what is there: nothing acknowledged may be lost, or be done twice."""

import json
from collections import defaultdict
from typing import Any

from storm.evidence import Evidence
from storm.findings import Bench
from storm.ledger import Line

Json = dict[str, Any]


def judge(evidence: Evidence, bench: Bench) -> None:
    _keys(evidence, bench)
    _same_answer(evidence, bench)
    _cases(evidence, bench)


def _keys(evidence: Evidence, bench: Bench) -> None:
    """What was acknowledged under a key was kept with its answer: both are of one transaction."""
    kept = {
        one.key: one.answered
        for one in evidence.rows("SELECT key, answer IS NOT NULL AS answered FROM idempotentrequest")
    }
    acknowledged = [one for one in evidence.journal.acknowledged() if one.get("key")]
    bench.checked("acknowledged wishes", len(acknowledged))
    for one in acknowledged:
        if one["key"] not in kept:
            bench.wrong("acknowledged, and nothing is kept of it", one["field"], key=one["key"], at=one.at)
        elif not kept[one["key"]]:
            bench.wrong("acknowledged, and kept without its answer", one["field"], key=one["key"], at=one.at)
    for one in evidence.rows(
        "SELECT key, count(*) AS times FROM idempotentrequest GROUP BY 1 HAVING count(*) > 1"
    ):
        bench.wrong("one key of two actors", one.key, times=one.times)


def _same_answer(evidence: Evidence, bench: Bench) -> None:
    """One key has one result, however often it was asked."""
    answers: dict[str, list[Line]] = defaultdict(list)
    for one in evidence.journal.acknowledged():
        if one.get("key"):
            answers[one["key"]].append(one)
    again = {key: of for key, of in answers.items() if len(of) > 1}
    bench.checked("keys that were answered more than once", len(again))
    for key, of in again.items():
        named = {json.dumps(sorted(_ids(one["data"]))) for one in of}
        bench.unless(len(named) == 1, "one key, two results", of[0]["field"], key=key, results=sorted(named))


def _ids(data: Any) -> set[str]:  # noqa: ANN401  # any JSON
    """Whatever in an answer names something."""
    if isinstance(data, list):
        return set().union(*(_ids(one) for one in data))
    if not isinstance(data, dict):
        return set()
    own = {
        f"{name} {data[name]}" for name in ("id", "reference", "number") if isinstance(data.get(name), str)
    }
    return own.union(*(_ids(one) for one in data.values()))


def _cases(evidence: Evidence, bench: Bench) -> None:
    """Each case that a citizen was told of is there, theirs, and of that procedure."""
    told = evidence.journal.of("case")
    bench.checked("cases that citizens were told of", len(told))
    for one in told:
        case = evidence.references.get(one["reference"])
        if case is None:
            bench.wrong("a case that a citizen was told of is gone", one["reference"], at=one.at)
        elif case.procedure_key != one["procedure"]:
            bench.wrong("a case of another procedure", one["reference"], is_=case.procedure_key)
