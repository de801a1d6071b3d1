"""The look that the sandbox's pages share: plain HTML with our own style, nothing fetched from elsewhere."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

BRUSSELS = ZoneInfo("Europe/Brussels")
_STYLE = Markup(Path(__file__).with_name("style.css").read_text("utf-8"))  # noqa: S704  # a file of ours
_PAGE = Markup(
    '<!doctype html>\n<html lang="nl"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '{head}<title>{title}</title><link rel="icon" href="data:,"><style>{style}</style></head>\n'
    "<body{kind}>{body}</body></html>"
)


def page(
    title: str, body: Markup, *, kind: str = "", status: int = 200, refresh_seconds: int | None = None
) -> HTMLResponse:
    """A whole page. `kind` is a class on the body: `card` for one narrow panel (sign in, pay)."""
    refresh = Markup('<meta http-equiv="refresh" content="{}">').format(refresh_seconds)
    head = refresh if refresh_seconds else Markup("")
    if not kind:  # the desk's forms go to other ports, which must know where to lead back to
        head += Markup('<meta name="referrer" content="unsafe-url">')
    of_kind = Markup(' class="{}"').format(kind) if kind else ""
    return HTMLResponse(
        _PAGE.format(title=title, style=_STYLE, body=body, kind=of_kind, head=head),
        status,
    )


def join(parts: Iterable[Markup | str]) -> Markup:
    return Markup("").join(parts)


def table(
    head: Iterable[str], rows: Iterable[Iterable[Markup | str | None]], *, empty: str = "Nog niets."
) -> Markup:
    """A table, or `empty` where there are no rows."""
    lines = [join(Markup("<td>{}</td>").format("" if cell is None else cell) for cell in row) for row in rows]
    if not lines:
        return Markup('<p class="empty">{}</p>').format(empty)
    return Markup(
        '<div class="scroll"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(
        join(Markup("<th>{}</th>").format(name) for name in head),
        join(Markup("<tr>{}</tr>").format(line) for line in lines),
    )


def button(action: str, label: str, fields: Mapping[str, str] | None = None, *, kind: str = "") -> Markup:
    """A form that is one button: posts `fields` to `action`. `kind` is `quiet`, `danger` or empty."""
    hidden = join(
        Markup('<input type="hidden" name="{}" value="{}">').format(name, value)
        for name, value in (fields or {}).items()
    )
    return Markup(
        '<form method="post" action="{}" class="one">{}<button class="{}">{}</button></form>'
    ).format(action, hidden, kind, label)


def fold(title: str, body: Markup) -> Markup:
    """A part that is closed until it is opened."""
    return Markup("<details><summary>{}</summary>{}</details>").format(title, body)


def tag(text: str, kind: str = "") -> Markup:
    """A small label. `kind` is `good`, `bad`, `wait` or empty."""
    return Markup('<span class="tag {}">{}</span>').format(kind, text)


def moment(at: str) -> Markup:
    """An ISO instant as Belgian day and time; without a zone it is Belgian already."""
    instant = datetime.fromisoformat(at)
    here = instant.astimezone(BRUSSELS) if instant.tzinfo else instant
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at, at, f"{here:%d/%m %H:%M:%S}")


def lines(text: str) -> Markup:
    """Text with its line breaks."""
    return Markup("<br>").join(escape(line) for line in text.splitlines())
