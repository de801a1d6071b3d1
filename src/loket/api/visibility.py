"""Which rows somebody may see: conditions in SQL, for whoever reads a list, follows a link or names an id.

A citizen sees what is of the own cases. Staff see the cases of the departments for which they have a task,
advisers those on which they are asked something, a body elsewhere its own questions. For anybody else a row
does not exist.
"""

from typing import Any

from loket.api.context import Scope, bookkeeper, counter, engineer, integrator, treasurer
from loket.api.reads import EVERYBODY, NOBODY
from loket.elsewhere import OF_PLANNING, OF_STATUSES
from loket.lifecycle import ABOUT_ADVICE, Role
from loket.records.people import key_of

_MINE = (
    'EXISTS (SELECT FROM "case" mine WHERE {on} AND mine.department_key = ANY({viewer.departments}::text[]))'
)
"""That a case is of a department of the viewer's; whose roles hold for all of them is asked nothing."""
_OF_MY_CASE = _MINE.replace("{on}", "mine.id = {t}.case_id")
_IN_MY_BOOKS = _OF_MY_CASE.replace("{viewer.departments}", "{viewer.keeps_books_of}")
_OF_HOUSE = (
    "{t}.kind = 'INTERNAL' AND ({t}.department = '' OR cardinality({viewer.advises_for}::text[]) = 0"
    f" OR {key_of('{t}.department')} = ANY({{viewer.advises_for}}::text[]))"
)
_OF_BODY = "{t}.kind = 'EXTERNAL' AND {t}.adviser = ANY({viewer.bodies}::text[])"
ASKED_OF_ME = f"{{t}}.status <> 'WITHDRAWN' AND ({{viewer.advises}}::boolean AND {_OF_HOUSE} OR {_OF_BODY})"
"""What `advice.is_asked` says, in SQL."""
_AT_THE_COUNTER = (
    "({t}.channel = 'COUNTER' AND {t}.procedure_key || '/' || {t}.procedure_version"
    " = ANY({viewer.at_the_counter}::text[]))"
)
"""That a handler may go on with this application."""
_ELSEWHERE = ", ".join(f"'{one}'" for one in (*OF_PLANNING, *OF_STATUSES))
TOLD_FOR = "interval '15 minutes'"
"""Whose advice is needed no more is told so, and reads for so long what could be read a moment before."""


def _of(template: str, t: str) -> str:
    """A template over the rows of `t`, an alias of a query within."""
    return template.replace("{t}", t)


def _advising_on(case: str, also: str = "") -> str:
    """That this is an open case on which the viewer is asked something."""
    return (
        'EXISTS (SELECT FROM advice a JOIN "case" c ON c.id = a.case_id'
        f" WHERE c.id = {case} AND c.closed_at IS NULL AND {_of(ASKED_OF_ME, 'a')}{also})"
    )


def _shown_to_advisers() -> str:
    shown = (
        " AND c.procedure_key || '/' || c.procedure_version || '/' || a.adviser"
        " = ANY({viewer.with_documents}::text[])"
    )
    return f"({{t}}.application_id IS NOT NULL AND {_advising_on('{t}.case_id', shown)})"


def of_document(scope: Scope) -> str:
    """The citizen's own files; for staff those of a case, for handlers those of a draft of the counter.

    Who keeps the books of all has those of the journal.
    """
    if scope.is_citizen:
        return "{t}.person_id = {viewer.person_id}"
    if scope.is_adviser or scope.is_body:
        return _shown_to_advisers()
    if not scope.is_staff:
        return NOBODY
    seen = [f"({{t}}.case_id IS NOT NULL AND {of_case(scope)})"]
    if counter(scope):
        draft = f"a.id = {{t}}.application_id AND {_of(_AT_THE_COUNTER, 'a')}"
        seen.append(f"({{t}}.case_id IS NULL AND EXISTS (SELECT FROM application a WHERE {draft}))")
    if treasurer(scope):
        seen.append("({t}.case_id IS NULL AND {t}.kind = 'JOURNAL')")
    if scope.also_advises:
        seen.append(_shown_to_advisers())
    return f"({' OR '.join(seen)})"


def of_application(scope: Scope) -> str:
    """The citizen's own; for handlers those of the counter: what is filled in at home stays private."""
    if scope.is_citizen:
        return "{t}.person_id = {viewer.person_id}"
    return _AT_THE_COUNTER if counter(scope) else NOBODY


def of_person(column: str = "person_id") -> Any:  # noqa: ANN401  # a row policy
    """The citizen's own rows; for staff with a task those of their cases, and who applied there."""

    def policy(scope: Scope) -> str:
        if scope.is_citizen:
            return f"{{t}}.{column} = {{viewer.person_id}}"
        if scope.is_staff and scope.bounded and column == "id":
            return _MINE.replace("{on}", "mine.person_id = {t}.id")
        return staff_only(scope)

    return policy


def of_message(scope: Scope) -> str:
    """What was said to somebody: about a case of theirs. Who must confirm another's sees what is asked."""
    if scope.is_citizen:
        return f"{{t}}.person_id = {{viewer.person_id}} AND {of_case(scope)}"
    return staff_only(scope)


