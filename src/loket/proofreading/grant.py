"""Does what a procedure grants hold together: checks, advice, sums, the body that decides, the payout?"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date

from loket.definition import (
    ALWAYS,
    Benefit,
    Check,
    DecidingBody,
    Decision,
    Definition,
    Text,
)
from loket.forms import is_email
from loket.lifecycle import EventType, Stage
from loket.proofreading.factcheck import faults_in
from loket.proofreading.factkinds import Asked, Names
from loket.proofreading.findings import Checklist, Found, Place, must_name, placeholders, unique, without_gaps
from loket.proofreading.form import field

GRANT = Checklist()


def names_of(definition: Definition) -> Names:
    """What the procedure names itself, that its rules can read."""
    return Names(
        products=[one.key for one in definition.catalogue.products] if definition.catalogue else [],
        tables=list(definition.tables),
        checks=[one.key for one in definition.checks],
        advisers=[one.key for one in definition.advisers],
        benefits=[one.key for one in definition.benefits],
        co_applicant=definition.co_applicant is not None,
        duplicates=[one.key for one in definition.duplicates],
        documents=[one.key for one in definition.documents],
    )


# --- days and numbers -------------------------------------------------------------------------


@GRANT.reads("window")
def _window(definition: Definition) -> Found:
    window = definition.window
    if window is None:
        return
    for word in ("opens", "closes"):
        if not _is_day(getattr(window, word)):
            yield ("window", word), f"{getattr(window, word)} is not a day of every year (MM-DD)"


def _is_day(text: str) -> bool:
    try:
        return bool(date.fromisoformat(f"2023-{text}"))
    except ValueError:
        return False


@GRANT.reads("tables", "valid_from", "valid_to", "reference_date")
def _tables(definition: Definition) -> Found:
    for key, rows in definition.tables.items():
        if not key.isidentifier() or not key.islower():
            yield ("tables", key), f"no rule can read '{key}': small letters, digits and _ only"
        if rows:
            yield from without_gaps(rows, ("tables", key), "figure", *reference_days(definition))
        else:
            yield ("tables", key), f"the table '{key}' is empty"


def reference_days(definition: Definition) -> tuple[date, date]:
    """The first and the last day on which conditions can be looked at."""
    last = definition.valid_to
    return definition.reference_day(definition.valid_from), definition.reference_day(
        last
    ) if last else date.max


# --- checks, advice ---------------------------------------------------------------------------


@GRANT.reads(
    "checks", "documents", "form", "tables", "catalogue", "advisers", "benefits", "co_applicant", "duplicates"
)
def _checks(definition: Definition) -> Found:
    yield from unique((one.key for one in definition.documents), ("documents",), "key", "document")
    yield from unique((one.key for one in definition.checks), ("checks",), "key", "check")
    kinds = {one.key for one in definition.documents}
    for index, check in enumerate(definition.checks):
        place: Place = ("checks", index)
        yield from _asks(check, place)
        yield from _conditions(check, place, definition)
        for number, kind in enumerate(check.documents):
            if kind not in kinds:
                yield (*place, "documents", number), f"'{kind}' is none of the documents of this procedure"
        yield from placeholders(check.purpose, (*place, "purpose"), ALWAYS)


def _asks(check: Check, place: Place) -> Found:
    statuses = check.service == "social_status"
    if statuses and not check.statuses:
        yield place, "which statuses does it ask? (statuses: [BIM_BVT])"
    if check.statuses and not statuses:
        yield (*place, "statuses"), f"the service '{check.service}' is asked no statuses"
    if check.of == "children" and check.service == "tax_assessment":
        yield (*place, "of"), "children have no assessment of their own: it is that of the household"


def _conditions(check: Check, place: Place, definition: Definition) -> Found:
    """Checks run beside each other, before advice is in: they read none of it, nor one another."""
    names = replace(names_of(definition), checks=(), advisers=(), benefits=())
    if check.when is not None:
        for reason in faults_in(check.when, definition.form.json_schema, names):
            yield (*place, "when"), reason
    answer = Asked(check.service, check.statuses)
    for reason in faults_in(check.met, definition.form.json_schema, names, answer=answer):
        yield (*place, "met"), reason


@GRANT.reads("advisers", "checks", "assessment", "stages")
def _advisers(definition: Definition) -> Found:
    yield from unique((one.key for one in definition.advisers), ("advisers",), "key", "adviser")
    checks = {one.key for one in definition.checks}
    for index, adviser in enumerate(definition.advisers):
        place: Place = ("advisers", index)
        if adviser.kind == "EXTERNAL" and not is_email(adviser.email or ""):
            yield (*place, "email"), "an external adviser needs an e-mail address: the link goes there"
        if adviser.kind == "MACHINE" and adviser.check is None:
            yield place, "which check is the answer of this machine? (check: …)"
        if adviser.check is not None and adviser.kind != "MACHINE":
            yield (*place, "check"), "only a machine answers by a check"
        if adviser.check is not None and adviser.check not in checks:
            yield (*place, "check"), f"there is no check '{adviser.check}'"
        for number, days in enumerate(adviser.remind_before_days):
            if days >= adviser.within_days:
                yield (*place, "remind_before_days", number), "the reminder comes before the question"
        if len(set(adviser.remind_before_days)) < len(adviser.remind_before_days):
            yield (*place, "remind_before_days"), "each day once"
        yield from placeholders(adviser.question, (*place, "question"), ALWAYS)
    known = {one.key for one in definition.advisers}
    for number, key in enumerate(definition.assessment.ask):
        if key not in known:
            yield ("assessment", "ask", number), f"there is no adviser '{key}'"
    asks = bool(definition.checks or definition.assessment.ask)
    if Stage.ASSESSMENT in definition.stages and definition.assessment.by == "rule" and not asks:
        yield ("assessment", "by"), "assessment goes by rule, but there is no check and nobody to ask"
    if (definition.checks or definition.advisers) and Stage.ASSESSMENT not in definition.stages:
        yield ("stages",), "checks and advice belong to the stage 'assessment', which is missing"


# --- what is granted --------------------------------------------------------------------------


@GRANT.reads(
    "benefits",
    "checks",
    "form",
    "tables",
    "catalogue",
    "advisers",
    "co_applicant",
    "duplicates",
    "documents",
    "valid_from",
    "valid_to",
    "reference_date",
)
def _benefits(definition: Definition) -> Found:
    yield from unique((one.key for one in definition.benefits), ("benefits",), "key", "benefit")
    rules = {one.key for one in (*definition.rules.screening, *definition.rules.approval)}
    names, days = names_of(definition), reference_days(definition)
    for index, benefit in enumerate(definition.benefits):
        place: Place = ("benefits", index)
        if benefit.key in rules:  # a refusal is recorded by the keys of what was not met
            yield (*place, "key"), f"a rule is called '{benefit.key}' too"
        yield from _subject(benefit, place, definition)
        for word in ("asked", "when"):
            condition = getattr(benefit, word)
            for reason in faults_in(condition, definition.form.json_schema, names) if condition else ():
                yield (*place, word), reason
        yield from without_gaps(benefit.amounts, (*place, "amounts"), "amount", *days)
        for word in ("message", "fact", "legal", "granted_fact"):
            yield from placeholders(getattr(benefit, word), (*place, word), ALWAYS)


def _subject(benefit: Benefit, place: Place, definition: Definition) -> Found:
    check = definition.check(benefit.check) if benefit.check else None
    if benefit.check is not None and check is None:
        yield (*place, "check"), f"there is no check '{benefit.check}'"
    if benefit.per == "child" and benefit.check is None:
        yield (*place, "per"), "which check says for which child? (check: …)"
    if benefit.per == "child" and check is not None and check.of != "children":
        yield (*place, "check"), f"the check '{check.key}' is not of children"
    if benefit.per != "child" and benefit.check is not None:
        yield (*place, "check"), "only of `per: child` a check says for whom it is"


# --- the decision -----------------------------------------------------------------------------

_WELFARE = frozenset({DecidingBody.RMW, DecidingBody.BCSD})
"""Bodies of the OCMW. They decide within 30 days, which never stand still (mi-is.be)."""
_WELFARE_DAYS = 30


@GRANT.reads("decision", "term", "validity")
def _decision(definition: Definition) -> Found:
    decision = definition.decision
    if decision is None:
        return
    if decision.body is None:
        if decision.agenda is not None:
            yield ("decision", "agenda"), f"who decides is '{decision.by}': there is no agenda"
        return
    if decision.agenda is None:
        yield ("decision", "by"), f"{decision.body} decides on an agenda: the part 'agenda' is missing"
    else:
        title = ("decision", "agenda", "item_title")
        yield from placeholders(decision.agenda.item_title, title, ("procedure", "count"))
    dated = definition.validity is not None and definition.validity.from_field is not None
    yield from _articles(decision, ("valid_from", "valid_until") if dated else ())
    if decision.body in _WELFARE and definition.term.suspendable:
        yield ("term", "suspendable"), f"the term of {decision.body} never stands still (suspendable: false)"
    if decision.body in _WELFARE and definition.term.days > _WELFARE_DAYS:
        yield ("term", "days"), f"{decision.body} decides within {_WELFARE_DAYS} days"


def _articles(decision: Decision, days: tuple[str, ...]) -> Found:
    """`days`: what can be named of for how long it will hold."""
    granted = ("amount", "reference", "benefits", *days)
    known = {"articles_granted": granted, "articles_refused": ("reference",)}
    for word, allowed in known.items():
        texts: tuple[Text, ...] = getattr(decision, word)
        if not texts:
            yield ("decision",), f"the draft for {decision.body} has no articles ({word})"
        for index, text in enumerate(texts):
            yield from placeholders(text, ("decision", word, index), allowed)


# --- the payout -------------------------------------------------------------------------------


@GRANT.reads("stages", "payout", "benefits", "form")
def _payout(definition: Definition) -> Found:
    payout = definition.payout
    if Stage.PAYOUT in definition.stages:
        place: Place = ("stages", definition.stages.index(Stage.PAYOUT))
        if payout is None:
            yield place, f"the stage '{Stage.PAYOUT}' needs the part 'payout'"
        if not definition.benefits:
            yield place, f"the stage '{Stage.PAYOUT}' needs the part 'benefits'"
    if payout is None:
        return
    account = field(definition.form.json_schema, payout.account_field)
    if account is None:
        yield ("payout", "account_field"), f"the form has no field {payout.account_field}"
    elif account.get("format") != "iban":
        yield ("payout", "account_field"), f"the field {payout.account_field} must have the format 'iban'"
    yield from placeholders(payout.remittance, ("payout", "remittance"), ("reference", "procedure"))


# --- what is said of it -----------------------------------------------------------------------

E = EventType
_DECIDED = frozenset({E.APPROVED, E.PARTLY_APPROVED, E.REJECTED})
_PAYING = frozenset(one for one in E if one.startswith("PAYOUT_")) | {E.PAID_OUT, E.COMPLETED}
_ACCOUNT = frozenset({E.ACCOUNT_NEEDED, E.ACCOUNT_CORRECTED})
_DECIDING = _DECIDED | {one for one in E if one.startswith("DECISION_")} | {E.LETTER_SENT}
_ASKING = frozenset({E.INFORMATION_REQUESTED, E.INFORMATION_REMINDED})
ONLY_WITH: Mapping[str, frozenset[EventType]] = {
    "meeting_on": _DECIDING,
    "granted": _DECIDING | _PAYING | _ACCOUNT,
    "benefits": _DECIDING | _PAYING,
    "refused_benefits": _DECIDING,
    "conditions": _DECIDING,
    "account": _DECIDED | _PAYING | _ACCOUNT,
    "paid_on": _PAYING,
    "link_account": frozenset({E.ACCOUNT_NEEDED, E.PAYOUT_REJECTED, E.PAYOUT_RETURNED}),
    "deposit": frozenset({E.DEPOSIT_RETURNED}),
    "kept": frozenset({E.DEPOSIT_RETURNED}),
    "question": _ASKING,
    "answer_by": _ASKING | {E.ACCOUNT_NEEDED, E.CO_APPLICANT_ASKED, E.CO_APPLICANT_REMINDED},
    "adviser": frozenset({E.ADVICE_REQUESTED, E.ADVICE_REMINDED, E.ADVICE_GIVEN, E.ADVICE_LAPSED}),
}
"""Placeholders that have a value with some events alone."""
_BEHIND_SIGN_IN = ("reason", "fact", "legal", "benefits", "refused_benefits", "conditions")
"""What stands in the letter, and is not told over a channel that anybody may read."""


@GRANT.reads("texts", "dosis")
def _spoken(definition: Definition) -> Found:
    for event, message in definition.texts.messages.items():
        place: Place = ("texts", "messages", event)
        for word in ("body", "sms"):
            yield from _fits(getattr(message, word), (*place, word), event)
        link = message.button.link if message.button else ""
        if event not in ONLY_WITH.get(link, {event}):
            yield (*place, "button"), f"'{link}' leads nowhere with {event}"
    for event, row in definition.dosis.items():
        for word in ("action", "detail"):
            text: Text | None = getattr(row, word)
            if text is not None:
                yield from _fits(text, ("dosis", event, word), event)


def _fits(text: Text, place: Place, event: EventType) -> Found:
    for language, one in text.languages().items():
        for name, events in ONLY_WITH.items():
            if f"{{{name}}}" in one and event not in events:
                yield place, f"{{{name}}} has no value with {event} ({language}): this would never be said"


@GRANT.reads("texts", "decision", "stages", "benefits")
def _told(definition: Definition) -> Found:
    messages = definition.texts.messages
    needed: dict[EventType, tuple[bool, Iterable[str]]] = {
        E.PARTLY_APPROVED: (bool(definition.benefits), ()),
        E.PAID_OUT: (Stage.PAYOUT in definition.stages, ("granted",)),
        E.ACCOUNT_NEEDED: (Stage.PAYOUT in definition.stages, ("reason", "answer_by")),
    }
    for event, (due, names) in needed.items():
        if due and event not in messages:
            yield ("texts", "messages"), f"{event} has no message: the applicant must be told"
        elif due:
            yield from must_name(messages[event].body, ("texts", "messages", event, "body"), names)
    if definition.decision is None or not definition.decision.legal_delivery:
        return
    for event in sorted(_DECIDED & messages.keys()):
        for word in ("body", "sms"):
            yield from _announces(getattr(messages[event], word), ("texts", "messages", event, word))


def _announces(text: Text, place: Place) -> Found:
    for language, one in text.languages().items():
        for name in _BEHIND_SIGN_IN:
            if f"{{{name}}}" in one:
                yield place, f"this only announces ({language}): {{{name}}} stands in the letter"
