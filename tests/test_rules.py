"""Rules over facts: yes, no, or a person; never a yes out of ignorance."""

import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from loket import publishing
from loket.definition import Definition, Rule
from loket.proofreading.factcheck import faults_in, faults_of
from loket.proofreading.factkinds import Asked, Names
from loket.rules import (
    Address,
    Applicant,
    CartLine,
    Facts,
    Household,
    Municipality,
    Outcome,
    Quota,
    TaxAnswer,
    conclude,
    evaluate,
    evaluate_all,
    weigh,
)

FILE = Path(__file__).parents[1] / "src" / "loket" / "procedures" / "compost-bin.yaml"
RESIDENT = Facts(
    municipality=Municipality("13999", "Gemeente Lindebeke", "2999"),
    today=date(2026, 11, 27),
    channel="ONLINE",
    application={"delivery": {"place": "home"}},
    applicant=Applicant(True, 40, False, Address(postal_code="2999", nis="13999")),
    household=Household(True, 2, {"bak": 0}, {"bak": 0}),
    cart=(CartLine("bak", 1),),
    quota=Quota(True, True),
    sources_complete=True,
)
FORM = {
    "type": "object",
    "properties": {
        "floors": {"type": "integer"},
        "rooms": {
            "type": "array",
            "items": {"type": "object", "properties": {"size": {"type": "number"}}},
        },
    },
}


def rule(when: str) -> Rule:
    return Rule.model_validate(
        {"key": "r", "title": "t", "when": when, "message": "m", "fact": "f", "legal": "l"}
    )


def ask(when: str, facts: Facts = RESIDENT) -> Outcome:
    return evaluate(rule(when), facts).outcome


@pytest.fixture(scope="module")
def definition() -> Definition:
    return publishing.load(FILE)


def screened(definition: Definition, facts: Facts) -> Outcome:
    return conclude(evaluate_all(definition.rules.screening, facts))


def approved(definition: Definition, facts: Facts) -> Outcome:
    return conclude(evaluate_all(definition.rules.approval, facts))


# --- the shipped rules ------------------------------------------------------------------------


def test_a_resident_within_the_maximum_passes_without_a_person(definition: Definition) -> None:
    assert screened(definition, RESIDENT) is Outcome.MET
    assert approved(definition, RESIDENT) is Outcome.MET


def test_who_lives_elsewhere_is_refused_with_a_motivation_in_fact_and_in_law(definition: Definition) -> None:
    elsewhere = replace(RESIDENT, applicant=replace(RESIDENT.applicant, address=Address(nis="13025")))
    verdicts = evaluate_all(definition.rules.screening, elsewhere)
    assert conclude(verdicts) is Outcome.NOT_MET
    [refusal] = [one for one in verdicts if one.outcome is Outcome.NOT_MET]
    assert refusal.rule_key == "resident"
    assert "inwoners" in refusal.message.nl
    assert "Rijksregister" in refusal.fact.nl
    assert "artikel 2" in refusal.legal.nl


def test_more_than_the_maximum_is_refused(definition: Definition) -> None:
    assert screened(definition, replace(RESIDENT, quota=Quota(True, False))) is Outcome.NOT_MET


def test_without_a_source_a_person_looks_even_if_the_typed_address_is_right(definition: Definition) -> None:
    typed = replace(RESIDENT, applicant=replace(RESIDENT.applicant, sourced=False))
    assert screened(definition, typed) is Outcome.REFER
    unknown_household = replace(RESIDENT, quota=Quota(False, True))
    assert screened(definition, unknown_household) is Outcome.REFER


def test_without_a_source_nothing_is_refused_either(definition: Definition) -> None:
    typed = replace(RESIDENT, applicant=Applicant(False, 40, None, Address(nis="13025")))
    assert screened(definition, typed) is Outcome.REFER


def test_a_deceased_applicant_goes_to_a_person(definition: Definition) -> None:
    assert screened(definition, replace(RESIDENT, applicant=replace(RESIDENT.applicant, deceased=True))) is (
        Outcome.REFER
    )


