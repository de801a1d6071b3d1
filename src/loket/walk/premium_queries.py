"""What the walk asks of the public API about premiums, word for word: copy any of these into GraphiQL."""

from loket.walk.queries import ERRORS

RESULTS = f"results {{ caseId case {{ status }} errors {{ code message rule }} }} {ERRORS}"
PREMIUM = """
query Premium($reference: String!) {
  case(reference: $reference) {
    id status stage account
    checks { id kind status code }
    advices { id adviser kind status title }
    decision {
      status proposal amount { amount } meetingOn decidedOn documentSha256 signatories { name function }
      agendaItem { externalIdentifier itemUid state meetingOn decisions { status } }
      letter { id way status registeredNumber }
    }
    payout { id status amount { amount } account reasonCode }
    payouts { id status amount { amount } account reasonCode }
    documents { id filename }
  }
}"""
CHECK_REPLACE = f"""
mutation Replace($id: ID!, $input: ReplacementInput!) {{
  checkReplaceByDocument(id: $id, input: $input) {{ check {{ status }} {ERRORS} }}
}}"""
ADVICE_REQUEST = f"""
mutation AskAdvice($caseId: ID!, $input: AdviceRequestInput!) {{
  adviceRequest(caseId: $caseId, input: $input) {{ advice {{ id kind status title dueOn }} {ERRORS} }}
}}"""
ADVICE_GIVE = f"""
mutation Advise($id: ID!, $input: AdviceInput!) {{
  adviceGive(id: $id, input: $input) {{ advice {{ status }} {ERRORS} }}
}}"""
ADVICE_GIVE_BY_TOKEN = f"""
mutation AdviseByToken($token: String!, $input: AdviceByTokenInput!, $idempotencyKey: String!) {{
  adviceGiveByToken(token: $token, input: $input, idempotencyKey: $idempotencyKey) {{ received {ERRORS} }}
}}"""
PREPARE = f"""
mutation Prepare($caseIds: [ID!]!, $input: ProposalInput, $idempotencyKey: String!) {{
  decisionPrepare(caseIds: $caseIds, input: $input, idempotencyKey: $idempotencyKey) {{ {RESULTS} }}
}}"""
SEND_TO_MINUTES = f"""
mutation SendToMinutes($caseIds: [ID!]!, $idempotencyKey: String!) {{
  decisionSendToMinutes(caseIds: $caseIds, idempotencyKey: $idempotencyKey) {{
    agendaItem {{ externalIdentifier title }} {RESULTS}
  }}
}}"""
CONFIRM = f"""
mutation Confirm($caseId: ID!, $input: ProposalInput!, $idempotencyKey: String!) {{
  decisionConfirm(caseId: $caseId, input: $input, idempotencyKey: $idempotencyKey) {{
    case {{ status }} {ERRORS}
  }}
}}"""
ORDER = f"""
mutation Order($caseId: ID!, $idempotencyKey: String!) {{
  payoutOrder(caseId: $caseId, idempotencyKey: $idempotencyKey) {{
    payout {{ id amount {{ amount }} account }} {ERRORS}
  }}
}}"""
APPROVE = f"""
mutation Approve($id: ID!, $idempotencyKey: String!) {{
  payoutApprove(id: $id, idempotencyKey: $idempotencyKey) {{ payout {{ status }} {ERRORS} }}
}}"""
CORRECT_ACCOUNT = f"""
mutation CorrectAccount($caseId: ID!, $iban: IBAN!, $idempotencyKey: String!) {{
  payoutCorrectAccount(caseId: $caseId, input: {{iban: $iban}}, idempotencyKey: $idempotencyKey) {{
    case {{ status account }} {ERRORS}
  }}
}}"""
BATCH_MAKE = f"""
mutation MakeBatch($idempotencyKey: String!) {{
  letterBatchMake(idempotencyKey: $idempotencyKey) {{ batch {{ id number size url }} {ERRORS} }}
}}"""
BATCH_PROOF = f"""
mutation ProveBatch($id: ID!, $csv: String!) {{
  letterBatchProof(id: $id, csv: $csv) {{ batch {{ postedAt }} {ERRORS} }}
}}"""
START_AT_COUNTER = f"""
mutation StartAtCounter($procedure: String!, $input: VisitorInput!) {{
  applicationStartAtCounter(procedure: $procedure, input: $input) {{
    application {{ id version answers prefill {{ field value source fetchedAt editable }} }} {ERRORS}
  }}
}}"""
ASKED_ELSEWHERE = """
query Question($token: String!) {
  adviceByToken(token: $token) { reference adviser question dueOn documents { filename } }
}"""
