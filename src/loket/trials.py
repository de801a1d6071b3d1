"""`loket simulate` and `loket preview`: a definition tried at the command line, by its author or in CI."""

import asyncio
import base64
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvloop

from loket import notation, paper, previews, publishing, revisions
from loket.app import load_procedures
from loket.database import Database
from loket.definition import LANGUAGES, Definition
from loket.errors import Failed, ManyRefused, Refused
from loket.lifecycle import EventType
from loket.postgres import Postgres
from loket.previews import Preview
from loket.publishing import DefinitionError
from loket.settings import Settings
from loket.terms import BRUSSELS
from loket.trial import casefile, simulation
from loket.trial.casefile import CaseFile, Expected
from loket.trial.simulated import Path as Trod
from loket.trial.simulated import RuleValue, Said
from loket.trial.simulation import Ground

SHORT_LIVED = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""Of a PostgreSQL that is thrown away."""
_TROUBLE = (DefinitionError, Refused, ManyRefused, Failed, OSError)


# --- loket simulate ---------------------------------------------------------------------------


def simulate(
    settings: Settings, url: str | None, file: str, cases: Sequence[str], *, brief: bool, texts: bool
) -> int:
    """Exit code 1 when something is wrong with a file, or a case does not come to what it expects.

    `url`: of a database with all revisions; without one a PostgreSQL is started, and thrown away after.
    `brief`: one line per case, each of which must expect something; else its whole path.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            definition, others = _definition(settings, file)
            with _database(url) as there:
                return runner.run(
                    _simulate(settings, there, definition, others, cases, brief=brief, texts=texts)
                )
        except _TROUBLE as fault:
            _say(_told(fault))
            return 1


async def _simulate(
    settings: Settings,
    url: str,
    definition: Definition,
    others: Mapping[tuple[str, int], Definition],
    paths: Sequence[str],
    *,
    brief: bool,
    texts: bool,
) -> int:
    ground = Ground(Database(url, name="loket simulate"), settings, others)
    well = True
    for name in paths or [""]:
        try:
            case = casefile.read(Path(name)) if name else CaseFile()
            trod = await simulation.simulate(ground, definition, case)
        except _TROUBLE as fault:
            _say(f"{name or definition.key}: not tried\n{_told(fault)}")
            well = False
            continue
        title = ": ".join(one for one in (name or definition.key, case.title) if one)
        if not brief:
            _say("\n".join(_page(title, trod, texts=texts)))
        wrong = differences(case.expect, trod)
        if brief and case.expect == Expected():
            wrong = ["it expects nothing"]
        if brief or wrong:
            _say(f"{'NOT SO' if wrong else 'as expected'}: {title}: {trod.outcome}")
        for one in wrong:
            _say(f"    {one}")
        well &= not wrong
    return 0 if well else 1


def differences(expected: Expected, trod: Trod) -> list[str]:
    """What came out otherwise than a case file says, a line each."""
    pairs: list[tuple[str, object, object]] = [
        ("outcome", expected.outcome, trod.outcome),
        ("amount", expected.amount, trod.amount),
        ("statuses", expected.statuses, trod.statuses),
        ("messages", expected.messages, _written(trod)),
        ("dosis", expected.dosis, tuple(one.code for one in trod.dosis if not one.skipped)),
    ]
    wrong = [
        f"{name}: expected {_plain(wanted)}, came to {_plain(found)}"
        for name, wanted, found in pairs
        if wanted is not None and wanted != found
    ]
    wrong += _events_missed(expected.events, trod)
    values = {one.key: one for one in trod.rules}
    for key, outcome in expected.rules.items():
        came = values[key].outcome if key in values else "not asked"
        if came != outcome:
            wrong.append(f"rule {key}: expected {outcome}, came to {came}")
    return wrong


