"""Procedure files: what is published, what is refused, and that the refusal says where."""

import asyncio
import json
import random
import re
import time
from itertools import permutations
from pathlib import Path

import pytest
from referencing.exceptions import Unresolvable
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from loket import publishing
from loket.definition import Definition
from loket.forms import validate_answers
from loket.lifecycle import Stage, StageOrderError, Status, case_machine
from loket.proofreading import proofread
from loket.publishing import DefinitionError, Fault

SOURCE = Path(__file__).parents[1] / "src" / "loket"
FILE = SOURCE / "procedures" / "compost-bin.yaml"
TEXT = FILE.read_text("utf-8")
STAGES = "stages: [screening, decision, payment, planning, delivery]"


def changed(*changes: tuple[str, str]) -> str:
    """The shipped file with each `old` replaced by `new`."""
    text = TEXT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def faults(*changes: tuple[str, str]) -> list[Fault]:
    with pytest.raises(DefinitionError) as refused:
        publishing.parse(changed(*changes), "file.yaml")
    return refused.value.faults


def fault(*changes: tuple[str, str]) -> Fault:
    found = faults(*changes)
    assert len(found) == 1, found
    return found[0]


def line_of(text: str, source: str = TEXT) -> int:
    return source[: source.index(text)].count("\n") + 1


@pytest.fixture(scope="module")
def definition() -> Definition:
    return publishing.load(FILE)


# --- what is shipped --------------------------------------------------------------------------


def test_the_shipped_procedure_is_published(definition: Definition) -> None:
    assert [str(stage) for stage in definition.stages] == [
        "screening",
        "decision",
        "payment",
        "planning",
        "delivery",
    ]
    assert definition.catalogue is not None
    prices = {product.key: str(product.prices[0].amount) for product in definition.catalogue.products}
    assert prices == {"bak": "40.00", "vat": "30.00"}


def test_every_phase_of_the_blueprint_has_its_rows(definition: Definition) -> None:
    assert [phase.title.nl for phase in definition.phases] == [
        "Digitale aanvraag",
        "Dossierbehandeling",
        "Dossieruitvoering: betalen",
        "Dossieruitvoering: leveren",
    ]
    for phase in definition.phases:
        rows = [
            phase.interaction_point,
            phase.front_office,
            phase.back_office,
            phase.difference,
            *phase.medium,
        ]
        assert all(row is not None and len(row.nl) > 4 for row in rows)


def test_no_procedure_is_named_outside_of_the_procedures() -> None:
    keys = list(publishing.load_all([FILE.parent]))
    assert keys
    for path in SOURCE.rglob("*"):
        named_here = FILE.parent in path.parents
        if path.is_file() and not named_here and path.suffix in {".py", ".sql", ".typ", ".html", ".json"}:
            text = path.read_text("utf-8", errors="replace")
            for key in keys:
                assert key not in text, f"{key} is named in {path}"


# --- the order of the stages is one line ------------------------------------------------------


def makes_sense(order: tuple[Stage, ...]) -> bool:
    try:
        return bool(case_machine(order).steps)
    except StageOrderError:
        return False


ORDERS = list(permutations(Stage(one) for one in re.findall(r"\w+", STAGES)[1:]))


@pytest.mark.parametrize("order", [one for one in ORDERS if makes_sense(one)])
def test_any_order_that_makes_sense_is_one_changed_line(order: tuple[Stage, ...]) -> None:
    assert publishing.parse(changed((STAGES, f"stages: [{', '.join(order)}]")), "file.yaml").stages == order


def test_every_other_order_is_refused(definition: Definition) -> None:
    refused = [one for one in ORDERS if not makes_sense(one)]
    assert len(refused) == 105
    for order in refused:
        wrong = definition.model_copy(update={"stages": order})
        found = [place for place, _ in proofread(wrong, frozenset(Definition.model_fields))]
        assert ("stages",) in found, order


def test_a_senseless_order_is_refused_with_file_line_and_reason() -> None:
    line = "stages: [delivery, screening, decision, payment, planning]"
    reason = "'delivery' needs 'decision' before it"
    assert fault((STAGES, line)) == Fault("file.yaml", line_of(STAGES), 1, reason)


