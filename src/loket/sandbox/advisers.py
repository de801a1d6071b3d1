"""An external adviser's browser: the page behind the link of an e-mail, on which the question is answered.

The municipality's website has such a page; what it shows and sends is Loket's own API, with the token of the
link and nothing else.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import httpx2
from markupsafe import Markup

from loket.sandbox.page import join, lines
from loket.sandbox.system import Config

Json = dict[str, Any]

OPINIONS = {"POSITIVE": "Gunstig", "NEGATIVE": "Ongunstig", "CONDITIONAL": "Gunstig, met voorwaarden"}
_LINK = re.compile(r"/advies\?token=([^\s\"<>&]+)")
_QUESTION = """
query Question($token: String!) {
  adviceByToken(token: $token) { reference procedure adviser question dueOn documents { filename url } }
}"""
_ADVISE = """
mutation Advise($token: String!, $input: AdviceByTokenInput!, $idempotencyKey: String!) {
  adviceGiveByToken(token: $token, input: $input, idempotencyKey: $idempotencyKey) { errors { message } }
}"""


def token_in(mail: Json) -> str | None:
    """What stands in the link of an e-mail that asks for advice."""
    found = _LINK.search(mail["text"] or "")
    return unquote(found[1]) if found else None


async def question(config: Config, token: str) -> Markup:
    """What the link opens: the question with its form, or that it serves no more."""
    told = await _ask(config, _QUESTION, {"token": token})
    asked = (told.get("data") or {}).get("adviceByToken")
    if asked is None:
        why = "; ".join(str(one["message"]) for one in told.get("errors") or ())
        return Markup("<h1>Deze link dient niet (meer)</h1><p>{}</p>").format(
            why or "Het advies is gegeven of ingetrokken, of er is al beslist."
        )
    facts = (
        ("Dossier", asked["reference"]),
        ("Aanvraag", asked["procedure"]),
        ("Aan", asked["adviser"]),
        ("Antwoord ten laatste op", asked["dueOn"]),
        ("Bijlagen", join(_link(one) for one in asked["documents"]) or "geen"),
    )
    return Markup("<h1>Uw advies</h1><dl>{}</dl><section><h3>Vraag</h3><p>{}</p>{}</section>").format(
        join(Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in facts),
        lines(asked["question"]),
        _form(token),
    )


async def advise(config: Config, form: Mapping[str, str]) -> Markup:
    """Answer; what the adviser reads then."""
    wish = {name: form.get(name, "") for name in ("opinion", "text", "name", "conditions")}
    key = hashlib.sha256(repr(sorted(form.items())).encode()).hexdigest()
    variables = {"token": form.get("token", ""), "input": wish, "idempotencyKey": key}
    told = await _ask(config, _ADVISE, variables)
    payload = (told.get("data") or {}).get("adviceGiveByToken") or {}
    wrong = [str(one["message"]) for one in [*(told.get("errors") or ()), *(payload.get("errors") or ())]]
    if wrong:
        return Markup("<h1>Niet gelukt</h1><p>{}</p>{}").format(
            "; ".join(wrong), _form(form.get("token", ""))
        )
    return Markup('<h1>Bedankt</h1><p>Uw advies is ontvangen. <a href="/meespelen#advies">Terug</a></p>')


def _link(document: Json) -> Markup:
    return Markup('<a href="{}">{}</a> ').format(document["url"], document["filename"])


def _form(token: str) -> Markup:
    choices = join(
        Markup('<label><input type="radio" name="opinion" value="{}" required> {}</label> ').format(
            key, label
        )
        for key, label in OPINIONS.items()
    )
    return Markup(
        '<form method="post" action="/advies"><input type="hidden" name="token" value="{}"><p>{}</p>'
        '<p><textarea name="text" rows="3" cols="70" placeholder="Waarom?" required></textarea></p>'
        '<p><textarea name="conditions" rows="2" cols="70" placeholder="Onder welke voorwaarden?">'
        "</textarea></p>"
        '<p><label>Uw naam <input name="name" required></label> <button>Geef dit advies</button></p></form>'
    ).format(token, choices)


async def _ask(config: Config, document: str, variables: Json) -> Json:
    """Loket's answer to somebody who is not signed in."""
    async with httpx2.AsyncClient(trust_env=False, timeout=20.0) as http:
        try:
            answer = await http.post(
                f"{config.loket_url}/graphql",
                json={"query": document, "variables": variables},
                headers={"Accept-Language": "nl"},
            )
            told: Json = answer.json()
        except (httpx2.TransportError, ValueError) as fault:
            return {"errors": [{"message": f"Loket antwoordt niet: {fault}"}]}
    return told
