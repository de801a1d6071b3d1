"""The two premiums that are shipped: their figures, rules and words, and what would be wrong in them."""

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from loket import publishing, wording
from loket.definition import DecidingBody, Definition, MessageChannel
from loket.forms import form_in, validate_answers
from loket.lifecycle import EventType, Stage
from loket.publishing import DefinitionError, Fault
from loket.rules import (
    Answer,
    Applicant,
    Facts,
    HandicapAnswer,
    Household,
    Municipality,
    Outcome,
    SocialStatusAnswer,
    TaxAnswer,
    conclude,
    evaluate_all,
    weigh,
)
from loket.segments import segments
from loket.settings import Municipality as Settings
from loket.wording import messages_due
from served import served

FOLDER = Path(__file__).parents[1] / "src" / "loket" / "procedures"
SOCIAL, ENERGY = FOLDER / "social-premium.yaml", FOLDER / "energy-premium.yaml"
PREMIUMS = {path.stem: publishing.load(path) for path in (SOCIAL, ENERGY)}
TEXT = SOCIAL.read_text("utf-8")
HALL = Settings()
E = EventType
DAY = date(2026, 3, 2)
PAGE = "https://www.lindebeke.example/dossiers/SP-2026-004213-7"
ALWAYS_KNOWN: dict[str, wording.Value] = {
    "applicant": "Rita Bogaerts",
    "reference": "SP-2026-004213-7",
    "submitted_on": date(2026, 11, 22),
    "decide_by": date(2026, 12, 22),
    "link_case": PAGE,
}
ALL_KNOWN: dict[str, wording.Value] = {
    **ALWAYS_KNOWN,
    "reason": ["Het rekeningnummer bestaat niet."],
    "fact": ["Op 1 januari woonde u in Mol."],
    "legal": ["Reglement, artikel 1"],
    "question": "Kunt u een attest bezorgen?",
    "answer_by": date(2026, 12, 6),
    "meeting_on": date(2026, 12, 14),
    "granted": Decimal("255.00"),
    "benefits": ["Toelage per adres", "Toelage voor een volwassene met een handicap"],
    "refused_benefits": ["Toelage voor wie een kind met een handicap opvoedt"],
    "conditions": ["Zolang u in de gemeente woont."],
    "account": "BE68 •••• •••• 7034",
    "paid_on": date(2026, 12, 28),
    "link_answer": f"{PAGE}/antwoord",
    "link_review": f"{PAGE}/herziening",
    "link_account": f"{PAGE}/rekening",
}
DECIDED = (E.APPROVED, E.PARTLY_APPROVED, E.REJECTED)


@pytest.fixture(params=PREMIUMS)
def premium(request: pytest.FixtureRequest) -> Definition:
    return PREMIUMS[request.param]


@pytest.fixture
def social() -> Definition:
    return PREMIUMS[SOCIAL.stem]


@pytest.fixture
def energy() -> Definition:
    return PREMIUMS[ENERGY.stem]


# --- what is shipped --------------------------------------------------------------------------


def test_a_premium_is_screened_weighed_decided_by_a_body_and_paid_out(premium: Definition) -> None:
    assert premium.stages == (Stage.SCREENING, Stage.ASSESSMENT, Stage.DECISION, Stage.PAYOUT)
    assert premium.screening.by == "rule_then_handler"
    assert premium.decision is not None
    assert premium.decision.legal_delivery
    assert premium.decision.notify_within_days == 8
    assert premium.decision.agenda is not None
    assert premium.decision.agenda.closed


def test_the_allowances_are_those_of_grimbergen(social: Definition) -> None:
    assert {one.key: (one.per, [str(row.amount) for row in one.amounts]) for one in social.benefits} == {
        "household": ("address", ["70.00"]),
        "handicap": ("applicant", ["185.00"]),
        "child_handicap": ("child", ["185.00"]),
    }
    on = social.reference_day(date(2026, 10, 31))
    assert on == date(2026, 1, 1)
    assert social.figures(on)["handicap_points"] == 7
    assert social.figures(on)["pillar_1_points"] == 4


