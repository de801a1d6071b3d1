"""Payment files: the official schemas accept what we write, and what banks say is read as they said it."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sepaxml  # type: ignore[import-untyped]  # no py.typed
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree
from lxml.etree import _Element
from stdnum import iban as iban_oracle
from stdnum import iso11649

from loket import pain, sepa
from loket.numbers import structured_reference
from loket.pain import Status, Transfer, TransferBatch, UnreadableReport, Version, read_status, write
from loket.sepa import check_iban, in_sepa_characters, masked_iban

SCHEMAS = {
    version: etree.XMLSchema(
        etree.parse(Path(sepaxml.__file__).parent / "schemas" / f"{version}.xsd", etree.XMLParser())
    )
    for version in Version
}
ID = UUID("01943b0a-7c1e-7d2a-9c56-3a1f0b7e4d10")
SEPA_SET = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-?:().,'+ ")


def transfer(**changes: object) -> Transfer:
    wanted: dict[str, Any] = {
        "end_to_end_id": pain.end_to_end_id(ID),
        "amount": Decimal("250.00"),
        "creditor_name": "Zoë Müller & Søn 🌱",
        "creditor_iban": "BE68 5390 0754 7034",
        "remittance": "Premie SP-2026-7KQ3M9-X",
        "purpose": "SSBE",
    }
    return Transfer(**{**wanted, **changes})


def batch(*transfers: Transfer, **changes: object) -> TransferBatch:
    wanted: dict[str, Any] = {
        "message_id": "SP-20261122-1",
        "payment_id": "SP-20261122-1-1",
        "created_at": datetime(2026, 11, 22, 9, 15, 2, 999, tzinfo=UTC),
        "execute_on": date(2026, 11, 24),
        "initiator_name": "Gemeente Lindebeke",
        "enterprise_number": "0207500123",
        "debtor_name": "Gemeente Lindebeke",
        "debtor_iban": "BE71096123456769",
        "debtor_bic": "GKCCBEBB",
        "transfers": transfers or (transfer(),),
    }
    return TransferBatch(**{**wanted, **changes})


def parsed(xml: bytes, version: Version) -> _Element:
    root: _Element = etree.fromstring(xml)
    SCHEMAS[version].assertValid(root)
    return root


def said(root: _Element, path: str) -> list[str]:
    return [
        one.text or "" for one in root.iterfind(".//" + "/".join(f"{{*}}{name}" for name in path.split("/")))
    ]


# ── pain.001 ──────────────────────────────────────────────────────────────────────────────────────────


def belgian_iban(number: int) -> str:
    account = f"{number:010d}{number % 97 or 97:02d}"
    return f"BE{iban_oracle.calc_check_digits(f'BE00{account}')}{account}"


def iso_reference(body: str) -> str:
    remainder = int("".join(str(int(one, 36)) for one in f"{body}RF00")) % 97
    return f"RF{98 - remainder:02d}{body}"


IDS = st.uuids(version=4).map(pain.end_to_end_id)
WORDS = st.text(max_size=150)
"""Every script, emoji, control characters and XML's own signs."""
NAMES = st.builds(
    "{}{}".format, st.sampled_from(["An ", "é", "Ж", "محمد", "张", "김", "ζ", "אברהם", "&A<"]), WORDS
)
REMITTANCES = st.one_of(
    st.fixed_dictionaries({"remittance": WORDS}),
    st.fixed_dictionaries({"structured": st.integers(1, 10**10 - 1).map(structured_reference)}),
    st.fixed_dictionaries(
        {"structured": st.from_regex(r"[A-Z0-9]{1,21}", fullmatch=True).map(iso_reference)}
    ),
)
TRANSFERS = st.builds(
    lambda remittance, **rest: Transfer(**rest, **remittance),
    end_to_end_id=IDS,
    amount=st.decimals(min_value="0.01", max_value=sepa.HIGHEST, places=2),
    creditor_name=NAMES,
    creditor_iban=st.one_of(
        st.integers(0, 10**10 - 1).map(belgian_iban),
        st.sampled_from(["DE89370400440532013000", "NO93 8601 1117 947", "mt84malt011000012345mtlcast001s"]),
    ),
    purpose=st.sampled_from([None, "SSBE"]),
    remittance=REMITTANCES,
)
BATCHES = st.builds(
    batch,
    message_id=st.from_regex(r"[A-Za-z0-9+?(]([A-Za-z0-9 :.,'-]{0,33}[A-Za-z0-9)])?", fullmatch=True),
    created_at=st.datetimes(min_value=datetime(1000, 1, 2), timezones=st.just(UTC)),  # noqa: DTZ001  # a bound
    execute_on=st.dates(min_value=date(1000, 1, 1)),
    initiator_name=NAMES,
    debtor_name=NAMES,
    debtor_bic=st.sampled_from([None, "GKCCBEBB", "KREDBEBB123"]),
    transfers=st.lists(TRANSFERS, min_size=1, max_size=3, unique_by=lambda one: one.end_to_end_id).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(BATCHES, st.sampled_from(Version))
@example(batch(transfer(creditor_name="&<" + "ß" * 100, remittance="]]>\x00\ud7ff" * 40)), Version.V09)
def test_every_batch_becomes_a_file_that_the_official_schema_accepts(
    made: TransferBatch, version: Version
) -> None:
    root = parsed(write(made, version), version)
    amounts = [Decimal(text) for text in said(root, "InstdAmt")]
    assert amounts == [one.amount for one in made.transfers]
    assert said(root, "CtrlSum") == [f"{sum(amounts):.2f}"] * 2
    assert said(root, "NbOfTxs") == [str(len(amounts))] * 2
    assert said(root, "EndToEndId") == [one.end_to_end_id for one in made.transfers]
    assert said(root, "CdtrAcct/Id/IBAN") == [check_iban(one.creditor_iban) for one in made.transfers]
    for text in said(root, "Nm") + said(root, "Ustrd"):
        assert set(text) <= SEPA_SET
        assert text == text.strip()
        assert "//" not in text
    assert all(1 <= len(name) <= 70 for name in said(root, "Nm"))


@settings(max_examples=15, deadline=None)
@given(BATCHES, st.sampled_from(Version))
def test_the_same_batch_makes_the_same_file(made: TransferBatch, version: Version) -> None:
    elsewhere = made.created_at.astimezone(timezone(timedelta(hours=1)))
    assert write(made, version) == write(replace(made, created_at=elsewhere), version)


def test_a_premium_as_the_bank_reads_it() -> None:
    root = parsed(write(batch(), Version.V09), Version.V09)
    assert said(root, "MsgId") == ["SP-20261122-1"]
    assert said(root, "PmtInfId") == ["SP-20261122-1-1"]
    assert said(root, "CreDtTm") == ["2026-11-22T09:15:02Z"]
    assert said(root, "InitgPty/Id/OrgId/Othr/Id") == ["0207500123"]
    assert said(root, "InitgPty/Id/OrgId/Othr/Issr") == ["KBO-BCE"]
    assert said(root, "PmtTpInf/SvcLvl/Cd") == ["SEPA"]
    assert said(root, "ReqdExctnDt/Dt") == ["2026-11-24"]
    assert said(root, "DbtrAcct/Id/IBAN") == ["BE71096123456769"]
    assert said(root, "DbtrAgt/FinInstnId/BICFI") == ["GKCCBEBB"]
    assert said(root, "ChrgBr") == ["SLEV"]
    assert said(root, "InstdAmt") == ["250.00"]
    assert [one.get("Ccy") for one in root.iterfind(".//{*}InstdAmt")] == ["EUR"]
    assert said(root, "Cdtr/Nm") == ["Zoe Muller + Son"]
    assert said(root, "Purp/Cd") == ["SSBE"]
    assert said(root, "Ustrd") == ["Premie SP-2026-7KQ3M9-X"]


def test_the_older_version_has_its_own_names_for_bank_and_day() -> None:
    root = parsed(write(batch(), Version.V03), Version.V03)
    assert said(root, "ReqdExctnDt") == ["2026-11-24"]
    assert said(root, "DbtrAgt/FinInstnId/BIC") == ["GKCCBEBB"]
    without = parsed(write(batch(debtor_bic=None), Version.V03), Version.V03)
    assert said(without, "DbtrAgt/FinInstnId/Othr/Id") == ["NOTPROVIDED"]


@pytest.mark.parametrize(("reference", "issuer"), [("090933755493", "BBA"), ("RF18539007547034", "ISO")])
def test_a_structured_reference_takes_the_place_of_words(reference: str, issuer: str) -> None:
    assert issuer == "BBA" or iso11649.is_valid(reference)
    made = batch(transfer(remittance="", structured=reference))
    root = parsed(write(made, Version.V09), Version.V09)
    assert said(root, "CdtrRefInf/Ref") == [reference]
    assert said(root, "CdtrRefInf/Tp/CdOrPrtry/Cd") == ["SCOR"]
    assert said(root, "CdtrRefInf/Tp/Issr") == [issuer]
    assert said(root, "Ustrd") == []


@pytest.mark.parametrize("amount", ["0", "-0.01", "0.001", "10.005", "1000000000.00", "NaN", "Infinity"])
def test_what_is_no_amount_is_never_transferred(amount: str) -> None:
    with pytest.raises(sepa.WrongAmount):
        transfer(amount=Decimal(amount))


def test_the_smallest_and_the_highest_amount_are_written_whole() -> None:
    two = [transfer(amount=Decimal(one), end_to_end_id=one) for one in ("0.01", "999999999.99")]
    assert said(parsed(write(batch(*two)), Version.V09), "InstdAmt") == ["0.01", "999999999.99"]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"end_to_end_id": ""}, sepa.WrongId),
        ({"end_to_end_id": str(ID)}, sepa.WrongId),
        ({"end_to_end_id": "/a"}, sepa.WrongId),
        ({"end_to_end_id": "a/"}, sepa.WrongId),
        ({"end_to_end_id": "a//b"}, sepa.WrongId),
        ({"end_to_end_id": "a_b"}, sepa.WrongId),
        ({"end_to_end_id": "a\n"}, sepa.WrongId),
        ({"end_to_end_id": " a"}, sepa.WrongId),
        ({"creditor_iban": "BE68539007547035"}, sepa.WrongIban),
        ({"creditor_name": "🌱"}, sepa.WrongText),
        ({"creditor_name": " . "}, sepa.WrongText),
        ({"structured": "090933755493"}, sepa.WrongText),
        ({"remittance": "", "structured": "090933755494"}, sepa.WrongText),
        ({"remittance": "", "structured": "RF19539007547034"}, sepa.WrongText),
        ({"purpose": "ssbe"}, sepa.WrongText),
    ],
)
def test_a_transfer_that_no_bank_would_take_cannot_be_made(
    change: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        transfer(**change)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"transfers": ()}, sepa.NoTransfers),
        ({"transfers": (transfer(), transfer(amount=Decimal(1)))}, sepa.WrongId),
        ({"message_id": "x" * 36}, sepa.WrongId),
        ({"payment_id": "x" * 36}, sepa.WrongId),
        ({"debtor_iban": "BE71096123456768"}, sepa.WrongIban),
        ({"debtor_bic": "GKCCBE"}, sepa.WrongBic),
        ({"enterprise_number": "0207.500.123"}, sepa.WrongText),
        ({"initiator_name": ""}, sepa.WrongText),
        ({"created_at": datetime(2026, 11, 22)}, sepa.WrongText),  # noqa: DTZ001  # the fault itself
    ],
)
def test_a_batch_that_no_bank_would_take_cannot_be_made(
    change: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind) as refused:
        batch(**change)
    assert isinstance(refused.value, ValueError)


