"""Papers that must be there: by what was filled in and what the sources said, before it is handed in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loket import publishing
from loket.publishing import DefinitionError
from premiums import Json, rule, written
from town import HANDLER, Town, opened

FORM: Json = {
    "type": "object",
    "properties": {"roof": {"type": "boolean"}, "area": {"type": "integer"}},
    "if": {"properties": {"roof": {"const": True}}, "required": ["roof"]},
    "then": {"properties": {"roofer": {"type": "string"}}},
    "unevaluatedProperties": False,
}
ISSUES = """query($id: ID!) { application(id: $id) {
    issues { path code message } requiredDocuments { key title attached } } }"""


def papers(told: Json) -> None:
    told["form"] = {"schema": FORM, "prefill": [], "translations": {}, "ui": {}}
    told["checks"], told["benefits"] = [], []
    told["stages"] = told["phases"][-1]["stages"] = ["screening", "decision"]
    told.pop("assessment")
    told["texts"]["messages"].pop("PARTLY_APPROVED")
    told["screening"] = {"by": "rule"}
    told["rules"] = {"screening": [rule("plan", "documents.plan > 0 || documents['roof-photo'] < 2")]}
    told["documents"] = [
        {"key": "plan", "title": {"nl": "Plan", "en": "Drawing"},
         "required": "has(application.area) && application.area > 40"},
        {"key": "roof-photo", "title": {"nl": "Foto van het dak", "en": "Photo of the roof"},
         "required": "has(application.roofer)"},
        {"key": "proof", "title": "Bewijs", "required": "applicant.age > 17 && channel == 'COUNTER'"},
        {"key": "later", "title": "Later", "required": "household.members > 99"},
    ]  # fmt: skip


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    written(folder, "papieren", papers)
    async with opened(module_database_url, tmp_path_factory.mktemp("town"), procedures=str(folder)) as found:
        yield found


async def begun(town: Town, who: str, **answers: object) -> str:
    payload = await town.does(who, "applicationStart", "application { id }", procedure="papieren")
    id: str = payload["application"]["id"]
    await town.does(who, "applicationSetAnswers", id=id, input=answers)
    return id


async def adds(town: Town, who: str, draft: str, kind: str, *, sent: bool = True) -> None:
    content = b"%PDF-1.7\n" + bytes(64)
    paper = {"filename": "p.pdf", "mediaType": "application/pdf", "size": len(content), "kind": kind}
    upload = await town.does(who, "documentUploadStart", "uploadUrl document { id }", input=paper)
    if sent:
        assert (await town.client.put(upload["uploadUrl"], content=content)).is_success
        await town.does(who, "applicationAttachDocument", id=draft, documentId=upload["document"]["id"])


async def missing(town: Town, who: str, draft: str) -> list[str]:
    seen = (await town.ask(who, ISSUES, id=draft))["application"]
    assert {one["path"][0] for one in seen["issues"]} <= {"documents"}
    wanted = {one["key"] for one in seen["requiredDocuments"] if not one["attached"]}
    named = [one["path"][1] for one in seen["issues"]]
    assert wanted == set(named)
    return named


async def test_what_must_be_there_is_named_until_it_is(town: Town) -> None:
    who = town.somebody()
    draft = await begun(town, who, area=50, roof=True, roofer="Jan")
    assert await missing(town, who, draft) == ["plan", "roof-photo"]
    told = await town.tries(who, "applicationSubmit", id=draft)
    assert [(one["code"], one["path"], one["message"]) for one in told["errors"]] == [
        ("REQUIRED", ["documents", "plan"], "Voeg dit bewijsstuk toe: Plan."),
        ("REQUIRED", ["documents", "roof-photo"], "Voeg dit bewijsstuk toe: Foto van het dak."),
    ]
    await adds(town, who, draft, "plan")
    assert await missing(town, who, draft) == ["roof-photo"]
    await adds(town, who, draft, "roof-photo")
    assert await missing(town, who, draft) == []
    payload = await town.does(who, "applicationSubmit", "case { status }", id=draft)
    assert payload["case"]["status"] == "AWAITING_DECISION"


async def test_a_file_that_was_announced_only_is_not_there(town: Town) -> None:
    who = town.somebody()
    draft = await begun(town, who, area=50)
    await adds(town, who, draft, "plan", sent=False)
    assert await missing(town, who, draft) == ["plan"]


async def test_what_is_not_asked_any_more_needs_no_paper(town: Town) -> None:
    who = town.somebody()
    draft = await begun(town, who, roof=True, roofer="Jan")
    assert await missing(town, who, draft) == ["roof-photo"]
    await town.does(who, "applicationSetAnswers", id=draft, input={"roof": False})
    assert await missing(town, who, draft) == []
    kept = "application { answers }"
    payload = await town.does(who, "applicationSetAnswers", kept, id=draft, input={"area": 3})
    assert payload["application"]["answers"]["roofer"] == "Jan"
    payload = await town.does(who, "applicationSubmit", "case { application { answers } }", id=draft)
    assert payload["case"]["application"]["answers"] == {"roof": False, "area": 3}


async def test_doubt_keeps_nobody_out(town: Town) -> None:
    """At the counter nothing is looked up of who has no number: whether proof is needed is not known."""
    visitor = {"givenName": "Jozef", "familyName": "Zonder Nummer"}
    payload = await town.does(
        HANDLER, "applicationStartAtCounter", "application { id }", procedure="papieren", input=visitor
    )
    draft = payload["application"]["id"]
    assert await missing(town, HANDLER, draft) == []
    assert (await town.tries(HANDLER, "applicationSubmit", id=draft))["errors"] == []


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ("application.flor > 1", "has no 'flor'"),
        ("documents.plann > 0", "has no 'plann'"),
        ("checks.increased == 'MET'", "has no 'increased'"),
        ("co_applicant == 'CONFIRMED'", "unknown fact 'co_applicant'"),
        ("!quota.within_maximum", "counted only once it is handed in"),
        ("application.area", "not true, false or 'REFER'"),
    ],
)
def test_a_condition_speaks_of_what_a_draft_can_tell(tmp_path: Path, when: str, reason: str) -> None:
    def changed(told: Json) -> None:
        papers(told)
        told["documents"][0]["required"] = when

    written(tmp_path, "papieren", changed)
    with pytest.raises(DefinitionError) as error:
        publishing.load(tmp_path / "papieren.yaml")
    assert any(reason in str(one) for one in error.value.faults), error.value.faults