def test_the_term_of_the_ocmw_never_stands_still_that_of_the_college_does(
    social: Definition, energy: Definition
) -> None:
    assert (social.decision and social.decision.by) == DecidingBody.COLLEGE
    assert (social.term.days, social.term.suspendable) == (30, True)
    assert (energy.decision and energy.decision.by) == DecidingBody.BCSD
    assert (energy.term.days, energy.term.suspendable) == (30, False)
    asked = energy.texts.messages[E.INFORMATION_REQUESTED].body
    assert "loopt ondertussen door" in asked.nl
    assert "Raad van State" in social.appeal.get("nl")
    assert "binnen 60 dagen" in social.appeal.get("nl")
    assert "arbeidsrechtbank" in energy.appeal.get("nl")
    assert "binnen 3 maanden" in energy.appeal.get("nl")
    assert "within 3 months" in energy.appeal.get("en")


def test_every_phase_has_all_rows_of_the_blueprint(premium: Definition) -> None:
    assert [phase.key for phase in premium.phases] == [
        *("application", "handling", "advice", "decision", "notification", "payout"),
    ]
    for phase in premium.phases:
        rows = [phase.interaction_point, phase.front_office, phase.back_office, phase.difference]
        assert all(row is not None and len(row.nl) > 20 for row in rows)
        assert phase.medium


def test_every_file_says_its_source_and_what_is_assumed() -> None:
    for path in (SOCIAL, ENERGY):
        head = path.read_text("utf-8").partition("\nkey:")[0]
        assert "Samengesteld uit het reglement van" in head
        assert "# Aannames, na te kijken door de gemeente" in head


# --- the form ---------------------------------------------------------------------------------

HOME = {"street": "Molenweg", "number": "21", "postal_code": "2999", "city": "Lindebeke"}
ANSWERS: dict[str, Any] = {
    "applicant": {"name": "Rita Bogaerts", "address": HOME},
    "contact": {},
    "benefits": ["household"],
    "payout": {"iban": "BE68 5390 0754 7034", "holder": "Rita Bogaerts"},
    "declaration": {"informed": True, "changes": True, "correct": True},
}


def test_a_form_that_is_filled_in_has_no_fault(social: Definition) -> None:
    assert validate_answers(social, ANSWERS, "nl") == []


@pytest.mark.parametrize(
    ("part", "answer", "path", "said"),
    [
        ("payout", {"iban": "BE68 5390 0754 7035", "holder": "R"}, ["payout", "iban"], "IBAN"),
        ("payout", {"holder": "R"}, ["payout", "iban"], "Vul dit in"),
        ("benefits", [], ["benefits"], "minstens 1"),
        ("benefits", ["household", "household"], ["benefits"], "dubbel"),
        ("benefits", ["pension"], ["benefits", "0"], "Kies een van deze"),
        (
            "declaration",
            {"informed": True, "changes": False, "correct": True},
            ["declaration", "changes"],
            "Vink dit aan",
        ),
    ],
)
def test_what_is_wrong_in_the_form_is_named_with_its_field(
    social: Definition, part: str, answer: object, path: list[str], said: str
) -> None:
    (fault,) = validate_answers(social, {**ANSWERS, part: answer}, "nl")
    assert fault.path == path
    assert said in fault.message


def test_the_form_tells_what_is_asked_of_the_government_and_why(premium: Definition) -> None:
    for language, words in (
        ("nl", ("MAGDA", "ja of nee", "bewaren")),
        ("en", ("MAGDA", "yes or no", "keep")),
    ):
        declaration = form_in(premium.form, language)["properties"]["declaration"]
        told = declaration["properties"]["informed"]["description"]
        assert all(word in told for word in words), told
    for check in premium.checks:
        assert check.purpose.en


# --- the rules --------------------------------------------------------------------------------