def _events_missed(wanted: Sequence[EventType], trod: Trod) -> list[str]:
    happened = iter([one.event for one in trod.steps])
    missing = next((one for one in wanted if one not in happened), None)
    if missing is None:
        return []
    events = ", ".join(one.event for one in trod.steps)
    return [f"events: {missing} does not happen, or not in that order; what happens: {events}"]


def _written(trod: Trod) -> tuple[EventType, ...]:
    """About what is written, once each, over however many channels."""
    about: list[EventType] = []
    last: tuple[object, EventType] | None = None
    for one in trod.messages:
        if not one.skipped and (one.at, one.event) != last:
            about.append(one.event)
            last = (one.at, one.event)
    return tuple(about)


def _plain(value: object) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, tuple) else str(value)


# --- a path as a page -------------------------------------------------------------------------


def _page(title: str, trod: Trod, *, texts: bool) -> Iterator[str]:
    definition = trod.definition
    yield f"\n{title}"
    yield f"{definition.title.nl} ({definition.key}, version {definition.version}): {trod.reference}\n"
    yield from _table(
        [
            (
                f"{one.at.astimezone(BRUSSELS):%Y-%m-%d %H:%M}",
                one.status,
                one.event,
                one.by,
                ", ".join(one.rules),
            )
            for one in trod.steps
        ]
    )
    yield from _under("Conditions", [_rule(one) for one in trod.rules])
    yield from _under("Assumed", [(one.kind, one.key, one.said) for one in trod.assumptions])
    yield from _under(
        "Ordered", [(f"{one.quantity} ×", one.description, _eur(one.amount)) for one in trod.lines]
    )
    yield from _under(
        "Asked",
        [(one.title, "granted" if one.granted else "refused", _eur(one.amount)) for one in trod.benefits],
    )
    yield from _under("Messages", [_message(one) for one in trod.messages])
    if texts:
        for one in trod.messages:
            yield f"\n[{one.event} {one.channel} {one.language}] {one.subject}\n{one.text}"
    yield from _under(
        "DOSIS", [(one.code, one.phase, "; ".join(one.details) or one.skipped) for one in trod.dosis]
    )
    yield from _under(
        "Deadlines",
        [
            (f"{one.at.astimezone(BRUSSELS):%Y-%m-%d %H:%M}", one.kind, one.state, one.then)
            for one in trod.deadlines
        ],
    )
    yield ""
    yield from _end(trod)


def _end(trod: Trod) -> Iterator[str]:
    amount = f", {_eur(trod.amount)}" if trod.amount is not None else ""
    yield f"→ {trod.outcome}{amount}"
    if trod.stopped:
        yield f"  it went no further: {trod.stopped}"
    if trod.waiting is not None:
        until = trod.waiting.until
        day = f" until {until.astimezone(BRUSSELS):%Y-%m-%d}, then: {trod.waiting.then}" if until else ""
        tasks = f" ({', '.join(trod.waiting.tasks)})" if trod.waiting.tasks else ""
        yield f"  it waits{tasks}{day}"


def _rule(one: RuleValue) -> tuple[str, ...]:
    return one.kind, one.key, one.outcome, one.why


def _message(one: Said) -> tuple[str, ...]:
    length = f"{one.segments.count} × {one.segments.encoding}" if one.segments else ""
    return (
        one.event,
        one.channel,
        one.language,
        one.skipped and f"not sent: {one.skipped}",
        length,
        one.subject,
    )


def _under(title: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if rows:
        yield f"\n{title}"
        yield from _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max((len(str(one)) for one in column), default=0) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (str(one).ljust(width) for one, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells).rstrip()}"


def _eur(amount: Decimal) -> str:
    return notation.amount(amount, "nl").replace("\N{NO-BREAK SPACE}", " ")


# --- loket preview ----------------------------------------------------------------------------


