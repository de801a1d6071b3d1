"""What the walk asks to see whose turn it is, word for word: copy any of these into GraphiQL."""

from loket.walk.queries import ERRORS

TURN = """
query Turn($reference: String!) {
  case(reference: $reference) {
    id reference status stage version round department
    informationRequest { awaited question }
    checks { id kind status }
    advices { id adviser kind status title round }
    decision {
      id status proposal round benefits { key granted } signatories { name }
      agendaItem { externalIdentifier itemUid state endedAt }
    }
    invoice { id number status amount { amount } paid { amount } costs { amount } outstanding { amount } }
    delivery { status startsAt booking { status } }
    payout { id kind status amount { amount } }
    tasks { id kind status data }
  }
}"""
HAPPENED = """
query Happened($reference: String!) {
  case(reference: $reference) {
    timeline(last: 100, orderBy: OLDEST) { nodes { id type status previousStatus occurredAt } }
  }
}"""
DECIDE = f"""
mutation Decide($caseId: ID!, $input: DecisionInput!, $idempotencyKey: String!) {{
  decisionTake(caseId: $caseId, input: $input, idempotencyKey: $idempotencyKey) {{
    case {{ status }} {ERRORS}
  }}
}}"""
MY_DRAFTS = """
query MyDrafts { viewer { applications(first: 20) { nodes { id status answers procedure { key } } } } }"""
DISCARD = (
    f"mutation Discard($id: ID!) {{ applicationDiscard(id: $id) {{ application {{ status }} {ERRORS} }} }}"
)