def facts(premium: Definition, **known: Any) -> Facts:  # noqa: ANN401  # whatever Facts has
    told: dict[str, Any] = {
        "municipality": Municipality("13999", "Gemeente Lindebeke", "2999"),
        "today": DAY,
        "channel": "ONLINE",
        "applicant": Applicant(sourced=True, age=54, deceased=False, resident_on_reference_date=True),
        "household": Household(sourced=True, members=1, children=(), dependants=0.0),
        "sources_complete": True,
        "reference_date": premium.reference_day(DAY),
        "window_open": True,
        "tables": {key: float(one) for key, one in premium.figures(premium.reference_day(DAY)).items()},
    }
    return Facts(**(told | known))


@pytest.mark.parametrize(
    ("known", "outcome"),
    [
        ({}, Outcome.MET),
        ({"window_open": False}, Outcome.NOT_MET),
        ({"applicant": Applicant(True, 54, False, resident_on_reference_date=False)}, Outcome.NOT_MET),
        # who moved after 1 January: the register does not tell where they lived
        ({"applicant": Applicant(True, 54, False)}, Outcome.REFER),
        ({"applicant": Applicant(True, 54, True, resident_on_reference_date=True)}, Outcome.REFER),
        ({"applicant": Applicant(False)}, Outcome.REFER),
    ],
)
def test_who_lived_here_on_the_first_of_january_and_is_in_time_is_admissible(
    premium: Definition, known: dict[str, Any], outcome: Outcome
) -> None:
    assert conclude(evaluate_all(premium.rules.screening, facts(premium, **known))) is outcome


@pytest.mark.parametrize(
    ("check", "answer", "outcome"),
    [
        ("increased_allowance", SocialStatusAnswer({"BIM_BVT": True}), Outcome.MET),
        ("increased_allowance", SocialStatusAnswer({"BIM_BVT": False}), Outcome.NOT_MET),
        ("increased_allowance", SocialStatusAnswer({}), Outcome.REFER),
        ("handicap", HandicapAnswer(True, 54, 7, False, 0, 0, 0, 0), Outcome.MET),
        ("handicap", HandicapAnswer(True, 54, 6, False, 0, 0, 0, 0), Outcome.NOT_MET),
        ("handicap", HandicapAnswer(True, 54, 0, True, 0, 0, 0, 0), Outcome.MET),
        ("handicap", HandicapAnswer(True, 54, 6), Outcome.NOT_MET),
        ("handicap", HandicapAnswer(True, 17, 9), Outcome.NOT_MET),
        ("handicap", HandicapAnswer(False), Outcome.NOT_MET),
        ("child_handicap", HandicapAnswer(True, 10, 0, None, 4, 1, 2, 7), Outcome.MET),
        ("child_handicap", HandicapAnswer(True, 10, 0, None, 3, 9, 9, 21), Outcome.NOT_MET),
        ("child_handicap", HandicapAnswer(True, 1, 0, None, 4, 0, 0, 4), Outcome.MET),
        ("child_handicap", HandicapAnswer(True, 21, 0, None, 4, 0, 0, 4), Outcome.MET),
        ("child_handicap", HandicapAnswer(True, 22, 0, None, 4, 0, 0, 4), Outcome.NOT_MET),
        ("child_handicap", HandicapAnswer(True, 0, 0, None, 4, 0, 0, 4), Outcome.NOT_MET),
    ],
)
def test_what_a_source_answers_meets_a_check_or_does_not(
    social: Definition, check: str, answer: Answer, outcome: Outcome
) -> None:
    spec = social.check(check)
    assert spec is not None
    assert weigh(spec.met, facts(social), answer).outcome is outcome


def test_only_what_the_application_needs_is_asked(social: Definition) -> None:
    def asked(*benefits: str) -> list[str]:
        known = facts(social, application={"benefits": list(benefits)})
        due = [
            one for one in social.checks if one.when is None or weigh(one.when, known).outcome is Outcome.MET
        ]
        return [one.key for one in due]

    assert asked("household") == ["increased_allowance"]
    assert asked("household", "handicap") == ["increased_allowance", "handicap"]
    assert asked("child_handicap") == ["increased_allowance", "child_handicap"]


