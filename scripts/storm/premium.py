"""A social premium under way: checks, advice, a decision of the council, a payout."""

from loket.walk import offices, premium_queries, queries
from loket.walk.citizen import iban
from storm.clients import Refused, key
from storm.stories import Json, Story, Turn

LOOK = """
query Look($reference: String!) {
  case(reference: $reference) {
    id reference status version round
    invoice { id number status structuredReference outstanding { amount } }
    delivery { id status startsAt booking { status slot { id } } }
    tasks { id kind status }
    checks { id kind status }
    advices { id adviser kind status round }
    decision { id status proposal agendaItem { externalIdentifier itemUid state } }
    payouts { id status }
  }
}"""

NEVER_CAME = """
mutation Record($id: ID!, $idempotencyKey: String!) {
  payoutRecord(id: $id, input: {result: REJECTED, reason: "never came"}, idempotencyKey: $idempotencyKey) {
    payout { status } errors { code message path }
  }
}"""
LOOK_UP_AGAIN = "mutation Repeat($id: ID!) { checkRepeat(id: $id) { errors { code message } } }"


class Premium(Story):
    procedure = "social-premium"
    advisers = ("social-work", "federal-social-security")

    def wished(self) -> list[str]:
        return {"refused": ["REJECTED"], "withdraw": ["WITHDRAWN", "COMPLETED"]}.get(self.way, ["COMPLETED"])

    def answers(self) -> Json:
        return {**self.crew.premium_answers, "payout": {"iban": iban(self.number)}}

    async def apply(self) -> None:
        await super().apply()
        outside = self.crew.outside

        async def open_ebox() -> None:
            insz = await outside.national_number(self.client.token)
            await outside.order("ebox", f"/sim/ebox/{insz}", {"active": True})

        await self.crew.post.stubborn(open_ebox, "the eBox")

    async def look(self) -> Json:
        found = await self.crew.staff["sofie"].ask(LOOK, reference=self.reference)
        state: Json = found["case"]
        return state | {"open": {one["kind"] for one in state["tasks"] if one["status"] == "OPEN"}}

    def turn(self, state: Json) -> Turn | None:
        round_ = state["round"]
        if self.way == "withdraw" and state["status"] in (
            "AWAITING_DECISION",
            "AWAITING_PAYOUT",
        ):
            return "withdraw", self.withdraw
        match state["status"]:
            case "SCREENING" if state["open"] & {
                "REFERRED",
                "SOURCES_UNKNOWN",
                "ANSWER_LAPSED",
            }:
                return f"admit {round_}", self._admit
            case "ASSESSMENT" | "AWAITING_ADVICE" if "CHECK_FAILED" in state["open"]:
                return f"look up again {state['version']}", self._look_up_again
            case "ASSESSMENT":
                return self._assess(state)
            case "AWAITING_ADVICE":
                return f"advise {state['version']}", self._advise
            case "AWAITING_DECISION":
                return self._decide(state)
            case "AWAITING_PAYOUT":
                return f"pay {state['version']}", self._pay_out
            case _:
                return None

    def _assess(self, state: Json) -> Turn | None:
        asked = {one["adviser"] for one in state["advices"] if one["round"] == state["round"]}
        to_ask = [one for one in self.advisers if one not in asked]
        if to_ask:
            return f"consult {to_ask[0]}", lambda state: self._consult(state, to_ask[0])
        if not state["open"] & {"ASSESS", "REFERRED", "CHECK_FAILED"}:
            return None
        return f"prepare {state['version']}", self._prepare

    def _decide(self, state: Json) -> Turn | None:
        decision = state["decision"] or {"status": "WITHDRAWN"}
        match decision["status"]:
            case "WITHDRAWN":
                return f"prepare {state['version']}", self._prepare
            case "DRAFT" if "MINUTES_WARNING" in state["open"]:
                return "present", self._present
            case "DRAFT" if decision["agendaItem"] is not None:
                return None  # sent; the minutes system does not have it yet
            case "DRAFT":
                return f"send {decision['id']}", self._send
            case "ON_AGENDA" if "DOCUMENT_DIFFERS" in state["open"]:
                return "read again", self._read_again
            case "ON_AGENDA":
                return "sit", self._sit
            case _:
                return None

    async def _admit(self, state: Json) -> bool:
        await self.crew.staff["sofie"].do("caseDeclareAdmissible", queries.DECLARE_ADMISSIBLE, id=state["id"])
        return True

    async def _consult(self, state: Json, adviser: str) -> bool:
        wish = {"adviser": adviser}
        document = premium_queries.ADVICE_REQUEST
        await self.crew.staff["sofie"].do("adviceRequest", document, caseId=state["id"], input=wish)
        return True

    async def _look_up_again(self, state: Json) -> bool:
        """MAGDA would not say: a handler asks once more."""
        for one in state["checks"]:
            if one["status"] == "UNKNOWN":
                await self.crew.staff["sofie"].do("checkRepeat", LOOK_UP_AGAIN, id=one["id"])
        return True

    async def _advise(self, state: Json) -> bool:
        awaited = [one for one in state["advices"] if one["status"] in ("REQUESTED", "REMINDED")]
        for one in awaited:
            if one["kind"] == "INTERNAL" or one["adviser"] == "social-work":
                wish = {"opinion": "POSITIVE", "text": "Het advies is gunstig."}
                await self.crew.staff["astrid"].do(
                    "adviceGive", premium_queries.ADVICE_GIVE, id=one["id"], input=wish
                )
        return True

    async def _prepare(self, state: Json) -> bool:
        """By the rules; where these leave it open, in the handler's words."""
        try:
            await self._prepared(state, None)
        except Refused as refused:
            if not set(refused.codes) & {"RULE_NOT_MET", "REQUIRED"}:
                raise
            wish: Json = {
                "outcome": "GRANTED",
                "motivationLegal": "Reglement, artikel 2.",
                "motivationFactual": "De aanvraag voldoet.",
            }
            await self._prepared(state, wish)
        return True

    async def _prepared(self, state: Json, wish: Json | None) -> None:
        payload = await self.crew.staff["sofie"].do(
            "decisionPrepare",
            premium_queries.PREPARE,
            caseIds=[state["id"]],
            input=wish,
            idempotencyKey=key(),
        )
        _all_done("decisionPrepare", payload)

    async def _send(self, state: Json) -> bool:
        """What was sent already stays a draft until the minutes system has it."""
        payload = await self.crew.staff["sofie"].do(
            "decisionSendToMinutes",
            premium_queries.SEND_TO_MINUTES,
            caseIds=[state["id"]],
            idempotencyKey=key(),
        )
        _all_done("decisionSendToMinutes", payload)
        return True

    async def _present(self, state: Json) -> bool:
        """No meeting took the item any more: the secretariat convenes one and puts it on the agenda."""
        outside, uid = self.crew.outside, state["decision"]["agendaItem"]["itemUid"]

        async def present() -> None:
            await offices.make_room(outside, "COLLEGE")
            await outside.order("minutes", f"/sim/items/{uid}/present")

        await self.crew.post.stubborn(present, "the secretariat")
        return await self.fire(state, "MINUTES_POLL")

    async def _read_again(self, state: Json) -> bool:
        """The signed document came in mangled, and was not taken for what it should be."""
        return await self.fire(state, "MINUTES_POLL")

    async def _sit(self, state: Json) -> bool:
        """The body grants what was drafted, and two people sign."""
        outside, name = (
            self.crew.outside,
            state["decision"]["agendaItem"]["externalIdentifier"],
        )

        async def sit() -> bool:
            found = await outside.read("minutes", "/sim/items", externalIdentifier=name)
            item = found[-1] if found else None
            if item is None or not item["meeting"]:
                return False
            order = {
                "items": [{"uid": item["UID"], "result": "accepted"}],
                "heldNow": True,
                "tell": False,
            }
            await outside.order("minutes", f"/sim/meetings/{item['meeting']}/decide", order)
            await outside.order("minutes", f"/sim/items/{item['UID']}/sign", {"tell": True})
            return True

        return await self.crew.post.stubborn(sit, "the council")

    async def _pay_out(self, state: Json) -> bool:
        """Ordered by one, approved by another, executed by the bank."""
        standing = [one for one in state["payouts"] if one["status"] not in ("CANCELLED", "REJECTED")]
        crew = self.crew
        if not standing:
            document = premium_queries.ORDER
            await crew.staff["filip"].do("payoutOrder", document, caseId=state["id"], idempotencyKey=key())
            return False
        if standing[-1]["status"] == "ORDERED":
            document, id = premium_queries.APPROVE, standing[-1]["id"]
            await crew.staff["farah"].do("payoutApprove", document, id=id, idempotencyKey=key())
            return False

        async def execute() -> bool:
            found = await crew.outside.read("accounting", "/sim/payouts")
            ours = [one for one in found if one["order"]["caseReference"] == self.reference]
            if not ours and standing[-1]["status"] == "IN_DOUBT":
                # somebody of finance looks at the other side: it never came there
                given = {"id": standing[-1]["id"], "idempotencyKey": key()}
                await crew.staff["farah"].do("payoutRecord", NEVER_CAME, **given)
                return False
            for one in ours:
                if one["status"] == "ACCEPTED":
                    path = f"/sim/payouts/{one['order']['id']}/execute"
                    await crew.outside.order("accounting", path, {"by": "json"})
                    return True
            return False

        return await crew.post.stubborn(execute, "the bank")


def _all_done(field: str, payload: Json) -> None:
    for one in payload["results"]:
        if one["errors"]:
            raise Refused(field, one["errors"])
