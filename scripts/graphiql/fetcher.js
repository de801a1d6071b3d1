// How the workbench talks to Loket: POST for queries and mutations, graphql-transport-ws for subscriptions.

import { getOperationAST } from 'graphql'
import { createClient } from 'graphql-ws'

const EARLIER_SHOWN = 50

export function loketFetcher(endpoint) {
  return (request, options = {}) => {
    const headers = options.headers ?? {}
    return isSubscription(options.documentAST, request.operationName)
      ? subscribe(endpoint, request, headers)
      : post(endpoint, request, headers)
  }
}

function isSubscription(document, operationName) {
  return document ? getOperationAST(document, operationName)?.operation === 'subscription' : false
}

export async function post(endpoint, request, headers) {
  const answer = await fetch(endpoint, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      Accept: 'application/graphql-response+json, application/json;q=0.9',
      ...headers,
    },
    body: JSON.stringify(request),
  })
  const text = await answer.text()
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`HTTP ${answer.status} ${answer.statusText}: ${text.slice(0, 300)}`)
  }
}

/** Every answer shows the newest event, with those before it below as `earlier`. */
function subscribe(endpoint, request, headers) {
  const url = new URL(endpoint)
  url.protocol = url.protocol.replace('http', 'ws')
  const client = createClient({
    url: url.href,
    connectionParams: connectionParams(headers),
    // A socket that was lost is not silently opened again: without `after` events would be missing.
    retryAttempts: 0,
  })
  const answers = client.iterate(request)
  const seen = []
  return {
    async next() {
      try {
        const { done, value } = await answers.next()
        if (done) return { done, value }
        const shown = seen.length > 0 ? { ...value, earlier: seen.slice(0, EARLIER_SHOWN) } : value
        seen.unshift(value.data ?? value)
        return { done: false, value: shown }
      } catch (fault) {
        throw readable(fault)
      }
    },
    async return() {
      answers.return?.()
      await client.dispose()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

function connectionParams(headers) {
  const named = (wanted) => Object.entries(headers).find(([name]) => name.toLowerCase() === wanted)?.[1]
  const params = { authorization: named('authorization'), language: named('accept-language') }
  return Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined))
}

/** What the answer pane shows: GraphQL errors as they are, anything else as a sentence, never a stack trace. */
function readable(fault) {
  if (Array.isArray(fault)) return fault
  if (fault instanceof CloseEvent) {
    return { message: `The socket was closed (${fault.code}${fault.reason ? `: ${fault.reason}` : ''}).` }
  }
  return { message: fault instanceof Error ? fault.message : 'The socket could not be opened.' }
}