@given(st.uuids())
def test_a_payouts_id_survives_the_banks_in_either_case(id: UUID) -> None:
    assert pain.payout_id(pain.end_to_end_id(id)) == id
    assert pain.payout_id(pain.end_to_end_id(id).upper()) == id


@pytest.mark.parametrize("text", ["", "NOTPROVIDED", str(ID), "0" * 31, "٣" * 32])
def test_an_id_that_is_not_ours_is_nobodys(text: str) -> None:
    assert pain.payout_id(text) is None


# ── names and accounts ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Zoë Müller-Çelik", "Zoe Muller-Celik"),
        ("O’Brien & Zonen_BV <nv>", "O'Brien + Zonen-BV .nv."),
        ("Наталья Шевченко", "Natal'ya Shevchenko"),
        ("Ελένη", "Eleni"),
        ("김민준", "GimMinJun"),
        ("An 👩🏽‍🌾\tPeeters\n", "An Peeters"),
        ("//c/o//An/", "c/o/An"),
        ("x" * 69 + " y", "x" * 69),
    ],
)
def test_a_name_of_any_script_reaches_the_bank_in_letters(name: str, written: str) -> None:
    assert in_sepa_characters(name, 70) == written


@pytest.mark.parametrize(
    ("text", "compact"),
    [
        ("BE68 5390 0754 7034", "BE68539007547034"),
        ("be68-5390-0754-7034", "BE68539007547034"),
        ("NL91ABNA0417164300", "NL91ABNA0417164300"),
        ("MT84MALT011000012345MTLCAST001S", "MT84MALT011000012345MTLCAST001S"),
    ],
)
def test_an_account_number_is_kept_in_its_electronic_form(text: str, compact: str) -> None:
    assert check_iban(text) == compact


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not an IBAN"),
        ("BE68539007547035", "check digits"),
        ("BE6853900754703", "check digits"),
        ("BE41539007547035", "check digits of the Belgian account"),
        ("BE٦٨539007547034", "not an IBAN"),
        ("TR330006100519786457841326", "TR does not take part"),
        ("XX68539007547034", "check digits"),
    ],
)
def test_an_account_that_no_transfer_reaches_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(sepa.WrongIban, match=why) as refused:
        check_iban(text)
    assert "5390" not in str(refused.value)


