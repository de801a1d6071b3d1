"""What a person does in a browser: follow links, fill in the forms of other parties, come back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx2

MOST_STEPS = 10


class LostError(Exception):
    """A page is not the one that was expected."""


@dataclass
class Form:
    """A form of a page: where it goes, and what it holds."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    """Names of fields that a person fills in, and of buttons."""


def forms(page: httpx2.Response) -> list[Form]:
    return _read(page).forms


def links(page: httpx2.Response) -> list[str]:
    return _read(page).links


async def open_page(browser: httpx2.AsyncClient, url: str, *, stay_out_of: str = "") -> httpx2.Response:
    """Open `url` and follow where it leads; stop before a page whose address begins with `stay_out_of`.

    Raises:
        LostError: it leads nowhere, or to a page that does not exist.
    """
    return await _follow(browser, await browser.get(url), stay_out_of)


async def send_form(
    browser: httpx2.AsyncClient, form: Form, filled_in: Mapping[str, str], *, stay_out_of: str = ""
) -> httpx2.Response:
    """Send a form as filled in, and follow where it leads. Raises `LostError` as `open_page`."""
    answer = await browser.post(form.action, data={**form.fields, **filled_in})
    return await _follow(browser, answer, stay_out_of)


async def sign_in(browser: httpx2.AsyncClient, url: str, persona: str) -> None:
    """Sign in at Loket through ACM/IDM, the way a citizen's browser does; the session is in the cookies.

    Raises:
        LostError: ACM/IDM shows no choice of persons, or Loket gives no session.
    """
    chooser = await open_page(browser, f"{url}/auth/login?return=/graphql&audience=citizen")
    choices = [form for form in forms(chooser) if "persona" in form.open]
    if not choices:
        raise LostError(f"no sign-in form at {_short(chooser)}")
    back = await send_form(browser, choices[-1], {"persona": persona}, stay_out_of=f"{url}/graphql")
    if not any("session" in cookie.name for cookie in browser.cookies.jar):
        raise LostError(f"signed in, yet no session at {_short(back)}")


async def pay(browser: httpx2.AsyncClient, checkout_url: str, back_to: str) -> None:
    """Pay at the payment module's own page, and come back to `back_to`, a page of the municipality.

    Who paid before and lost the way comes back by the page's link.

    Raises:
        LostError: there is nothing to pay on the page, or it does not lead back.
    """
    page = await _through(browser, await open_page(browser, checkout_url), stay_out_of=back_to)
    ways = [form for form in forms(page) if form.fields.get("action") == "pay"]
    if ways:
        last = await send_form(browser, ways[0], {}, stay_out_of=back_to)
        last = await _through(browser, last, stay_out_of=back_to)
    elif page.is_redirect:
        last = page
    elif links(page):
        last = await open_page(browser, links(page)[0], stay_out_of=back_to)
    else:
        raise LostError(f"nothing to pay at {_short(page)}")
    if not last.is_redirect:
        raise LostError(f"paid, and then left at {_short(last)}")


async def _through(
    browser: httpx2.AsyncClient, page: httpx2.Response, *, stay_out_of: str
) -> httpx2.Response:
    """Past the pages that only send one on by a form, with nothing on it to fill in or to choose."""
    for _ in range(MOST_STEPS):
        on = [] if page.is_redirect else forms(page)
        if len(on) != 1 or on[0].open or "action" in on[0].fields:
            return page
        page = await send_form(browser, on[0], {}, stay_out_of=stay_out_of)
    raise LostError(f"sent round in circles, last to {_short(page)}")


async def _follow(browser: httpx2.AsyncClient, answer: httpx2.Response, stay_out_of: str) -> httpx2.Response:
    for _ in range(MOST_STEPS):
        if not answer.is_redirect:
            if answer.status_code >= 400:
                raise LostError(f"{answer.status_code} at {_short(answer)}")
            return answer
        there = urljoin(str(answer.url), answer.headers["location"])
        if stay_out_of and there.startswith(stay_out_of):
            return answer
        answer = await browser.get(there)
    raise LostError(f"sent round in circles, last to {_short(answer)}")


def _short(page: httpx2.Response) -> str:
    """The address without its query: that may hold codes."""
    parts = urlsplit(str(page.url))
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _read(page: httpx2.Response) -> "_Reader":
    reader = _Reader(str(page.url))
    reader.feed(page.text)
    return reader


class _Reader(HTMLParser):
    """Finds the forms and links of a page."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._open: Form | None = None
        self.forms: list[Form] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and given.get("href"):
            self.links.append(urljoin(self._url, given["href"]))
        elif tag == "form":
            self._open = Form(urljoin(self._url, given.get("action", "")), given.get("method", "get"))
            self.forms.append(self._open)
        elif self._open is not None and given.get("name"):
            if tag == "input" and given.get("type") == "hidden":
                self._open.fields[given["name"]] = given.get("value", "")
            elif tag in ("input", "button", "select", "textarea"):
                self._open.open.add(given["name"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