@pytest.mark.parametrize(
    ("delivery", "outcome"),
    [
        ({"place": "home"}, Outcome.MET),
        ({"place": "other", "address": {"postal_code": "2999"}}, Outcome.MET),
        ({"place": "other", "address": {"postal_code": "2400"}}, Outcome.REFER),
        ({"place": "other"}, Outcome.REFER),
        ({}, Outcome.REFER),
    ],
)
def test_delivery_elsewhere_goes_to_a_person(
    definition: Definition, delivery: dict[str, object], outcome: Outcome
) -> None:
    assert approved(definition, replace(RESIDENT, application={"delivery": delivery})) is outcome


def test_one_clear_no_weighs_more_than_a_doubt(definition: Definition) -> None:
    both = replace(RESIDENT, applicant=Applicant(False), quota=Quota(True, False))
    assert screened(definition, both) is Outcome.NOT_MET


# --- evaluation -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "when",
    [
        "application.missing == 'x'",
        "1 / 0 == 1",
        "9223372036854775807 + 1 > 0",
        "applicant.age > '18'",
        "nonsense(",
        "nowhere == 1",
        "'text'",
        "applicant.age",
        "[1][3] == 1",
        "household.ordered_this_year['unknown'] == 0",
    ],
)
def test_a_rule_that_cannot_answer_refers(when: str) -> None:
    verdict = evaluate(rule(when), RESIDENT)
    assert verdict.outcome is Outcome.REFER
    assert verdict.why


def test_what_is_unknown_is_absent_and_not_unequal() -> None:
    unknown = replace(RESIDENT, applicant=Applicant(True, None, None, Address()))
    assert ask("applicant.address.nis == municipality.nis", unknown) is Outcome.REFER
    assert ask("has(applicant.age)", unknown) is Outcome.NOT_MET


def test_a_day_is_compared_as_a_timestamp() -> None:
    assert ask("today < timestamp('2026-12-01T00:00:00Z') && today.getFullYear() == 2026") is Outcome.MET


def test_too_many_facts_go_to_a_person() -> None:
    full = replace(RESIDENT, cart=tuple(CartLine("bak", 1) for _ in range(101)))
    assert ask("cart.all(line, line.quantity == 1)", full) is Outcome.REFER


def test_the_longest_rule_that_can_be_published_is_quick() -> None:
    full = replace(
        RESIDENT,
        application={"rooms": [{"size": 1.0}] * 100},
        cart=tuple(CartLine("bak", 1) for _ in range(100)),
    )
    inner = " && ".join(["room.size > 0.5", "line.quantity > 0"] * 13)
    when = f"cart.all(line, application.rooms.all(room, {inner}))"
    assert not faults_of(rule(when), FORM, Names(products=["bak"]))
    started = time.monotonic()
    assert ask(when, full) is Outcome.MET
    assert time.monotonic() - started < 5


# --- what may be published --------------------------------------------------------------------


@pytest.mark.parametrize(
    "when",
    [
        "applicant.age >= 18 ? true : 'REFER'",
        "cart.all(line, line.product in household.ordered_ever)",
        "cart.all(line, household.ordered_this_year[line.product] + line.quantity <= 3)",
        "has(application.floors) && application.floors > 2",
        "application.rooms.exists(room, room.size > 10.0)",
        "channel in ['ONLINE', 'COUNTER'] && municipality.name.startsWith('Gemeente')",
        "applicant.address.postal_code.matches('^2[0-9]{3}$')",
    ],
)
def test_rules_over_known_facts_are_accepted(when: str) -> None:
    assert faults_of(rule(when), FORM, Names(products=["bak", "vat"])) == []


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ("true || aplicant.age > 3", "unknown fact 'aplicant'"),
        ("true || applicant.adress.nis == 'x'", "has no 'adress'"),
        ("true || application.flors > 1", "has no 'flors'"),
        ("application.rooms.all(room, room.siz > 1.0)", "'room' has no 'siz'"),
        ("cart.all(line, line.options[line.produkt] > 1)", "'line' has no 'produkt'"),
        ("cart.all(a, cart.all(b, cart.all(c, true)))", "3 times"),
        ("[1, 2].all(x, x > 0)", "not over something computed"),
        ("cart.filter(a, true).all(b, true)", "not over something computed"),
        ("true || shell('x')", "unknown function 'shell'"),
        ("true || channel.eval()", "unknown method 'eval'"),
        ("applicant.age > 'x'", "neither more nor less than 'x' (text)"),
        ("applicant.age == '18'", "'applicant.age' (a whole number) is never equal to '18' (text)"),
        ("applicant.age == null", "has(…) asks whether it is there"),
        ("applicant.age && true", "must be true or false here"),
        ("today > '2026-01-01'", "'today' (a day) is neither more nor less"),
        ("household.dependants * 2 > 3.0", "write 2.0 for 2"),
        ("channel in ['WEB']", "'channel' is never 'WEB'; it is one of: ONLINE, COUNTER"),
        ("quota.within_maximum ? true : (applicant.age > 3 ? 'NO' : true)", "answers 'NO' (text), not true"),
        ("household.children.exists(c, c.age == 'x')", "'c.age' (a whole number) is never equal"),
        ("applicant.age.startsWith('x')", "must be text here"),
        ("applicant.age", "not true, false or 'REFER'"),
        ("applicant.age >", "not CEL"),
    ],
)
def test_rules_that_would_fail_some_day_are_refused_now(when: str, reason: str) -> None:
    assert any(reason in one for one in faults_of(rule(when), FORM, Names(products=["bak"]))), faults_of(
        rule(when), FORM, Names(products=["bak"])
    )


