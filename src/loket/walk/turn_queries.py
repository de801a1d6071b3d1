"""What the walk asks to see whose turn it is, word for word: copy any of these into GraphiQL."""

from loket.walk.queries import ERRORS

TURN = """
query Turn($reference: String!) {
  case(reference: $reference) {
    id reference status stage version round department
    informationRequest { awaited question }
    coApplication { id status }
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
REQUIRED = """
query Required($id: ID!) { application(id: $id) { requiredDocuments { key title attached } } }"""
ASKED_OF_ME = """
query AskedOfMe { viewer { coApplications { id reference status applicant title } } }"""
AGREE = f"""
mutation Agree($id: ID!, $idempotencyKey: String) {{
  coApplicationConfirm(id: $id, idempotencyKey: $idempotencyKey) {{ coApplication {{ status }} {ERRORS} }}
}}"""
DISAGREE = f"""
mutation Disagree($id: ID!, $input: ReasonInput!, $idempotencyKey: String) {{
  coApplicationRefuse(id: $id, input: $input, idempotencyKey: $idempotencyKey) {{
    coApplication {{ status }} {ERRORS}
  }}
}}"""
RELEASE = f"""
mutation Release($caseId: ID!, $idempotencyKey: String!) {{
  depositReturn(caseId: $caseId, idempotencyKey: $idempotencyKey) {{
    creditNote {{ number amount {{ amount }} }} {ERRORS}
  }}
}}"""