@pytest.mark.parametrize(
    "order",
    [
        "screening, decision, planning, delivery, payment",
        "screening, decision, planning, payment, delivery",
        "payment, screening, decision, planning, delivery",
    ],
)
def test_payment_can_come_after_delivery_before_it_or_with_the_application(order: str) -> None:
    publishing.parse(changed((STAGES, f"stages: [{order}]")), "file.yaml")


def test_a_stage_that_stands_twice_is_refused_on_its_line() -> None:
    found = faults((STAGES, "stages: [screening, decision, decision, payment, planning, delivery]"))
    assert found[0].line == line_of(STAGES)
    assert "twice" in found[0].reason


def test_a_stage_without_its_settings_is_refused() -> None:
    found = faults(("delivery: {missed: plan_again, unconfirmed_after_days: 2}\n", ""))
    assert [one.reason for one in found] == ["the stage 'delivery' needs the part 'delivery'"]


# --- every fault, with its place --------------------------------------------------------------


def test_faults_of_all_kinds_come_at_once_and_from_top_to_bottom() -> None:
    found = faults(
        ("version: 1", "version: zero"),
        ("term: {days: 30", "term: {dayz: 30"),
        ("format: email", "format: e-mail"),
        ("quota.within_maximum", "quota.within"),
        ("{reference}: u kunt", "{refrence}: u kunt")
        if "{reference}: u kunt" in TEXT
        else ("{items}", "{itemz}"),
        ("code: Ingediend", "code: Ontvangen"),
    )
    reasons = "\n".join(one.reason for one in found)
    for word in ("version", "dayz", "days", "e-mail", "within_maximum", "itemz", "Ontvangen"):
        assert word in reasons
    assert [one.line for one in found] == sorted(one.line for one in found)


@pytest.mark.parametrize(
    ("there", "instead", "reason"),
    [
        (
            "amount: 40.00}",
            "amount: 40,00}",
            "'00' is not known here; an amount is written with a point: 12.00",
        ),
        ("term: {days: 30", "term: {days: dertig", "term.days: must be a whole number"),
        ('ipdc_product_id: "', 'ipdc_product_id: 7 # "', "ipdc_product_id: must be text: write it in quotes"),
        ("decision: {by: rule}", "decision: {by: rules}", "decision.by: input should be 'rule' or 'handler'"),
        ("stages: [", "stages: screening # [", "stages: must be a list: [one, another]"),
    ],
)
def test_a_wrong_shape_is_told_in_the_words_of_who_writes_it(there: str, instead: str, reason: str) -> None:
    assert [one.reason for one in faults((there, instead)) if one.reason.startswith(reason)]


def test_a_fault_prints_file_line_column_and_reason() -> None:
    assert str(fault(("version: 1", "version: 0"))).startswith(
        f"file.yaml:{line_of('version: 1')}:1: version: "
    )


def test_broken_yaml_is_refused_with_its_line() -> None:
    one = fault(("version: 1", "version: [1"))
    assert one.reason.startswith("not YAML")
    assert one.line >= line_of("version: 1")


def test_a_key_that_stands_twice_is_refused_on_the_second_line() -> None:
    one = fault(("version: 1\n", "version: 1\nversion: 2\n"))
    assert (one.line, one.column) == (line_of("version: 1") + 1, 1)
    assert "twice" in one.reason