# --- what is not known yet --------------------------------------------------------------------

ASKED = {"here": "NOT_MET", "income": "MET", "papers": "REPLACED", "silent": "UNKNOWN", "running": "RUNNING"}
CHECKED = replace(
    RESIDENT, checks=ASKED, advices={"social": "REMINDED"}, claims={"home": "ABSENT", "own": "TAKEN"}
)


@pytest.mark.parametrize(
    ("when", "outcome"),
    [
        ("checks.income == 'MET'", Outcome.MET),
        ("checks.here == 'MET'", Outcome.NOT_MET),
        ("checks.papers == 'MET'", Outcome.MET),
        # however it is written, a source that is silent refuses nothing and grants nothing
        ("checks.silent == 'MET'", Outcome.REFER),
        ("checks.running == 'MET'", Outcome.REFER),
        ("checks.silent != 'NOT_MET'", Outcome.REFER),
        ("has(checks.silent) && checks.silent == 'MET'", Outcome.REFER),
        ("!(checks.silent == 'MET')", Outcome.REFER),
        ("checks['running'] == 'MET'", Outcome.REFER),
        ("checks.exists(key, key == 'silent' && checks[key] == 'MET')", Outcome.REFER),
        ("checks.silent == 'MET' ? checks.running == 'MET' : false", Outcome.REFER),
        # what does not depend on it is known
        ("checks.silent == 'MET' || checks.income == 'MET'", Outcome.MET),
        ("checks.silent == 'MET' && checks.here == 'MET'", Outcome.NOT_MET),
        ("checks.silent == 'MET' || checks.silent == 'NOT_MET'", Outcome.MET),
        ("advices.social != 'NEGATIVE'", Outcome.REFER),
        ("claims.home == 'FREE'", Outcome.REFER),
        ("claims.own == 'FREE'", Outcome.NOT_MET),
        ("checks.never == 'MET'", Outcome.REFER),
    ],
)
def test_what_is_not_known_yet_is_no_answer(when: str, outcome: Outcome) -> None:
    assert ask(when, CHECKED) is outcome


def test_too_much_that_is_not_known_goes_to_a_person() -> None:
    many = replace(RESIDENT, checks={f"c{number}": "RUNNING" for number in range(9)})
    assert ask("checks.c1 == 'MET' || checks.c1 == 'NOT_MET'", many) is Outcome.REFER


def test_what_goes_wrong_with_an_answer_is_not_repeated() -> None:
    answer = TaxAnswer(True, 2024, 36_250.0)
    ruling = weigh("answer.household_income + '1' == ''", RESIDENT, answer)
    assert ruling.outcome is Outcome.REFER
    assert "36" not in ruling.why


NAMES = Names(
    products=["bak"], tables=["limit"], checks=["income"], advisers=["social"], benefits=["home"],
    co_applicant=True, duplicates=["same_home"], documents=["plan", "income-proof"],
)  # fmt: skip


