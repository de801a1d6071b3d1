"""The municipality's e-mail as HTML: one column, fit for a phone and for the dark; it fetches nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import zip_longest

from loket.settings import Municipality


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Items:
    items: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Labels with their values, as a small table."""

    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Picture:
    """An image that travels with the message: `content_id` without angle brackets."""

    content_id: str
    description: str


@dataclass(frozen=True)
class Button:
    label: str
    url: str


Block = Paragraph | Items | Facts | Picture | Button

HEADING = 40
"""Characters of a paragraph that can still be a heading."""
_REFERENCE = re.compile(r"\b[A-Z]{2,4}-\d[\w-]*")
_FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
_TABLE = 'role="presentation" cellpadding="0" cellspacing="0" border="0"'
_STYLE = """
:root { color-scheme: light dark; supported-color-schemes: light dark; }
body { margin: 0; padding: 0; width: 100%; -webkit-text-size-adjust: 100%; }
a { color: #0b5c4a; }
@media (max-width: 620px) {
  .side { padding-left: 20px !important; padding-right: 20px !important; }
  .label, .value { display: block !important; width: auto !important; padding-left: 0 !important; }
  .label { padding-bottom: 0 !important; border-bottom: 0 !important; }
  .value { padding-top: 0 !important; }
}
@media (prefers-color-scheme: dark) {
  .ground { background: #14181a !important; }
  .sheet { background: #1f2528 !important; }
  .ink, .ink p, .ink li, .ink td, .ink h1 { color: #eef2f1 !important; }
  .soft, .soft p, .soft td { color: #b3bfbc !important; }
  .rule { border-color: #3a4447 !important; }
  a { color: #7fd6bd !important; }
  .button { background: #7fd6bd !important; }
  .button a { color: #10201b !important; }
  .picture { background: #ffffff !important; }
}
"""
_SENT = {
    "nl": "U krijgt deze e-mail omdat u een dossier hebt bij {name}.",
    "en": "You get this e-mail because you have a case with {name}.",
    "fr": "Vous recevez cet e-mail parce que vous avez un dossier auprès de {name}.",
    "de": "Sie erhalten diese E-Mail, weil Sie einen Vorgang bei {name} haben.",
}


def page(
    title: str,
    blocks: Sequence[Block],
    closing: Sequence[Block],
    *,
    municipality: Municipality,
    language: str,
    sent: str = "",
) -> str:
    """A whole HTML document. Everything that comes from outside is escaped.

    `sent` says why somebody gets it; without it, because they have a case.
    """
    body, end = _flow(blocks), _flow(closing)
    name = escape(municipality.name)
    address = escape(f"{municipality.street}, {municipality.postal_code} {municipality.city}")
    website = escape(municipality.website)
    shown_website = escape(municipality.website.removeprefix("https://").removeprefix("http://").rstrip("/"))
    sent = escape(sent or _SENT.get(language, _SENT["nl"]).format(name=municipality.name))
    text = f"color:#1c2523;{_FONT}"
    return f"""<!DOCTYPE html>
<html lang="{escape(language)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body class="ground" style="margin:0;padding:0;background:#eef2f1;">
<div style="display:none;max-height:0;overflow:hidden;">{escape(_preview(blocks))}</div>
<table class="ground" {_TABLE} width="100%" style="background:#eef2f1;">
<tr><td align="center" style="padding:24px 0;">
<table class="sheet" {_TABLE} width="100%" style="max-width:600px;background:#ffffff;">
<tr><td class="side" style="padding:20px 36px;background:#0b5c4a;color:#ffffff;{_FONT};\
font-size:18px;font-weight:600;">
{name}</td></tr>
<tr><td class="side ink" style="padding:28px 36px 8px;{text};font-size:16px;line-height:1.5;">
<h1 style="margin:0 0 20px;font-size:23px;line-height:1.3;font-weight:600;color:#1c2523;">{_lines(title)}</h1>
{body}
</td></tr>
<tr><td class="side ink rule" style="padding:20px 36px 16px;border-top:1px solid #d8e0de;{text};\
font-size:15px;line-height:1.5;">
{end}
</td></tr>
</table>
<table {_TABLE} width="100%" style="max-width:600px;">
<tr><td class="side soft" style="padding:16px 36px 8px;color:#54625e;{_FONT};font-size:13px;line-height:1.5;">
{sent}<br>
{name}, {address}<br>
<a href="{website}" style="color:#0b5c4a;">{shown_website}</a>
</td></tr>
</table>
</td></tr>
</table>
</body>
</html>
"""


def _preview(blocks: Sequence[Block]) -> str:
    """What a mailbox shows beside the subject: the first sentence after the salutation."""
    texts = [block.text for block in blocks if isinstance(block, Paragraph)]
    return " ".join(texts[min(1, len(texts) - 1)].split())[:140] if texts else ""


def _flow(blocks: Sequence[Block]) -> str:
    """A short paragraph right above a list is its heading."""
    shown: list[str] = []
    for block, following in zip_longest(blocks, blocks[1:]):
        short = isinstance(block, Paragraph) and len(block.text) <= HEADING
        heads = short and isinstance(following, Items | Facts)
        shown.append(_html(block).replace('<p style="', '<p style="font-weight:600;', 1 if heads else 0))
    return "\n".join(shown)


def _html(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f'<p style="margin:0 0 16px;">{_lines(text)}</p>'
        case Items(items):
            lines = "".join(f'<li style="margin:0 0 6px;">{_lines(item)}</li>' for item in items)
            return f'<ul style="margin:0 0 16px;padding-left:22px;">{lines}</ul>'
        case Facts(facts):
            rows = "".join(_row(label, value) for label, value in facts)
            return f'<table {_TABLE} width="100%" style="margin:0 0 20px;">{rows}</table>'
        case Picture(content_id, description):
            source, alt = escape(f"cid:{content_id}"), escape(description)
            image = (
                f'<img src="{source}" alt="{alt}" width="180" height="180" style="display:block;border:0;">'
            )
            # Codes are black on white: the white frame stays in the dark, or no app can read them.
            cell = f'<td class="picture" style="padding:12px;background:#ffffff;">{image}</td>'
            return f'<table {_TABLE} style="margin:0 0 20px;"><tr>{cell}</tr></table>'
        case Button(label, url):
            style = f"display:inline-block;padding:13px 24px;color:#ffffff;font-weight:600;{_FONT}"
            style += ";text-decoration:none"
            link = f'<a href="{escape(url)}" style="{style};">{escape(label)}</a>'
            cell = f'<td class="button" style="background:#0b5c4a;border-radius:6px;">{link}</td>'
            return f'<table {_TABLE} style="margin:4px 0 24px;"><tr>{cell}</tr></table>'


def _row(label: str, value: str) -> str:
    cell = "border-bottom:1px solid #d8e0de;vertical-align:top;color:#1c2523"
    return (
        f'<tr><td class="label rule" width="42%" style="padding:7px 0;{cell};">{escape(label)}</td>'
        f'<td class="value rule" style="padding:7px 0 7px 16px;font-weight:600;{cell};">'
        f"{_lines(value)}</td></tr>"
    )


def _lines(text: str) -> str:
    """Escaped, with its line breaks; the number of a case or an invoice is not broken over two lines."""
    unbroken = _REFERENCE.sub(r'<span style="white-space:nowrap;">\g<0></span>', escape(text))
    return unbroken.replace("\n", "<br>\n")