def test_what_cannot_be_read_hides_nothing_else_and_is_named_once() -> None:
    found = faults(
        ("version: 1\n", "version: 1\nversion: 2\n"),
        ("valid_from: 2026-01-01\n", "valid_from: 2026-02-30\n"),
        ("quota.within_maximum", "quota.within"),
    )
    assert ["twice" in found[0].reason, "not a day" in found[1].reason, "within" in found[2].reason] == [
        True, True, True,
    ]  # fmt: skip
    assert len(found) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &x 1\nb: *x\n", "anchors"),
        ("a: !!python/object:os.system 1\n", "not"),
        ("[" * 2000, "nested too deep"),
        ("- 1\n", "words with values"),
        ("", "words with values"),
        ("x: " + "y" * 600_000, "larger"),
        ("a: 2026-02-30\n", "not a day"),
        ("a: " + "9" * 5000, "not a number"),
        ("a: 99999999999", "not a number"),
        ("a: 1" + "0" * 400 + ".5", "not a number"),
        ('a: "b\\0c"', "nobody can read"),
        ('a: "b\\uD800c"', "nobody can read"),
        ('"a\\0": b', "nobody can read"),
        ("\x00", "not YAML"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(text: str, reason: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        publishing.parse(text, "file.yaml")
    assert any(reason in one.reason for one in refused.value.faults), refused.value.faults


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="cannot be read"):
        publishing.load(tmp_path / "none.yaml")


CASES = {
    "unknown word": (
        ("reference_prefix: CB", "reference_prefix: CB\ncolour: blue"),
        "'colour' is not known here",
    ),
    "missing word": (('ipdc_product_id: "1446"\n', ""), "'ipdc_product_id' is missing"),
    "schema keyword": (("maxLength: 140", "maxLenght: 140"), "not a keyword of a form"),
    "schema value": (("maxLength: 140", "maxLength: many"), "not JSON Schema"),
    "schema pattern": (("pattern: ^[1-9][0-9]{3}$", "pattern: '^(?=1)x$'"), "not a pattern"),
    "schema reference": (
        ('{$ref: "#/$defs/address", title: Leveradres}', '{$ref: "#/$defs/adres"}'),
        "leads nowhere",
    ),
    "far reference": (
        ('{$ref: "#/$defs/address", title: Leveradres}', '{$ref: "http://x/y"}'),
        "leads nowhere",
    ),
    "required field": (
        ("required: [applicant, contact", "required: [aplicant, contact"),
        "not a field of the form",
    ),
    "ui field": (('remark: {"ui:widget"', 'remarkk: {"ui:widget"'), "no field 'remarkk'"),
    "translation": (("/properties/contact/title:", "/properties/contract/title:"), "no text stands at"),
    "prefill field": (("field: /contact/email", "field: /contact/mail"), "no field /contact/mail"),
    "prefill source": (("source: contact.phone", "source: magda.phone"), "unknown source 'magda.phone'"),
    "rule syntax": (("when: quota.within_maximum", "when: quota.within_maximum &&"), "not CEL"),
    "rule fact": (("when: quota.within_maximum", "when: qota.within_maximum"), "unknown fact 'qota'"),
    "rule member": (("applicant.address.nis ==", "applicant.adress.nis =="), "has no 'adress'"),
    "rule answer": (
        ("application.delivery.place == 'home'", "application.delivery.plaats == 'home'"),
        "no 'plaats'",
    ),
    "rule type": (
        ("when: cart.size() > 0", "when: cart.size() > '0'"),
        "neither more nor less than '0' (text)",
    ),
    "rule result": (("when: cart.size() > 0", "when: cart.size()"), "not true, false or 'REFER'"),
    "rule for nobody": (("when: quota.within_maximum", "when: 1 > 2"), "nobody ever meets it"),
    "rule without a question": (("when: quota.within_maximum", "when: true || false"), "asks nothing"),
    "rule twice": (("key: within-maximum", "key: resident"), "stands 2 times"),
    "price overlap": (
        (
            "- {from: 2026-01-01, amount: 40.00}",
            "- {from: 2026-01-01, amount: 40.00}\n        - {from: 2026-06-01, amount: 45.00}",
        ),
        "two prices on 2026-06-01",
    ),
    "price gap": (
        (
            "- {from: 2026-01-01, amount: 40.00}",
            "- {from: 2026-01-01, to: 2026-05-30, amount: 40}\n        - {from: 2026-06-01, amount: 45}",
        ),
        "no price from 2026-05-31 until 2026-05-31",
    ),
    "price ends": (
        ("{from: 2026-01-01, amount: 40.00}", "{from: 2026-01-01, to: 2026-12-31, amount: 40.00}"),
        "no price after",
    ),
    "price begins": (
        ("{from: 2026-01-01, amount: 40.00}", "{from: 2026-02-01, amount: 40.00}"),
        "no price from 2026-01-01",
    ),
    "price of thirds": (("amount: 40.00", "amount: 40.005"), "decimal places"),
    "discount": (
        ("first_unit_discount: {amount: 12.00", "first_unit_discount: {amount: 42.00"),
        "more than the price",
    ),
    "product twice": (("- key: vat\n", "- key: bak\n"), "'bak' stands twice"),
    "vat": (
        (
            "        rate: 0\n        exemption_reason:",
            "        rate: 0\n        exemption_reason: null\n        exemption:",
        ),
        "exemption",
    ),
    "placeholder": (
        ("Uw factuur staat klaar.", "Uw factuur {number} staat klaar."),
        "placeholder '{number}' is not known",
    ),
    "placeholder code": (
        ("Uw factuur staat klaar.", "Uw factuur {amount.real} staat klaar."),
        "is not known",
    ),
    "placeholder subject": (
        ("nl: Uw levering is gepland ({reference})", "nl: Uw levering is gepland {slot}"),
        "cannot stand here",
    ),
    "brace": (("Uw factuur staat klaar.", "Uw factuur {staat klaar."), "braces (nl)"),
    "unmotivated": (("          - {legal}\n\n          U hoeft", "          U hoeft"), "must name {legal}"),
    "no appeal": (
        (
            "          {appeal}\n        en: |\n          On {submitted_on}",
            "        en: |\n          On {submitted_on}",
        ),
        "{appeal}",
    ),
    "unknown event": (("    REFUNDED:\n", "    REFUNDD:\n"), "REFUNDD"),
    "joins nothing": (
        ("joins: [SUBMITTED, APPROVED, PAID, INVOICE_CREDITED]", "joins: [SUBMITTED, ASSIGNED]"),
        "ASSIGNED has no message",
    ),
    "dosis code": (("code: Ingediend", "code: Binnen"), "DOSIS has no code 'Binnen'"),
    "dosis phase": (("phase: Samenstelling", "phase: Begin"), "DOSIS has no phase 'Begin'"),
    "dosis end": (
        (
            "DELIVERED: {code: Uitgevoerd, phase: Uitvoering}",
            "DELIVERED: {code: Uitgevoerd, phase: Afgerond}",
        ),
        "the case goes on",
    ),
    "retention": (("  WITHDRAWN: {years: 2}\n", ""), "ended as WITHDRAWN"),
    "retention open": (
        ("  WITHDRAWN: {years: 2}\n", "  WITHDRAWN: {years: 2}\n  RECEIVED: {years: 2}\n"),
        "not the end of a case",
    ),
    "phase": (("stages: [screening, decision]\n", "stages: [screening]\n"), "'decision' belongs to no phase"),
    "drafts": (("    drafts: true\n", ""), "exactly one phase"),
    "validity": (
        ("valid_from: 2026-01-01\n", "valid_from: 2026-01-01\nvalid_to: 2025-01-01\n"),
        "lies before",
    ),
    "reminder": (("    - after_days: 20\n", "    - after_days: 70\n"), "after unpaid_after_days"),
    "reminders": (("    - after_days: 20\n", "    - after_days: 4\n"), "in order, each day once"),
    "notice": (
        ("default_notice: {after_days: 35", "default_notice: {after_days: 20"),
        "after the last reminder",
    ),
    "costs": (
        ("amount: 5.00}]", "amount: 5.00}, {from: 2026-01-01, amount: 6.00}]"),
        "two costs on 2026-01-01",
    ),
    "untold cost": (("          - Kosten van deze herinnering: {cost}\n", ""), "must name {cost}"),
    "slot reminder": (("reminder_days: 7\n  hold", "reminder_days: 70\n  hold"), "too late to choose"),
    "no rules": (("  approval:\n", "  approvals:\n"), "'approvals' is not known"),
}


ABSENT = {"missing word", "unmotivated", "no appeal", "phase", "untold cost"}
"""What is not there has no line: the fault names the part in which it is missing."""


def test_a_notice_of_default_needs_words_and_what_costs_needs_a_regulation() -> None:
    unsaid = faults(("    DEFAULT_NOTICE_SENT:\n", "    WRITTEN_OFF:\n"))
    assert any("whoever must pay must be told" in one.reason for one in unsaid)
    basis = TEXT[TEXT.index("  costs_legal_basis:") : TEXT.index("  unpaid_after_days:")]
    baseless = faults((basis, ""))
    assert ["rests on a regulation" in one.reason for one in baseless] == [True]


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_file_is_refused_and_says_where_and_why(name: str) -> None:
    change, reason = CASES[name]
    found = [one for one in faults(change) if reason in one.reason]
    assert found, faults(change)
    both = zip(TEXT.split("\n"), changed(change).split("\n"), strict=False)
    at = next(number for number, (old, new) in enumerate(both, 1) if old != new)
    assert min(abs(one.line - at) for one in found) <= (25 if name in ABSENT else 3)


def test_a_text_that_is_only_half_translated_is_refused() -> None:
    dutch = "        nl: Uw bestelling is geleverd ({reference})"
    one = fault((dutch, f"        de: Ihre Bestellung ist da ({{reference}})\n{dutch}"))
    assert (one.line, one.reason) == (line_of("    DELIVERED:\n"), "the text is in 'de' only in part")


# --- versions ---------------------------------------------------------------------------------


def test_comments_and_layout_do_not_change_the_hash_but_words_do(definition: Definition) -> None:
    same = publishing.parse("# a remark\n" + TEXT.replace("{years: 10}", "{  years:  10  }"), "other.yaml")
    other = publishing.parse(changed(("amount: 40.00", "amount: 41.00")), "file.yaml")
    assert same.sha256 == definition.sha256 != other.sha256
    assert re.fullmatch(r"[0-9a-f]{64}", definition.sha256)
    assert definition.source == TEXT


def test_of_several_versions_the_one_valid_on_the_day_counts(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        changed(("valid_from: 2026-01-01\n", "valid_from: 2026-01-01\nvalid_to: 2026-12-31\n")), "utf-8"
    )
    (tmp_path / "two.yaml").write_text(
        changed(("version: 1", "version: 2"), ("valid_from: 2026-01-01", "valid_from: 2027-01-01")), "utf-8"
    )
    versions = publishing.load_all([tmp_path])["compost-bin"]
    assert [one.version for one in versions] == [2, 1]
    day = versions[0].valid_from
    chosen = [
        publishing.current(versions, on) for on in (day, day.replace(year=2026), day.replace(year=2025))
    ]
    assert [one.version if one else None for one in chosen] == [2, 1, None]


def test_the_same_version_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(TEXT, "utf-8")
    with pytest.raises(DefinitionError, match="is also in"):
        publishing.load_all([tmp_path])


def test_the_faults_of_all_files_come_together(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(changed(("version: 1", "version: 0")), "utf-8")
    (tmp_path / "two.yaml").write_text(changed(("code: Ingediend", "code: Binnen")), "utf-8")
    with pytest.raises(DefinitionError) as refused:
        publishing.load_all([tmp_path])
    assert {Path(one.file).name for one in refused.value.faults} == {"one.yaml", "two.yaml"}


def test_a_published_definition_cannot_be_changed(definition: Definition) -> None:
    with pytest.raises(ValueError, match="frozen"):
        definition.version = 2  # type: ignore[misc]  # that is the point


def test_every_end_of_a_case_says_how_long_it_is_kept(definition: Definition) -> None:
    assert definition.retention[Status.COMPLETED].years == 10


# --- many faults in one file ------------------------------------------------------------------

PLANTED: dict[str, tuple[str, str, str, str]] = {
    # kind: what stands there, what is planted, where the finding points, what it names
    "a word for a number": (
        "version: 1\n",
        "version: one\n",
        "version: one",
        "version: must be a whole number",
    ),
    "a missing key": ('ipdc_product_id: "1446"\n', "", "key: compost-bin", "'ipdc_product_id' is missing"),
    "an unknown key": ("reference_prefix: CB", "reference_prefix: CB\ncolour: blue", "colour:", "'colour'"),
    "a part for no stage": (
        "screening: {by: rule}\n",
        "screening: {by: rule}\nassessment: {by: rule}\n",
        "assessment: {by: rule}",
        "nothing reads 'assessment': there is no stage 'assessment'",
    ),
    "a reminder too late": (
        "reminder_days: 7\n  hold",
        "reminder_days: 70\n  hold",
        "reminder_days: 70",
        "the reminder comes too late to choose",
    ),
    "a phase with a stage too many": (
        "stages: [payment]",
        "stages: [payment, payout]",
        "payout]",
        "the procedure has no stage 'payout'",
    ),
    "a phase with an event that never happens": (
        "events: [COMPLETED]",
        "events: [COMPLETED, PAID_OUT]",
        "PAID_OUT]",
        "PAID_OUT never happens in this procedure: it needs the stage 'payout'",
    ),
    "a keyword": ("maxLength: 140", "maxLenght: 140", "maxLenght: 140", "'maxLenght' is not a keyword"),
    "a prefilled field": (
        "field: /contact/phone",
        "field: /contact/telephone",
        "field: /contact/telephone",
        "no field /contact/telephone",
    ),
    "a source": (
        "source: magda.person.address.box",
        "source: magda.person.address.bus",
        "source: magda.person.address.bus",
        "unknown source 'magda.person.address.bus'",
    ),
    "days without a price": (
        "- {from: 2026-01-01, amount: 40.00}",
        "- {from: 2026-01-01, to: 2026-05-30, amount: 40.00}\n        - {from: 2026-07-01, amount: 45.00}",
        "from: 2026-07-01, amount: 45.00",
        "no price from 2026-05-31 until 2026-06-30",
    ),
    "a fact": ("when: quota.within_maximum", "when: qota.within_maximum", "when: qota", "fact 'qota'"),
    "a number for a text": (
        "when: applicant.address.nis == municipality.nis",
        "when: applicant.address.nis == 13999",
        "when: applicant.address.nis == 13999",
        "'applicant.address.nis' (text) is never equal to 13999 (a whole number)",
    ),
    "an answer that nobody can give": (
        "application.delivery.place == 'home'",
        "application.delivery.place == 'huis'",
        "when: >-\n        application.delivery.place",
        "'application.delivery.place' is never 'huis'; it is one of: home, other",
    ),
    "a refusal without its law": (
        "Waarop wij ons baseren:\n\n          - {legal}\n",
        "Waarop wij ons baseren:\n\n          - Het reglement.\n",
        "body:\n        nl: |\n          Op {submitted_on} vroeg u een compostbak of compostvat aan. Uw",
        "the text (nl) must name {legal}",
    ),
    "a placeholder": (
        "Uw factuur staat klaar.",
        "Uw factuur {number} staat klaar.",
        "body:\n        nl: |\n          Uw factuur {number}",
        "the placeholder '{number}' is not known here (nl)",
    ),
    "an event without its text": (
        "    SLOT_NEEDED:\n      joins",
        "    DELIVERY_PENDING:\n      joins",
        "messages:\n    SUBMITTED",
        "SLOT_NEEDED has no message: the applicant must be told",
    ),
    "an event that never happens": (
        "  PAID: {code: Betaald, phase: Uitvoering}",
        "  PAID: {code: Betaald, phase: Uitvoering}\n  PAYOUT_DUE: {code: Betaald, phase: Uitvoering}",
        "PAYOUT_DUE:",
        "PAYOUT_DUE never happens in this procedure: it needs the stage 'payout'",
    ),
    "a code": ("code: Ontvankelijk,", "code: Toegelaten,", "code: Toegelaten", "no code 'Toegelaten'"),
    "an end that is kept for no time": (
        "  WITHDRAWN: {years: 2}\n",
        "",
        "retention:\n",
        "how long is a case kept that ended as WITHDRAWN?",
    ),
}


def place_of(marker: str, text: str) -> tuple[int, int]:
    """Line and column, from 1, of what stands in `text` once."""
    assert text.count(marker) == 1, (marker, text.count(marker))
    before = text[: text.index(marker)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def test_twenty_planted_faults_are_twenty_findings_each_in_its_place() -> None:
    text = changed(*((old, new) for old, new, _, _ in PLANTED.values()))
    with pytest.raises(DefinitionError) as refused:
        publishing.parse(text, "file.yaml")
    found = refused.value.faults
    expected = {
        (*place_of(marker, text), next((one.reason for one in found if named in one.reason), named))
        for _, _, marker, named in PLANTED.values()
    }
    assert {(one.line, one.column, one.reason) for one in found} == expected
    assert len(found) == len(PLANTED) == 20


@pytest.mark.parametrize("kind", PLANTED)
def test_a_fault_that_is_planted_alone_is_the_only_finding(kind: str) -> None:
    old, new, marker, named = PLANTED[kind]
    one = fault((old, new))
    assert named in one.reason
    assert (one.line, one.column) == place_of(marker, changed((old, new)))


# --- any key, wrong or missing ----------------------------------------------------------------


def keys_of(text: str) -> list[tuple[int, int, int]]:
    """Of each key in a YAML text: where it begins and ends, and where its value ends."""
    found: list[tuple[int, int, int]] = []

    def walk(node: Node) -> None:
        if isinstance(node, MappingNode):
            for key, value in node.value:
                found.append((key.start_mark.index, key.end_mark.index, value.end_mark.index))
                walk(value)
        elif isinstance(node, SequenceNode):
            for one in node.value:
                walk(one)

    walk(YAML(typ="safe", pure=True).compose(text))
    return found


def published_or_refused(text: str) -> None:
    """Never anything else than a procedure, or findings that lie within the file."""
    try:
        publishing.parse(text, "file.yaml")
    except DefinitionError as refused:
        lines = text.split("\n")
        for one in refused.faults:
            assert 1 <= one.line <= len(lines), one
            assert 1 <= one.column <= len(lines[one.line - 1]) + 1, one
            assert one.reason, one


SMALLEST = re.findall(
    r"^```yaml\n(key: .*?)^```$",
    (SOURCE.parents[1] / "README.md").read_text("utf-8"),
    re.DOTALL | re.MULTILINE,
)[0]


def some_keys(text: str, number: int) -> list[tuple[int, int, int]]:
    """The same ones each time, from all over the file."""
    return random.Random(len(text)).sample(keys_of(text), number)


def test_no_key_of_a_procedure_can_be_renamed_without_an_answer() -> None:
    for begin, _, _ in some_keys(SMALLEST, 30):
        published_or_refused(f"{SMALLEST[:begin]}x{SMALLEST[begin:]}")


def test_no_key_of_a_procedure_can_be_left_out_without_an_answer() -> None:
    for begin, _, end in some_keys(SMALLEST, 30):
        published_or_refused(f"{SMALLEST[:begin]}{SMALLEST[end:].lstrip(', ')}")


def test_no_value_of_a_procedure_can_be_emptied_without_an_answer() -> None:
    for _, end, last in some_keys(SMALLEST, 15):
        for value in (": null\n", ": [3]\n", ": {x: 3}\n"):
            published_or_refused(f"{SMALLEST[:end]}{value}{SMALLEST[last:]}")


@pytest.mark.parametrize("path", sorted(FILE.parent.glob("*.yaml")), ids=lambda path: str(path.stem))
def test_of_what_is_shipped_any_key_can_be_wrong(path: Path) -> None:
    text = path.read_text("utf-8")
    for begin, _, end in some_keys(text, 3):
        published_or_refused(f"{text[:begin]}x{text[begin:]}")
        published_or_refused(f"{text[:begin]}{text[end:].lstrip(', ')}")


@pytest.mark.parametrize(
    "form",
    [
        "{properties: {name: 3}}",
        "{type: object, properties: null}",
        "{type: object, properties: {name: [1]}}",
        "{type: object, required: name, properties: {}}",
    ],
)
def test_a_form_that_is_no_schema_is_refused_and_no_more_is_said_of_it(form: str) -> None:
    start, end = SMALLEST.index("  schema:\n"), SMALLEST.index("  prefill:")
    with pytest.raises(DefinitionError) as refused:
        publishing.parse(f"{SMALLEST[:start]}  schema: {form}\n{SMALLEST[end:]}", "file.yaml")
    assert all(one.reason.startswith("not JSON Schema") for one in refused.value.faults)


# --- a form that would keep everybody busy ----------------------------------------------------


def _deeper(levels: int, word: str) -> str:
    """A form of a few lines that says a thousand times the same: each part refers twice to the next."""
    parts = [
        f"p{level}: {{{word}: [{{$ref: '#/$defs/p{level + 1}'}}, {{$ref: '#/$defs/p{level + 1}'}}]}}"
        for level in range(levels)
    ]
    whole = ", ".join([*parts, f"p{levels}: {{type: object}}"])
    return f"{{type: object, properties: {{}}, $defs: {{{whole}}}, allOf: [{{$ref: '#/$defs/p0'}}]}}"


def _within(levels: int) -> str:
    """What stands in it is looked at twice at each level."""
    form = "{type: object}"
    for _ in range(levels):
        form = f"{{allOf: [{form}], unevaluatedProperties: false}}"
    return f"{{type: object, properties: {{}}, allOf: [{form}]}}"


@pytest.mark.parametrize(
    "form",
    [
        _deeper(40, "anyOf"),
        _deeper(12, "allOf"),
        _within(9),
        "{type: object, properties: {}, $defs: {a: {allOf: [{$ref: '#/$defs/a'}]}}, $ref: '#/$defs/a'}",
        "{type: object, properties: {}, $defs: {a: {properties: {b: {$ref: '#/$defs/a'}}}}}",
    ],
)
def test_a_form_without_an_end_is_refused_at_once(form: str) -> None:
    start, end = SMALLEST.index("  schema:\n"), SMALLEST.index("  prefill:")
    with pytest.raises(DefinitionError) as refused:
        publishing.parse(f"{SMALLEST[:start]}  schema: {form}\n{SMALLEST[end:]}", "file.yaml")
    assert ["or one refers to itself" in one.reason for one in refused.value.faults] == [True]


def test_patterns_that_keep_everybody_busy_are_not_looked_through_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is within what one pattern may take: together they would take minutes."""
    monkeypatch.setattr(publishing, "MAX_SECONDS", 0.5)
    fields = ", ".join(f"f{number}: {{type: string, pattern: '(\\w{{10}}){{9}}'}}" for number in range(300))
    start, end = SMALLEST.index("  schema:\n"), SMALLEST.index("  prefill:")
    text = f"{SMALLEST[:start]}  schema: {{type: object, properties: {{{fields}}}}}\n{SMALLEST[end:]}"
    began = time.thread_time()
    with pytest.raises(DefinitionError) as refused:
        publishing.parse(text, "file.yaml")
    assert any("too long to look through" in one.reason for one in refused.value.faults)
    assert time.thread_time() - began < 5


async def test_nothing_that_a_form_refers_to_is_fetched() -> None:
    """A definition comes from whoever may try one: it sends this server nowhere."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as elsewhere:
        port = elsewhere.sockets[0].getsockname()[1]
        form = {
            "$id": f"http://127.0.0.1:{port}/form",
            "type": "object",
            "properties": {"name": {"type": "string"}, "other": {"$ref": "/properties/name"}},
        }
        said = json.dumps(form)
        start, end = SMALLEST.index("  schema:\n"), SMALLEST.index("  prefill:")
        with pytest.raises(DefinitionError) as refused:
            publishing.parse(f"{SMALLEST[:start]}  schema: {said}\n{SMALLEST[end:]}", "file.yaml")
        reasons = " ".join(one.reason for one in refused.value.faults)
        assert "'$id' is not a keyword" in reasons
        assert "'/properties/name' leads nowhere" in reasons
        # also not what was published before that was refused
        definition = publishing.load(FILE)
        older = definition.model_copy(
            update={"form": definition.form.model_copy(update={"json_schema": form})}
        )
        with pytest.raises(Unresolvable):
            await asyncio.to_thread(validate_answers, older, {"other": "x"}, "nl")
    assert asked == []