def test_a_benefit_is_due_by_its_check_and_waits_while_that_runs(social: Definition) -> None:
    def due(benefit: str, **checks: str) -> Outcome:
        spec = next(one for one in social.benefits if one.key == benefit)
        return weigh(spec.when, facts(social, checks=checks)).outcome

    assert due("household", increased_allowance="MET") is Outcome.MET
    assert due("household", increased_allowance="NOT_MET") is Outcome.NOT_MET
    assert due("household", increased_allowance="RUNNING") is Outcome.REFER
    assert due("handicap", handicap="REPLACED") is Outcome.MET
    assert due("child_handicap", child_handicap="UNKNOWN") is Outcome.REFER


@pytest.mark.parametrize(
    ("income", "dependants", "outcome"),
    [
        (33_500.00, 0, Outcome.MET),
        (33_500.01, 0, Outcome.NOT_MET),
        (36_272.00, 1, Outcome.MET),
        (36_272.01, 1, Outcome.NOT_MET),
        (39_044.00, 2, Outcome.MET),
        (52_300.75, 2, Outcome.NOT_MET),
    ],
)
def test_the_income_limit_grows_with_each_dependent_child(
    energy: Definition, income: float, dependants: int, outcome: Outcome
) -> None:
    known = facts(energy, household=Household(sourced=True, dependants=float(dependants)))
    (check,) = energy.checks
    assert weigh(check.met, known, TaxAnswer(True, 2024, income)).outcome is outcome


def test_no_assessment_is_no_refusal(energy: Definition) -> None:
    (check,) = energy.checks
    ruling = weigh(check.met, facts(energy), TaxAnswer(False, 2024))
    assert ruling.outcome is Outcome.REFER
    assert check.documents


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Outcome.MET),
        ({"guidance": "none"}, Outcome.NOT_MET),
        ({"properties": 1, "cadastral_income": 1385}, Outcome.MET),
        ({"properties": 1, "cadastral_income": 1385.5}, Outcome.NOT_MET),
        ({"properties": 1}, Outcome.REFER),
        ({"properties": 2, "cadastral_income": 100}, Outcome.NOT_MET),
        ({"savings": 2000}, Outcome.MET),
        ({"savings": 2000.01}, Outcome.NOT_MET),
        ({"social_tariff": True}, Outcome.NOT_MET),
        ({"variable_contract": False}, Outcome.NOT_MET),
    ],
)
def test_what_magda_cannot_tell_is_declared(
    energy: Definition, changes: dict[str, Any], outcome: Outcome
) -> None:
    situation = {
        "guidance": "debt_mediation",
        "properties": 0,
        "savings": 0,
        "social_tariff": False,
        "variable_contract": True,
    }
    known = facts(energy, application={"situation": situation | changes})
    assert conclude(evaluate_all(energy.rules.approval, known)) is outcome


# --- what is said -----------------------------------------------------------------------------


def say(
    premium: Definition, event: EventType, channel: MessageChannel, language: str, **changes: wording.Value
) -> wording.Wording:
    values = {name: value for name, value in (ALL_KNOWN | changes).items() if value is not None}
    return wording.render(premium, event, channel, language, values, municipality=HALL)


def test_every_message_is_whole_on_every_channel_in_both_languages(premium: Definition) -> None:
    for event in premium.texts.messages:
        for language in ("nl", "en"):
            for channel in MessageChannel:
                said = say(premium, event, channel, language)
                assert said.language == language, event
                assert said.link is not None
                assert not re.search(r"[{}]|None", said.text + said.subject)
                if channel is MessageChannel.SMS:
                    counted = segments(said.text)
                    assert (counted.encoding, counted.count <= 2) == ("GSM-7", True), said.text


