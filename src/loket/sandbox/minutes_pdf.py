"""A plain PDF of one or more pages of text, written by hand: the sandbox's signed decisions."""

from collections.abc import Sequence
from html.parser import HTMLParser
from textwrap import wrap

WIDTH = 88
"""Characters of a line."""
LINES = 50
"""Lines of a page."""


def pdf(title: str, paragraphs: Sequence[str]) -> bytes:
    """PDF 1.4, Helvetica 11 on A4; letters outside Windows' Western set become question marks."""
    lines = [line for paragraph in paragraphs for line in [*wrap(paragraph, WIDTH), ""]]
    pages = [lines[start : start + LINES] for start in range(0, len(lines), LINES)] or [[]]
    first = 5
    kids = " ".join(f"{first + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode("ascii"),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Title " + _text(title) + b" >>",
    ]
    for number, page in enumerate(pages):
        drawn = (
            b"BT /F1 11 Tf 14 TL 60 780 Td " + b" ".join(_text(line) + b" Tj T*" for line in page) + b" ET"
        )
        contents = first + 2 * number + 1
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >>"
            b" /Contents %d 0 R >>" % contents
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
    return _file(objects)


def paragraphs(html: str) -> list[str]:
    """The text of some HTML, without its marks."""
    reader = _Reader()
    reader.feed(html)
    return [part.strip() for part in reader.parts if part.strip()]


class _Reader(HTMLParser):
    """The text of a page, one part per paragraph."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = [""]

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        if tag in ("p", "li", "h1", "h2", "h3", "div", "br", "tr"):
            self.parts.append("")

    def handle_data(self, data: str) -> None:
        self.parts[-1] += data


def _file(objects: Sequence[bytes]) -> bytes:
    out = b"%PDF-1.4\n"
    places = []
    for number, one in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R /Info 4 0 R >>\n"
        b"startxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table, len(objects) + 1, len(out))
    )


def _text(line: str) -> bytes:
    raw = line.encode("cp1252", "replace")
    return b"(" + raw.replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)") + b")"
