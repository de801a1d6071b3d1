"""What the walk asks of the public API, word for word: copy any of these into GraphiQL."""

ERRORS = "errors { code message path }"

PROCEDURE = """
query Procedure($key: String!) {
  procedure(key: $key) {
    key version title stages term { suspendable }
    form { schema }
    catalogue {
      key title maximumPerHousehold
      price { amount } firstUnitDiscount { amount }
      options { key price { amount } }
    }
  }
}"""
VIEWER = "query Viewer { viewer { kind cursor roles person { name email phone } } }"
MY_CASES = """
query MyCases { viewer { cases(first: 100) { nodes {
  reference status application { cart { lines { product quantity } } }
} } } }"""
PREFER = f"""
mutation Prefer($input: ContactPreferencesInput!) {{
  contactPreferencesSet(input: $input) {{
    contactPreferences {{ email emailVerified byEmail phone phoneVerified bySms }} {ERRORS}
  }}
}}"""
VERIFY = f"""
mutation Verify($input: CodeInput!) {{
  contactPointVerify(input: $input) {{ contactPreferences {{ emailVerified phoneVerified }} {ERRORS} }}
}}"""
START = f"""
mutation Start($procedure: String!) {{
  applicationStart(procedure: $procedure) {{
    application {{ id version answers prefill {{ field value source fetchedAt editable }} }} {ERRORS}
  }}
}}"""
ANSWER = f"""
mutation Answer($id: ID!, $input: JSON!) {{
  applicationSetAnswers(id: $id, input: $input) {{ application {{ id version answers }} {ERRORS} }}
}}"""
RESUME = """
query Resume($id: ID!) {
  application(id: $id) {
    id status version answers
    issues { path code message } cart { total { amount } } documents { filename size }
  }
}"""
FILL_CART = f"""
mutation FillCart($id: ID!, $input: CartInput!) {{
  applicationSetCart(id: $id, input: $input) {{
    application {{ id version cart {{ lines {{ title quantity }} total {{ amount }} }} }} {ERRORS}
  }}
}}"""
ANNOUNCE = f"""
mutation Announce($input: UploadInput!) {{
  documentUploadStart(input: $input) {{ document {{ id }} uploadUrl {ERRORS} }}
}}"""
ATTACH = f"""
mutation Attach($id: ID!, $documentId: ID!) {{
  applicationAttachDocument(id: $id, documentId: $documentId) {{
    application {{ id documents {{ filename size }} }} {ERRORS}
  }}
}}"""
SUBMIT = f"""
mutation Submit($id: ID!, $idempotencyKey: String!) {{
  applicationSubmit(id: $id, idempotencyKey: $idempotencyKey) {{
    case {{ id reference status cursor due }} {ERRORS}
  }}
}}"""
FOLLOW = """
subscription Follow($reference: String!, $after: Cursor) {
  caseEvents(reference: $reference, after: $after) {
    id cursor type status previousStatus occurredAt summary actor { kind name }
  }
}"""
CASE = """
query Case($reference: String!) {
  case(reference: $reference) {
    id reference status stage version outcome due
    suspensions { reason endedOn }
    phases { key state }
    invoice {
      id number status structuredReference amount { amount } paid { amount } outstanding { amount } dueOn
      document { filename size url }
    }
    refunds { status amount { amount } }
    delivery { id status startsAt endsAt calendarSequence booking { status slot { id startsAt } } }
    viewerAvailableActions { action enabled reasonDisabled }
  }
}"""
MESSAGES = """
query Messages($reference: String!) {
  case(reference: $reference) {
    messages(first: 100) { nodes { about channel status reason subject body } }
  }
}"""
TIMELINE = """
query Timeline($reference: String!) {
  case(reference: $reference) { timeline(last: 100, orderBy: OLDEST) { nodes { id type } } }
}"""
PAY = f"""
mutation Pay($invoiceId: ID!, $idempotencyKey: String!, $returnUrl: String) {{
  paymentStart(invoiceId: $invoiceId, idempotencyKey: $idempotencyKey, returnUrl: $returnUrl) {{
    checkoutUrl payment {{ id status amount {{ amount }} }} {ERRORS}
  }}
}}"""
SLOTS = "query Slots($caseId: ID!) { deliverySlots(caseId: $caseId) { id startsAt endsAt free state } }"
HOLD = f"""
mutation Hold($caseId: ID!, $slotId: ID!, $idempotencyKey: String!) {{
  deliveryHoldSlot(caseId: $caseId, slotId: $slotId, idempotencyKey: $idempotencyKey) {{
    booking {{ status expiresAt }} {ERRORS}
  }}
}}"""
BOOK = f"""
mutation Book($caseId: ID!, $idempotencyKey: String!, $slotId: ID) {{
  deliveryBookSlot(caseId: $caseId, idempotencyKey: $idempotencyKey, slotId: $slotId) {{
    delivery {{ status startsAt }} {ERRORS}
  }}
}}"""
RESCHEDULE = f"""
mutation Reschedule($caseId: ID!, $slotId: ID!, $idempotencyKey: String!) {{
  deliveryReschedule(caseId: $caseId, slotId: $slotId, idempotencyKey: $idempotencyKey) {{
    delivery {{ status startsAt calendarSequence }} {ERRORS}
  }}
}}"""
WITHDRAW = f"""
mutation Withdraw($id: ID!, $reason: String!) {{
  caseWithdraw(id: $id, input: {{reason: $reason}}) {{ case {{ status }} {ERRORS} }}
}}"""
ASK_REVIEW = f"""
mutation AskReview($id: ID!, $reason: String!) {{
  caseRequestReview(id: $id, input: {{reason: $reason}}) {{ case {{ status }} {ERRORS} }}
}}"""
SUPPLY = f"""
mutation Supply($id: ID!, $answer: String!) {{
  caseSupplyInformation(id: $id, input: {{answer: $answer}}) {{ case {{ status }} {ERRORS} }}
}}"""