def test_with_almost_nothing_known_a_message_still_makes_sense(premium: Definition) -> None:
    for event in premium.texts.messages:
        for channel in MessageChannel:
            said = wording.render(premium, event, channel, "nl", ALWAYS_KNOWN, municipality=HALL)
            assert len(said.text) > 40, (event, said.text)
            paragraphs = said.text.split("\n\n")
            for this, following in zip(paragraphs, [*paragraphs[1:], ""], strict=True):
                announces = this.endswith(":")
                assert not announces or following.startswith("- ") or ": " in following, (event, this)


def test_every_outcome_and_every_question_is_told(premium: Definition) -> None:
    told = premium.texts.messages.keys()
    assert told >= {
        *(E.SUBMITTED, E.ADMISSIBLE, E.INADMISSIBLE, E.INFORMATION_REQUESTED, E.INFORMATION_REMINDED),
        *(E.INFORMATION_SUPPLIED, E.INFORMATION_LAPSED, E.DECISION_ON_AGENDA, E.DECISION_POSTPONED),
        *(*DECIDED, E.DECISION_WITHDRAWN, E.ACCOUNT_NEEDED, E.PAYOUT_RETURNED, E.PAID_OUT),
        *(E.WITHDRAWN, E.CANCELLED, E.REOPENED, E.TERM_EXTENDED, E.TERM_LAPSED),
    }
    assert not told & {E.ADVICE_REQUESTED, E.CHECK_STARTED, E.NOTE_ADDED, E.COMPLETED}


def test_the_receipt_states_term_hearing_and_duty_to_report(premium: Definition) -> None:
    said = say(premium, E.SUBMITTED, MessageChannel.LETTER, "nl").text
    for part in ("binnen 30 dagen", "dinsdag 22 december 2026", "gehoord te worden", "moet u ons dat meteen"):
        assert part in said


def test_a_decision_is_only_announced_and_no_message_says_what_was_asked(premium: Definition) -> None:
    """Motivation and benefits stand in the letter: anybody may read along in a mailbox."""
    for event, message in premium.texts.messages.items():
        for channel in MessageChannel:
            text = say(premium, event, channel, "nl").text
            assert "handicap" not in text.lower(), event
            if event in DECIDED:
                assert not any(
                    why in text for why in ("bestaat niet", "woonde u in Mol", "Reglement, artikel")
                )
        if event in DECIDED:
            assert "beslissingsbrief" in message.body.nl
            assert "eBox" in message.body.nl
            assert "decision letter" in (message.body.en or "")


def test_a_wrong_account_is_asked_once_and_never_by_reply(premium: Definition) -> None:
    due = messages_due(premium, [E.PAYOUT_RETURNED, E.ACCOUNT_NEEDED])
    assert [one.event for one in due] == [E.ACCOUNT_NEEDED]
    said = say(premium, E.ACCOUNT_NEEDED, MessageChannel.EMAIL, "nl")
    assert "Meld u aan" in said.text
    assert said.link == f"{PAGE}/rekening"


def test_a_lapsed_term_tells_what_one_can_do(premium: Definition) -> None:
    for language in ("nl", "en"):
        assert premium.appeal.get(language) in say(premium, E.TERM_LAPSED, MessageChannel.MBP, language).text


PAIRS = {
    "Samenstelling": {"Ingediend"},
    "Behandeling": {"InBehandeling", "Ontvankelijk", "DossierOnvolledig"},
    "Beslissing": {
        "KlaarVoorBeslissing",
        "InWacht",
        "Beslist",
        "Goedgekeurd",
        "DeelsGoedgekeurd",
        "Geweigerd",
    },
    "Uitvoering": {"KlaarVoorBetaling", "Betaald"},
    "Beroep": {"InBehandeling"},
    "Afgerond": {"OnOntvankelijk", "Betaald", "Stopgezet"},
}


