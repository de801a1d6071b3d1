"""The day's letters for the printer, and the proof that they were posted.

A batch is a ZIP, the same bytes for the same letters:

    letters.pdf                  all letters behind each other, to be printed in one go
    letters/0001-<reference>.pdf each by itself
    manifest.csv                 sequence; reference; addressee; address_1 … address_6; pages; first_page;
                                 service (REGISTERED or NORMAL); sha256 (of the letter's own file)

Lists are what Excel opens in Belgium: semicolons, UTF-8 with its mark. The number of a registered letter is
bpost's: it comes back with the proof of posting.
"""

import csv
import hashlib
import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from pypdf import PdfReader, PdfWriter
from pypdf.errors import PyPdfError

from loket.paper.sheet import Addressee

ADDRESS_LINES = 6
"""Under the name: what fits the window."""
MANIFEST = (
    "sequence",
    "reference",
    "addressee",
    *(f"address_{number}" for number in range(1, ADDRESS_LINES + 1)),
    "pages",
    "first_page",
    "service",
    "sha256",
)
PROOF = ("sequence", "reference", "registered_number", "posted_on")
LARGEST_PROOF_BYTES = 1_000_000
DELIMITER = ";"
_STAMP = (1980, 1, 1, 0, 0, 0)
"""When a file in the ZIP was made: always the first moment that a ZIP knows."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_S10 = re.compile(r"([A-Z]{2})([0-9]{8})([0-9])([A-Z]{2})")
_S10_WEIGHTS = (8, 6, 4, 2, 3, 5, 9, 7)
_BARCODE = re.compile(r"[0-9]{24}")


class Service(StrEnum):
    """How bpost takes a letter."""

    REGISTERED = "REGISTERED"
    NORMAL = "NORMAL"


@dataclass(frozen=True)
class PrintLetter:
    """A finished letter. `content` is its PDF; `addressee` as in its window."""

    reference: str
    addressee: Addressee
    content: bytes
    service: Service


@dataclass(frozen=True)
class ProofOfPosting:
    """Letter `sequence` of a batch was handed to bpost; `registered_number` without spaces or points."""

    sequence: int
    reference: str
    registered_number: str
    posted_on: date


class ProofRefused(ValueError):
    """Not one line is taken over; `faults` says per line what is wrong."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(faults))


def batch(letters: Sequence[PrintLetter], *, both_sides: bool = False) -> bytes:
    """The ZIP of a print batch, in the order given.

    `both_sides` adds an empty page after an odd number of pages, so that each letter begins on its own sheet.
    Takes some milliseconds a page: not for the event loop.

    Raises:
        ValueError: there are no letters, one has no reference, no address or too long a one, or is no PDF.
    """
    if not letters:
        raise ValueError("a batch without letters")
    for letter in letters:
        _check(letter)
    whole = PdfWriter()
    rows: list[tuple[object, ...]] = []
    for sequence, letter in enumerate(letters, start=1):
        reader = _opened(letter)
        first_page = len(whole.pages) + 1
        whole.append(reader, import_outline=False)
        if both_sides and len(reader.pages) % 2:
            whole.add_blank_page()
        rows.append(_row(sequence, letter, len(reader.pages), first_page))
    merged = io.BytesIO()
    whole.write(merged)
    files = [("letters.pdf", merged.getvalue())]
    files += [(_filename(number, one), one.content) for number, one in enumerate(letters, start=1)]
    files.append(("manifest.csv", _table(MANIFEST, rows)))
    return _zipped(files)


def page_count(content: bytes) -> int:
    """Pages of a PDF. Raises `ValueError` for what is none."""
    try:
        return len(PdfReader(io.BytesIO(content)).pages)
    except PyPdfError as fault:
        raise ValueError(f"not a PDF: {fault}") from fault


def proof(content: bytes, *, today: date, registered: bool = True) -> list[ProofOfPosting]:
    """What an operator hands in after posting: one line for each registered letter that was posted.

    Without `registered` letters in the batch there may be no line under the heading.

    CSV in UTF-8 with semicolons and the heading `sequence;reference;registered_number;posted_on`; the first
    two as in the manifest. `registered_number` is the barcode of the registered letter: 24 digits, or the
    UPU's S10 form (RR123456785BE, whose check digit is verified); spaces and points in it do not count.
    `posted_on` is YYYY-MM-DD or DD/MM/YYYY.
    (The format is ours; that bpost's barcodes have these two forms is assumed.)

    Raises:
        ProofRefused: anything in it is wrong; then nothing of it counts.
    """
    faults: list[str] = []
    found: list[ProofOfPosting] = []
    for number, row in _lines(content):
        try:
            found.append(_posting(row, today))
        except ValueError as fault:
            faults.append(f"line {number}: {fault}")
    faults += _repeated("sequence", (str(one.sequence) for one in found))
    faults += _repeated("registered number", (one.registered_number for one in found))
    if registered and not found and not faults:
        faults.append("no line tells of a letter")
    if faults:
        raise ProofRefused(faults)
    return found