@pytest.mark.parametrize(
    "when",
    [
        "checks.income == 'MET'",
        "advices.social == 'NEGATIVE' ? 'REFER' : true",
        "claims.home == 'FREE' && window_open",
        "tables.limit + 1.0 * household.dependants > tables['limit']",
        "applicant.resident_on_reference_date && applicant.resident_since <= reference_date",
        "household.children.exists(child, child.age_on_reference_date < 18)",
        "co_applicant == 'CONFIRMED'",
        "co_applicant in ['CONFIRMED', 'LAPSED']",
        "!duplicates.same_home",
        "documents.plan > 0 && documents['income-proof'] <= 3",
    ],
)
def test_a_rule_may_speak_of_what_the_procedure_names(when: str) -> None:
    assert faults_of(rule(when), FORM, NAMES) == []


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ("checks.incom == 'MET'", "has no 'incom'"),
        ("checks.income == 'UNKNOWN'", "is never 'UNKNOWN'"),
        ("advices.social == 'YES'", "is never 'YES'"),
        ("checks.all(key, checks[key] == 'MET')", "is read key by key"),
        ("checks['income'] == 'MET'", "is read as checks.key"),
        ("tables.ceiling > 1.0", "has no 'ceiling'"),
        ("tables['ceiling'] > 1.0", "has no 'ceiling'"),
        ("claims.own == 'FREE'", "has no 'own'"),
        ("co_applicant == 'AGREED'", "is never 'AGREED'"),
        ("co_applicant.answer == 'CONFIRMED'", "has no 'answer'"),
        ("duplicates.home", "has no 'home'; it has: same_home"),
        ("duplicates.same_home == 'x' ? 1 : 2", "not true, false or 'REFER'"),
        ("documents.plans > 0", "has no 'plans'"),
        ("documents.plan", "not true, false or 'REFER'"),
        ("checks.income", "not true, false or 'REFER'"),
        ("answer.found", "unknown fact 'answer'"),
    ],
)
def test_a_rule_that_speaks_of_what_is_not_there_is_found_before_it_is_published(
    when: str, reason: str
) -> None:
    faults = faults_of(rule(when), FORM, NAMES)
    assert any(reason in one for one in faults), faults


def test_a_rule_speaks_of_a_co_applicant_only_where_somebody_else_must_confirm() -> None:
    faults = faults_of(rule("co_applicant == 'CONFIRMED'"), FORM, Names())
    assert any("unknown fact 'co_applicant'" in one for one in faults), faults


def test_who_was_not_asked_has_said_nothing() -> None:
    assert ask("co_applicant == 'CONFIRMED'") is Outcome.REFER
    assert ask("co_applicant != 'REFUSED'") is Outcome.REFER
    assert ask("channel != 'COUNTER' || co_applicant == 'CONFIRMED'") is Outcome.MET
    assert ask("co_applicant == 'CONFIRMED'", replace(RESIDENT, co_applicant="LAPSED")) is Outcome.NOT_MET
    assert ask("!duplicates.same_home") is Outcome.REFER
    assert ask("!duplicates.same_home", replace(RESIDENT, duplicates={"same_home": False})) is Outcome.MET


@pytest.mark.parametrize(
    ("service", "met", "reason"),
    [
        ("social_status", "answer.statuses.BIM_BVT", ""),
        ("social_status", "answer.statuses['BIM_BVT']", ""),
        ("social_status", "answer.statuses.RVV", "has no 'RVV'"),
        ("tax_assessment", "answer.found && answer.household_income <= tables.limit", ""),
        ("tax_assessment", "answer.income <= tables.limit", "has no 'income'"),
        ("tax_assessment", "answer.household_income", "not true, false or 'REFER'"),
        ("handicap_file", "answer.found && answer.pillar_1 >= 4 && answer.age < 22", ""),
        ("handicap_file", "answer.statuses.BIM_BVT", "has no 'statuses'"),
    ],
)
def test_what_a_check_reads_of_an_answer_is_looked_at_too(service: str, met: str, reason: str) -> None:
    faults = faults_in(met, FORM, NAMES, answer=Asked(service, ["BIM_BVT"]))
    assert any(reason in one for one in faults) if reason else faults == [], faults