def test_mijn_burgerprofiel_follows_the_case_from_begin_to_end(premium: Definition) -> None:
    for event, row in premium.dosis.items():
        assert row.code in PAIRS[row.phase], event
    shown = [(row.code, row.phase) for row in map(premium.dosis.__getitem__, STRAIGHT)]
    assert shown == [
        ("Ingediend", "Samenstelling"),
        ("Ontvankelijk", "Behandeling"),
        ("InBehandeling", "Behandeling"),
        ("KlaarVoorBeslissing", "Beslissing"),
        ("KlaarVoorBeslissing", "Beslissing"),
        ("Goedgekeurd", "Beslissing"),
        ("KlaarVoorBetaling", "Uitvoering"),
        ("Betaald", "Uitvoering"),
        ("Betaald", "Afgerond"),
    ]
    needed = {event for event, row in premium.dosis.items() if row.action}
    assert needed == {E.INFORMATION_REQUESTED, E.INFORMATION_REMINDED, E.ACCOUNT_NEEDED}


STRAIGHT = (
    *(E.SUBMITTED, E.ADMISSIBLE, E.ASSESSMENT_STARTED, E.DECISION_PENDING, E.DECISION_ON_AGENDA, E.APPROVED),
    *(E.PAYOUT_DUE, E.PAID_OUT, E.COMPLETED),
)


# --- what everybody can ask of them -----------------------------------------------------------

SHOWN = """query ($key: String!) { procedures { key }
  procedure(key: $key) { title stages legalBasis openToday decidingBody term { days suspendable }
    appeal { body address form term remark } phases { key stages } form { schema uiSchema }
    benefits { key title amount { amount currency } } documents { key title description }
    lookUps { key title purpose documents } } }"""


async def test_anybody_sees_what_a_premium_gives_and_asks_in_their_language(
    database_url: str, tmp_path: Path, social: Definition
) -> None:
    async with served(database_url, tmp_path) as town:
        query = {"query": SHOWN, "variables": {"key": social.key}}
        answer = await town.client.post(f"{town.url}/graphql", json=query, headers={"Accept-Language": "en"})
    data = answer.json()["data"]
    assert {one["key"] for one in data["procedures"]} >= set(PREMIUMS)
    shown = data["procedure"]
    assert shown["title"] == "Applying for a social allowance"
    assert shown["stages"] == ["SCREENING", "ASSESSMENT", "DECISION", "PAYOUT"]
    assert [one["stages"] for one in shown["phases"] if one["key"] == "handling"] == [
        ["SCREENING", "ASSESSMENT"]
    ]
    assert shown["decidingBody"] == "College of mayor and aldermen"
    assert shown["appeal"]["term"] == "within 60 days of receiving the decision"
    assert shown["openToday"] is True
    assert shown["term"] == {"days": 30, "suspendable": True}
    assert [(one["key"], one["amount"]["amount"]) for one in shown["benefits"]] == [
        ("household", "70.00"),
        ("handicap", "185.00"),
        ("child_handicap", "185.00"),
    ]
    kinds = {one["key"] for one in shown["documents"]}
    assert all(set(one["documents"]) <= kinds and one["purpose"] for one in shown["lookUps"])
    assert "yes or no" in str(shown["form"]["schema"])


# --- what would be wrong ----------------------------------------------------------------------


def changed(*changes: tuple[str, str]) -> str:
    text = TEXT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def faults(*changes: tuple[str, str]) -> list[Fault]:
    with pytest.raises(DefinitionError) as refused:
        publishing.parse(changed(*changes), "file.yaml")
    return refused.value.faults