@given(st.integers(0, 10**10 - 1), st.integers(0, 15), st.sampled_from("0123456789"))
def test_one_wrong_digit_in_an_account_number_is_always_noticed(number: int, at: int, digit: str) -> None:
    right = belgian_iban(number)
    wrong = right[:at] + digit + right[at + 1 :]
    assert check_iban(right) == right
    if wrong != right:
        with pytest.raises(sepa.WrongIban):
            check_iban(wrong)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("BE68539007547034", "BE68 **** **** 7034"),
        ("be68 5390 0754 7034", "BE68 **** **** 7034"),
        ("NO9386011117947", "NO93 **** ***7 947"),
        ("short", "**** *"),
    ],
)
def test_an_account_number_is_shown_without_its_middle(text: str, shown: str) -> None:
    assert masked_iban(text) == shown


def test_a_banks_reason_is_told_in_the_readers_language() -> None:
    assert sepa.reason("AC04", "nl") == "De rekening is afgesloten."
    assert sepa.reason("ac04", "en") == "The account is closed."
    assert sepa.reason("AC04", "fr") == "De rekening is afgesloten."
    assert "ZZ{9}" in sepa.reason("ZZ{9}", "nl")
    for sentences in sepa.REASONS.values():
        assert set(sentences) == {"nl", "en"}
        assert all(sentence.endswith(".") for sentence in sentences.values())