def of_case(scope: Scope) -> str:
    """Rows that hang on a case: who sees the case sees these."""
    if scope.is_citizen:
        return '{t}.case_id IN (SELECT id FROM "case" WHERE person_id = {viewer.person_id})'
    return staff_only(scope)


def of_heard(scope: Scope) -> str:
    """What other systems hear of a case: for its citizen without what is said to who else must confirm.

    Over what those are reached tells what we know of them.
    """
    if scope.is_citizen:
        theirs = "m.effect_id = {t}.id AND m.person_id <> {viewer.person_id}"
        return f"{of_case(scope)} AND NOT EXISTS (SELECT FROM message m WHERE {theirs})"
    return of_case(scope)


def of_cases(scope: Scope) -> str:
    """Cases; for an adviser those on which they are asked something, until they end."""
    if scope.is_adviser:
        return _advising_on("{t}.id")
    if scope.is_staff and scope.bounded:
        return "{t}.department_key = ANY({viewer.departments}::text[])"
    return str(of_person()(scope))


def of_events(scope: Scope) -> str:
    """What happened; an adviser hears of the advice on the cases that they see."""
    if scope.is_adviser:
        types = ", ".join(f"'{one}'" for one in sorted(ABOUT_ADVICE))
        told = (
            f"{{t}}.type = 'ADVICE_WITHDRAWN' AND {{t}}.occurred_at > now() - {TOLD_FOR} AND EXISTS"
            f" (SELECT FROM advice a WHERE a.id = ({{t}}.data ->> 'advice')::uuid AND {_of(_OF_HOUSE, 'a')})"
        )
        return f"{{t}}.type IN ({types}) AND ({_advising_on('{t}.case_id')} OR ({told}))"
    return str(of_person()(scope))


def of_advice(scope: Scope) -> str:
    """Advice hangs on a case; an adviser sees what their own service or body is asked."""
    if scope.is_adviser or scope.is_body:
        return ASKED_OF_ME
    return f"({of_case(scope)} OR ({ASKED_OF_ME}))" if scope.also_advises else of_case(scope)


def staff_only(scope: Scope) -> str:
    """For staff with a task alone: what hangs on a case of their departments."""
    if not scope.is_staff:
        return NOBODY
    return _OF_MY_CASE if scope.bounded else EVERYBODY


def of_books(scope: Scope) -> str:
    """What the books have of a case: who keeps those of its department, whatever else they do in others."""
    if treasurer(scope):
        return EVERYBODY
    return _IN_MY_BOOKS if bookkeeper(scope) else NOBODY


def of_all_books(scope: Scope) -> str:
    """What the books have of all cases together."""
    return EVERYBODY if treasurer(scope) else NOBODY


def of_difference(scope: Scope) -> str:
    """Of money for finance, of what other systems have for operators; of their departments."""
    elsewhere = f"{{t}}.kind IN ({_ELSEWHERE})"
    if engineer(scope):
        operated = EVERYBODY
    else:
        operated = _OF_MY_CASE.replace("{viewer.departments}", "{viewer.operates}")
    seen = [f"NOT {elsewhere} AND {of_books(scope)}"]
    if scope.has(Role.OPERATOR):
        seen.append(f"{elsewhere} AND {operated}")
    return f"({' OR '.join(seen)})"


def of_comparison(scope: Scope) -> str:
    """Comparisons of all departments together."""
    seen = [f"{{t}}.subject = 'MONEY' AND {of_all_books(scope)}"]
    if engineer(scope):
        seen.append("{t}.subject <> 'MONEY'")
    return f"({' OR '.join(seen)})"


def of_house(scope: Scope) -> str:
    """What is of no department: for staff with a task for all of them."""
    return EVERYBODY if scope.is_staff and not scope.bounded else NOBODY


def of_effect(scope: Scope) -> str:
    """What hangs on an effect: for staff who see its case."""
    if not (scope.is_staff and scope.bounded):
        return staff_only(scope)
    return f"EXISTS (SELECT FROM everyeffect e WHERE e.id = {{t}}.effect_id AND {_of(_OF_MY_CASE, 'e')})"


def of_webhook(scope: Scope) -> str:
    """The viewer's own subscriptions; all of them for an operator of all departments."""
    if engineer(scope):
        return EVERYBODY
    return "{t}.owner_id = {viewer.actor_id}" if integrator(scope) else NOBODY


def of_webhook_call(scope: Scope) -> str:
    """Calls to the viewer's own subscriptions."""
    mine = f"w.id = {{t}}.subscription_id AND {_of(of_webhook(scope), 'w')}"
    return f"EXISTS (SELECT FROM webhooksubscription w WHERE {mine})" if integrator(scope) else NOBODY


def of_agenda(scope: Scope) -> str:
    """An agenda item: for staff who see a case that stands on it."""
    if not (scope.is_staff and scope.bounded):
        return staff_only(scope)
    return f"EXISTS (SELECT FROM decision d WHERE d.agenda_item_id = {{t}}.id AND {_of(_OF_MY_CASE, 'd')})"