AGENDA = TEXT[TEXT.index("  agenda:\n") : TEXT.index("  articles_granted:\n")]
PAYOUT = TEXT[TEXT.index("payout:\n  account") : TEXT.index("information: {")]
REFUSED = TEXT[TEXT.index("  articles_refused:\n") : TEXT.index("  notify_within_days")]
WRONG: dict[str, tuple[tuple[str, str], str, str]] = {
    # what is changed, why it is wrong, near which text that is said
    "no agenda": ((AGENDA, ""), "the part 'agenda' is missing", "  by: COLLEGE"),
    "agenda of nobody": (("  by: COLLEGE", "  by: handler"), "there is no agenda", "  agenda:"),
    "unknown body": (("  by: COLLEGE", "  by: SCHEPEN"), "decision", "decision:"),
    "no articles": ((REFUSED, ""), "no articles (articles_refused)", "decision:"),
    "a name in an article": (
        ("sociale toelage toe in dossier", "toelage aan {applicant} toe in dossier"),
        "'{applicant}' cannot stand here",
        "articles_granted",
    ),
    "an account in an article": (
        ("op het rekeningnummer dat", "op {iban}, het rekeningnummer dat"),
        "'{iban}' cannot stand here",
        "articles_granted",
    ),
    "a name on an agenda": (
        ('"Sociale toelage: individuele', '"{applicant}: individuele'),
        "cannot stand here",
        "item_title",
    ),
    "term of the OCMW": (("  by: COLLEGE", "  by: BCSD"), "never stands still", "term: {days"),
    "no payout": ((PAYOUT, ""), "needs the part 'payout'", "stages: ["),
    "account nowhere": (
        ("account_field: /payout/iban", "account_field: /payout/bic"),
        "no field /payout/bic",
        "account_field",
    ),
    "account of no format": (
        ("account_field: /payout/iban", "account_field: /payout/holder"),
        "must have the format 'iban'",
        "account_field",
    ),
    "remittance": (
        ('nl: "Sociale toelage {reference}"', 'nl: "Toelage {applicant}"'),
        "cannot stand here",
        "remittance",
    ),
    "no stage": (
        ("stages: [screening, assessment, decision, payout]", "stages: [screening, decision, payout]"),
        "the stage 'assessment', which is missing",
        "stages: [",
    ),
    "check twice": (
        (
            "  - key: handicap\n    title: {nl: Erkende",
            "  - key: increased_allowance\n    title: {nl: Erkende",
        ),
        "'increased_allowance' stands twice",
        "title: {nl: Erkende handicap van een v",
    ),
    "no statuses": (("    statuses: [BIM_BVT]\n", ""), "which statuses", "key: increased_allowance"),
    "other status": (("answer.statuses.BIM_BVT", "answer.statuses.BIM"), "BIM", "answer.statuses"),
    "answer": (("answer.pillar_1 >=", "answer.pilar_1 >="), "pilar_1", "key: child_handicap"),
    "check reads a check": (
        ("when: \"'handicap' in application.benefits\"", "when: checks.child_handicap == 'MET'"),
        "child_handicap",
        "Erkende handicap van een v",
    ),
    "no such table": (
        ("answer.points >= tables.handicap_points", "answer.points >= tables.points"),
        "points",
        "Erkende handicap van een v",
    ),
    "no such document": (
        ("documents: [handicap-certificate]", "documents: [certificate]"),
        "none of the documents",
        "documents: [certificate]",
    ),
    "no address": (
        ("    email: advies@welzijnsregio.example\n", ""),
        "needs an e-mail address",
        "key: welfare-partner",
    ),
    "no machine": (
        ("    check: handicap\n", ""),
        "which check is the answer",
        "key: federal-social-security",
    ),
    "machine of nothing": (
        ("    check: handicap\n", "    check: handycap\n"),
        "no check 'handycap'",
        "check: handycap",
    ),
    "late reminder": (
        ("remind_before_days: [5, 3, 0]", "remind_before_days: [15, 3, 0]"),
        "before the question",
        "remind_before_days: [15",
    ),
    "asks nobody": (
        ("assessment: {by: handler}", "assessment: {by: handler, ask: [mayor]}"),
        "no adviser 'mayor'",
        "assessment: {",
    ),
    "benefit twice": (
        ("  - key: handicap\n    title: {nl: Toelage", "  - key: household\n    title: {nl: Toelage"),
        "'household' stands twice",
        "title: {nl: Toelage voor een v",
    ),
    "a rule's name": (
        ("    - key: in-time", "    - key: household"),
        "a rule is called 'household' too",
        "key: household",
    ),
    "child of no check": (
        ("    check: child_handicap\n    asked", "    asked"),
        "which check says for which child",
        "per: child",
    ),
    "child of a grown-up": (
        ("    check: child_handicap\n    asked", "    check: handicap\n    asked"),
        "is not of children",
        "per: child",
    ),
    "benefit of no check": (
        ("when: checks.handicap == 'MET'", "when: checks.handycap == 'MET'"),
        "handycap",
        "checks.handycap",
    ),
    "no amount yet": (
        ("- {from: 2026-01-01, amount: 70.00}", "- {from: 2026-02-01, amount: 70.00}"),
        "no amount from 2026-01-01",
        "amount: 70.00",
    ),
    "no amount any more": (
        ("- {from: 2026-01-01, amount: 70.00}", "- {from: 2026-01-01, to: 2026-12-31, amount: 70.00}"),
        "no amount after 2026-12-31",
        "amount: 70.00",
    ),
    "two figures": (
        (
            "- {from: 2026-01-01, value: 7}",
            "- {from: 2026-01-01, value: 7}\n    - {from: 2027-01-01, value: 8}",
        ),
        "two figures on 2027-01-01",
        "value: 8",
    ),
    "table of no name": (("  handicap_points:", "  handicap-points:"), "no rule can read", "handicap-points"),
    "window": (('opens: "01-01"', 'opens: "02-30"'), "not a day of every year", "window"),
    "partly untold": (
        ("    PARTLY_APPROVED:\n      replaces", "    RELEASED:\n      replaces"),
        "PARTLY_APPROVED has no message",
        "messages:",
    ),
    "account not asked": (
        ("          Doe dat ten laatste op {answer_by}.\n\n          Meld", "          Meld"),
        "must name {answer_by}",
        "ACCOUNT_NEEDED",
    ),
    "motivation in a message": (
        ("          Dit bericht is alleen ter informatie.", "          Omdat {reason}."),
        "stands in the letter",
        "REJECTED:",
    ),
    "never said": (
        ("          Bedankt, wij hebben uw antwoord", "          Op {paid_on} hebben wij uw antwoord"),
        "{paid_on} has no value",
        "INFORMATION_SUPPLIED",
    ),
    "leads nowhere": (
        (
            "link: link_account}",
            "link: link_account}\n    RELEASED:\n      subject: a\n      body: b\n"
            "      sms: c\n      button: {label: Rekening, link: link_account}",
        ),
        "leads nowhere with RELEASED",
        "RELEASED:",
    ),
    "never shown": (
        ('detail: "Op de agenda van {meeting_on}"', 'detail: "Betaald op {paid_on}"'),
        "{paid_on} has no value",
        "  DECISION_ON_AGENDA: {code",
    ),
    "appeal without term": (
        (
            "  term:\n    nl: binnen 60 dagen nadat u de beslissing kreeg\n"
            "    en: within 60 days of receiving the decision\n",
            "",
        ),
        "'term' is missing",
        "appeal:",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_premium_that_makes_no_sense_is_refused_with_line_and_reason(name: str) -> None:
    change, reason, near = WRONG[name]
    found = [one for one in faults(change) if reason in one.reason]
    assert found, faults(change)
    text = changed(change)
    line = text[: text.index(near, text.index("\nkey:"))].count("\n") + 1
    assert min(abs(one.line - line) for one in found) <= 12, (found, line)


def test_of_a_premium_by_rule_there_must_be_something_to_go_by() -> None:
    by_rule = ("assessment: {by: handler}", "assessment: {by: rule}")
    assert publishing.parse(changed(by_rule), "file.yaml").assessment.by == "rule"
    checks = TEXT[TEXT.index("checks:\n  - key") : TEXT.index("advisers:\n  - key")]
    found = faults(by_rule, (checks, "checks: []\n\n"))
    assert any("no check and nobody to ask" in one.reason for one in found)