# ── pain.002 ──────────────────────────────────────────────────────────────────────────────────────────


def report(
    payments: str = "", group: str = "<GrpSts>PART</GrpSts>", version: str = "10", head: str = ""
) -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?>{head}
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.{version}"><CstmrPmtStsRpt>
<GrpHdr><MsgId>BANK-1</MsgId><CreDtTm>2026-11-24T06:00:00+01:00</CreDtTm></GrpHdr>
<OrgnlGrpInfAndSts><OrgnlMsgId>SP-20261122-1</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>{group}
</OrgnlGrpInfAndSts>{payments}</CstmrPmtStsRpt></Document>""".encode()


def payment(*transactions: str, status: str = "") -> str:
    told = f"<OrgnlPmtInfId>P</OrgnlPmtInfId>{status}{''.join(transactions)}"
    return f"<OrgnlPmtInfAndSts>{told}</OrgnlPmtInfAndSts>"


def transaction(id: str, status: str = "", rest: str = "") -> str:
    told = f"<TxSts>{status}</TxSts>" if status else ""
    return f"<TxInfAndSts><OrgnlEndToEndId>{id}</OrgnlEndToEndId>{told}{rest}</TxInfAndSts>"


CLOSED = "<StsRsnInf><Rsn><Cd>AC04</Cd></Rsn><AddtlInf>afgesloten</AddtlInf></StsRsnInf>"


@pytest.mark.parametrize("version", ["03", "10"])
def test_what_became_of_each_transfer_is_read(version: str) -> None:
    amount = '<OrgnlTxRef><Amt><InstdAmt Ccy="EUR">250.0</InstdAmt></Amt></OrgnlTxRef>'
    day = "<AccptncDtTm>2026-11-23T23:30:00Z</AccptncDtTm>"
    told = payment(transaction("a", "ACSC", day + amount), transaction("b", "RJCT", CLOSED))
    heard = read_status(report(told, version=version))
    assert (heard.original_message_id, heard.group_status) == ("SP-20261122-1", Status.PART)
    assert heard.reported_on == date(2026, 11, 24)
    paid, refused = heard.transactions
    assert (paid.end_to_end_id, paid.status, paid.amount) == ("a", Status.ACSC, Decimal("250.00"))
    assert paid.settled_on == date(2026, 11, 23)
    assert (refused.status, refused.reason_codes, refused.details) == (
        Status.RJCT,
        ("AC04",),
        ("afgesloten",),
    )


@pytest.mark.parametrize("status", [one for one in Status if one is not Status.UNKNOWN])
def test_every_status_of_a_bank_has_its_own_meaning(status: Status) -> None:
    (one,) = read_status(report(payment(transaction("a", status)))).transactions
    assert one.status is status


@pytest.mark.parametrize("raw", ["ACSX", "acsc", "UNKNOWN", "ACSC RJCT", ""])
def test_a_status_that_we_do_not_know_is_never_guessed(raw: str) -> None:
    (one,) = read_status(report(payment(transaction("a", raw)), group="")).transactions
    assert (one.status, one.raw_status) == (Status.UNKNOWN, raw)


def test_a_transfer_without_a_word_of_its_own_shares_its_payments_fate_else_the_groups() -> None:
    whole = "<GrpSts>ACSC</GrpSts>"
    refused = payment(transaction("b"), status=f"<PmtInfSts>RJCT</PmtInfSts>{CLOSED}")
    heard = read_status(report(payment(transaction("a")) + refused, group=whole))
    assert [(one.status, one.reason_codes) for one in heard.transactions] == [
        (Status.ACSC, ()),
        (Status.RJCT, ("AC04",)),
    ]


@pytest.mark.parametrize(
    ("payments", "group", "status", "codes"),
    [
        ("", f"<GrpSts>RJCT</GrpSts>{CLOSED}", Status.RJCT, ("AC04",)),
        (payment(status=f"<PmtInfSts>RJCT</PmtInfSts>{CLOSED}"), "", Status.RJCT, ("AC04",)),
        (payment(), "<GrpSts>ACSC</GrpSts>", Status.ACSC, ()),
        (payment(), "", Status.UNKNOWN, ()),
        (
            payment(status="<PmtInfSts>RJCT</PmtInfSts>") + payment(status="<PmtInfSts>ACSC</PmtInfSts>"),
            "<GrpSts>PART</GrpSts>",
            Status.PART,
            (),
        ),
    ],
)
def test_a_bank_may_leave_out_the_transfers_and_speak_of_the_file(
    payments: str, group: str, status: Status, codes: tuple[str, ...]
) -> None:
    heard = read_status(report(payments, group=group))
    assert heard.transactions == ()
    assert (heard.unlisted.status, heard.unlisted.reason_codes) == (status, codes)


def test_an_amount_in_another_currency_is_not_taken_for_euro() -> None:
    amount = '<OrgnlTxRef><Amt><InstdAmt Ccy="USD">250.00</InstdAmt></Amt></OrgnlTxRef>'
    (one,) = read_status(report(payment(transaction("a", "ACSC", amount)))).transactions
    assert one.amount is None


BOMB = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]>'
FILE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"<a",
        b"<a/>",
        write(batch()),
        report(head=BOMB),
        report(head=FILE, group="<GrpSts>&x;</GrpSts>"),
        report(group="<GrpSts>&x;</GrpSts>"),
        report().decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        report().replace(b"<OrgnlMsgId>SP-20261122-1</OrgnlMsgId>", b""),
        report() + b" " * pain.REPORT_BYTES,
        report().replace(b"BANK-1", b"\xff"),
    ],
)
def test_what_is_no_status_report_or_a_trap_is_not_read(xml: bytes) -> None:
    with pytest.raises(UnreadableReport):
        read_status(xml)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_a_damaged_report_is_read_or_refused_and_nothing_else(noise: bytes, at: int) -> None:
    whole = report(payment(transaction("a", "ACSC")))
    try:
        read_status(whole[:at] + noise + whole[at:])
    except UnreadableReport:
        return