def preview(settings: Settings, file: str, event: str | None, language: str | None, html: str | None) -> int:
    """Exit code 1 when something is wrong with the file, or it has no such message."""
    try:
        definition, _ = _definition(settings, file)
        languages = LANGUAGES if language is None else (language,)
        said = previews.previews(definition, settings, event=_event(event), languages=languages)
    except (*_TROUBLE, ValueError) as fault:
        _say(_told(fault))
        return 1
    for one in said:
        if one.language in (one.spoken, language):  # what falls back to Dutch is told once
            _say("\n".join(_shown(one)))
    _say("\n".join(_gaps(said)))
    if html is not None:
        _say(f"{_write(Path(html), definition, settings, said)} e-mails in {html}")
    return 0


def _event(name: str | None) -> EventType | None:
    return None if name is None else EventType(name.upper())


def _shown(one: Preview) -> Iterator[str]:
    yield f"\n── {one.event} · {one.channel} · {one.spoken} " + "─" * 20
    if one.subject:
        yield f"{one.subject}\n"
    yield one.text
    if one.segments is not None:
        yield f"\n({one.segments.units} places of {one.segments.encoding}: {one.segments.count} segments)"
    for dear in one.dear:
        why = "makes it UCS-2" if dear.forces_ucs2 else "takes two places"
        yield f"(‘{dear.character}’ {why}, {dear.times} times)"


def _gaps(said: Sequence[Preview]) -> Iterator[str]:
    """Of each language what is not there, an event a line."""
    missing: dict[str, dict[str, set[str]]] = {}
    for one in said:
        if one.missing:
            missing.setdefault(one.language, {}).setdefault(one.event, set()).update(one.missing)
    for language, events in missing.items():
        yield f"\nNot in {language}, and said in Dutch:"
        if len({frozenset(parts) for parts in events.values()}) == 1 and len(events) > 1:
            yield f"  all {len(events)} messages"
            continue
        for event, parts in events.items():
            yield f"  {event}: {', '.join(sorted(parts))}"


def _write(folder: Path, definition: Definition, settings: Settings, said: Sequence[Preview]) -> int:
    """Each e-mail as a page: what a mailbox shows. Answers how many."""
    folder.mkdir(parents=True, exist_ok=True)
    municipality = settings.municipality
    code = paper.epc_qr_png(
        name=municipality.name,
        iban=municipality.iban,
        bic=municipality.bic,
        amount=Decimal("645.00"),
        reference=previews.STRUCTURED,
        line=municipality.reference_line,
    )
    picture = f"data:image/png;base64,{base64.b64encode(code).decode()}"
    number = 0
    for one in said:
        if one.html is not None and one.language == one.spoken:
            page = one.html.replace(f"cid:{previews.QR}", picture)
            (folder / f"{definition.key}-{one.event.lower()}-{one.language}.html").write_text(page, "utf-8")
            number += 1
    return number


# --- what both need ---------------------------------------------------------------------------


def _definition(settings: Settings, file: str) -> tuple[Definition, Mapping[tuple[str, int], Definition]]:
    """A file, or the newest version of a procedure that this Loket has; and all that it has."""
    path = Path(file)
    if path.exists():
        return publishing.load(path), {}
    known = load_procedures(settings)
    versions = [one for (key, _), one in sorted(known.items()) if key == file]
    return (versions[-1], known) if versions else (publishing.load(path), known)


@contextlib.contextmanager
def _database(url: str | None) -> Iterator[str]:
    """`url`, or a PostgreSQL of an hour with all tables in it."""
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="loket-simulate-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        server = Postgres(folder / "postgres", settings=SHORT_LIVED)
        try:
            started = server.start()
            revisions.upgrade(started)
            yield started
        finally:
            server.stop()


def _told(fault: Any) -> str:  # noqa: ANN401  # one of those above
    match fault:
        case ManyRefused():
            return "\n".join(_told(one) for one in fault.refusals)
        case Refused():
            place = ".".join(fault.path or ())
            said = fault.message("en")
            return said if not place or place in said else f"{place}: {said}"
        case _:
            return str(fault)


def _say(text: str) -> None:
    sys.stdout.write(text.rstrip("\n") + "\n")
    sys.stdout.flush()