CREDIT = f"""
mutation Credit($id: ID!, $input: InvoiceCreditInput!, $idempotencyKey: String!) {{
  invoiceCredit(id: $id, input: $input, idempotencyKey: $idempotencyKey) {{
    creditNote {{ number amount {{ amount }} }} {ERRORS}
  }}
}}"""
IMPORT_STATEMENT = f"""
mutation ImportStatement($input: BankStatementInput!, $idempotencyKey: String!) {{
  bankStatementImport(input: $input, idempotencyKey: $idempotencyKey) {{
    imported statements {{ number format }} warnings {ERRORS}
  }}
}}"""
OPEN_MOVEMENTS = """
query OpenMovements($text: String!) {
  bankEntries(first: 10, filter: {status: OPEN, text: $text}) { nodes {
    id version amount { amount } remittance counterpartyName
    suggestions { invoiceId invoiceNumber caseReference reasons }
  } }
}"""
MATCH = f"""
mutation Match($id: ID!, $input: PaymentMatchInput!, $idempotencyKey: String!, $expectedVersion: Int) {{
  paymentMatch(id: $id, input: $input, idempotencyKey: $idempotencyKey, expectedVersion: $expectedVersion) {{
    entry {{ status }} {ERRORS}
  }}
}}"""

# --- staff ------------------------------------------------------------------------------------

OPEN_TASKS = """
query OpenTasks($kind: String!) {
  tasks(first: 100, filter: {status: OPEN, kind: $kind}) { nodes { id kind data case { reference } } }
}"""
ASSIGN = f"mutation Assign($id: ID!) {{ caseAssign(id: $id) {{ case {{ handler {{ name }} }} {ERRORS} }} }}"
REOPEN = f"""
mutation Reopen($id: ID!, $input: ReopenInput!) {{
  caseReopen(id: $id, input: $input) {{ case {{ status stage round }} {ERRORS} }}
}}"""
DECLARE_ADMISSIBLE = f"""
mutation DeclareAdmissible($id: ID!) {{ caseDeclareAdmissible(id: $id) {{ case {{ status }} {ERRORS} }} }}"""
DECLARE_INADMISSIBLE = f"""
mutation DeclareInadmissible($id: ID!, $input: MotivationInput!) {{
  caseDeclareInadmissible(id: $id, input: $input) {{ case {{ status }} {ERRORS} }}
}}"""
REQUEST_INFORMATION = f"""
mutation RequestInformation($id: ID!, $question: String!) {{
  caseRequestInformation(id: $id, input: {{question: $question}}) {{ case {{ status }} {ERRORS} }}
}}"""
DECIDE = f"""
mutation Decide($caseId: ID!, $input: DecisionInput!, $idempotencyKey: String!) {{
  decisionTake(caseId: $caseId, input: $input, idempotencyKey: $idempotencyKey) {{
    case {{ status }} {ERRORS}
  }}
}}"""
FIRE = f"""
mutation Fire($caseId: ID!, $kind: TimerKind!) {{
  timerFire(caseId: $caseId, kind: $kind) {{ case {{ status }} {ERRORS} }}
}}"""
RETRY = f"mutation Retry($id: ID!) {{ effectRetry(id: $id) {{ effect {{ state }} {ERRORS} }} }}"
EFFECTS = """
query Effects($reference: String!) {
  case(reference: $reference) {
    effects { id system kind state attemptsMade createdAt doneAt nextAttemptAt lastError }
    tasks { kind status }
  }
}"""
FAILED_EFFECTS = """
query FailedEffects {
  failedEffects(first: 100) { nodes { system kind state lastError case { reference } } }
}"""