# --- a batch -----------------------------------------------------------------------------------


def _check(letter: PrintLetter) -> None:
    lines = [one for one in letter.addressee.lines if one.strip()]
    if not letter.reference.strip():
        raise ValueError("a letter without a reference")
    if not letter.addressee.name.strip() or not lines:
        raise ValueError(f"{letter.reference} has no address to be sent to")
    if len(lines) > ADDRESS_LINES:
        raise ValueError(f"the address of {letter.reference} has more than {ADDRESS_LINES} lines")


def _opened(letter: PrintLetter) -> PdfReader:
    try:
        reader = PdfReader(io.BytesIO(letter.content))
        pages = len(reader.pages)
    except PyPdfError as fault:
        raise ValueError(f"{letter.reference} is no PDF: {fault}") from fault
    if not pages:
        raise ValueError(f"{letter.reference} has no pages")
    return reader


def _row(sequence: int, letter: PrintLetter, pages: int, first_page: int) -> tuple[object, ...]:
    lines = [one.strip() for one in letter.addressee.lines if one.strip()]
    lines += [""] * (ADDRESS_LINES - len(lines))
    digest = hashlib.sha256(letter.content).hexdigest()
    texts = (letter.reference, letter.addressee.name, *lines)
    return (sequence, *(_harmless(one) for one in texts), pages, first_page, letter.service, digest)


def _harmless(text: str) -> str:
    """On one line, and not a formula to a spreadsheet."""
    one_line = " ".join(text.split())
    return f"'{one_line}" if one_line.startswith(_FORMULA) else one_line


def _filename(sequence: int, letter: PrintLetter) -> str:
    return f"letters/{sequence:04d}-{re.sub(r'[^A-Za-z0-9-]+', '_', letter.reference)}.pdf"


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=DELIMITER, lineterminator="\r\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue().encode("utf-8-sig")


def _zipped(files: Iterable[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name, _STAMP)
            entry.create_system = 3  # Unix, on whatever machine it is made
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return out.getvalue()


# --- proof of posting --------------------------------------------------------------------------


def _lines(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """The lines under the heading, with their numbers in the file; empty ones left out."""
    if len(content) > LARGEST_PROOF_BYTES:
        raise ProofRefused([f"larger than {LARGEST_PROOF_BYTES} bytes"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise ProofRefused(["not in UTF-8"]) from fault
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITER, strict=True)
    try:
        head = next(reader, [])
        if tuple(one.strip() for one in head) != PROOF:
            raise ProofRefused([f"the first line must be {DELIMITER.join(PROOF)}"])
        for row in reader:
            if any(one.strip() for one in row):
                yield reader.line_num, [one.strip() for one in row]
    except csv.Error as fault:
        raise ProofRefused([f"line {reader.line_num}: {fault}"]) from fault


def _posting(row: Sequence[str], today: date) -> ProofOfPosting:
    if len(row) != len(PROOF):
        raise ValueError(f"{len(row)} fields in the place of {len(PROOF)}")
    sequence, reference, number, day = row
    if not re.fullmatch(r"[1-9][0-9]{0,5}", sequence):
        raise ValueError(f"{sequence!r} is not the sequence of a letter")
    if not reference:
        raise ValueError("the reference is missing")
    posted_on = _day(day)
    if posted_on > today:
        raise ValueError(f"{day} is still to come")
    return ProofOfPosting(int(sequence), reference, _registered(number), posted_on)


def _registered(text: str) -> str:
    bare = re.sub(r"[\s.]", "", text).upper()
    if _BARCODE.fullmatch(bare):
        return bare
    parts = _S10.fullmatch(bare)
    if parts is None:
        raise ValueError(f"{text!r} is not the number of a registered letter")
    weighed = sum(int(digit) * weight for digit, weight in zip(parts[2], _S10_WEIGHTS, strict=True))
    check = {10: 0, 11: 5}.get(11 - weighed % 11, 11 - weighed % 11)
    if int(parts[3]) != check:
        raise ValueError(f"the check digit of {text!r} is wrong")
    return bare


def _day(text: str) -> date:
    turned = re.fullmatch(r"(\d{2})/(\d{2})/(\d{4})", text, re.ASCII)
    plain = re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII)
    if turned is None and plain is None:
        raise ValueError(f"{text!r} is not a day (YYYY-MM-DD)")
    try:
        return date.fromisoformat("-".join(reversed(turned.groups())) if turned else text)
    except ValueError as fault:
        raise ValueError(f"{text!r} is not a day of the calendar") from fault


def _repeated(name: str, values: Iterable[str]) -> list[str]:
    return [
        f"{name} {value} stands there {count} times" for value, count in Counter(values).items() if count > 1
    ]
