// Each client does what a website does: read, act, follow; exit code 1 when one of them got something else than it should.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { getMainDefinition, relayStylePagination } from "@apollo/client/utilities";
import { cacheExchange, Client, fetchExchange } from "@urql/core";
import { createClient as createSse } from "graphql-sse";
import { createClient as createSocket } from "graphql-ws";
import relay from "relay-runtime";
import { pipe, subscribe } from "wonka";
import WebSocket from "ws";

const url = JSON.parse(readFileSync(`${process.env.LOKET_HOME}/run.json`)).url + "/graphql";
const FOLLOW = `subscription Follow($reference: String!, $after: Cursor) {
  caseEvents(reference: $reference, after: $after) { cursor type } }`;
const WITHDRAW = `mutation Withdraw($id: ID!) { caseWithdraw(id: $id) {
  case { id status } errors { __typename code message path ... on TransitionNotAllowed { currentStatus } } } }`;

async function until(true_, what) {
  for (const end = Date.now() + 30_000; !(await true_()); await new Promise((go) => setTimeout(go, 50)))
    assert.ok(Date.now() < end, `waited in vain for ${what}`);
}

/** A citizen of the sandbox who has handed in an application. */
async function citizen() {
  const persona = `burger-${1 + Math.floor(Math.random() * 99_999)}`;
  const { stdout: token } = await promisify(execFile)(process.env.LOKET, ["token", "--as", persona]);
  const headers = { authorization: `Bearer ${token.trim()}` };
  const ask = async (query, variables) => {
    const body = JSON.stringify({ query, variables });
    const answer = await fetch(url, { method: "POST", headers: { ...headers, "content-type": "application/json" }, body });
    const { data, errors } = await answer.json();
    assert.equal(errors, undefined);
    return data;
  };
  const started = await ask(`mutation { applicationStart(procedure: "compost-bin") { application { id } } }`);
  const { id } = started.applicationStart.application;
  const handedIn = await ask(`mutation($id: ID!, $key: String!) {
    applicationSetAnswers(id: $id, input: {contact: {}, delivery: {place: "home"}, declaration: true}) { errors { message } }
    applicationSetCart(id: $id, input: {lines: [{product: "vat", quantity: 1}]}) { errors { message } }
    applicationSubmit(id: $id, idempotencyKey: $key) { errors { message }
      case { id reference cursor timeline(first: 1) { nodes { cursor } } } } }`, { id, key: crypto.randomUUID() });
  const own = handedIn.applicationSubmit.case;
  const socket = { url: url.replace("http", "ws"), webSocketImpl: WebSocket, connectionParams: headers };
  return { headers, ask, socket, own, begin: { reference: own.reference, after: own.timeline.nodes[0].cursor } };
}

async function graphqlWs() {
  const { ask, socket, own, begin: variables } = await citizen();
  const seen = [];
  let opened = 0, cut;
  const client = createSocket({ ...socket, shouldRetry: () => true, on: { connected: (one) => { opened += 1; cut = () => one.terminate(); } } });
  const next = ({ data: { caseEvents: event } }) => {
    seen.push(event);
    variables.after = event.cursor; // so that graphql-ws, which subscribes again with these, goes on from here
  };
  const stop = client.subscribe({ query: FOLLOW, variables }, { next, error: assert.fail, complete() {} });
  await until(() => seen.length >= 6, "the replay");
  cut();
  await ask(WITHDRAW, { id: own.id });
  await until(() => seen.some((event) => event.type === "WITHDRAWN"), "what happened while the socket was cut");
  stop();
  assert.ok(opened >= 2);
  assert.equal(new Set(seen.map((event) => event.cursor)).size, seen.length, "an event came twice");
  const { case: { timeline } } = await ask(`query($r: String!) { case(reference: $r) { timeline(first: 100) { nodes { type } } } }`, { r: own.reference });
  const types = (events) => events.map((event) => event.type).filter((type) => !type.startsWith("EFFECT_"));
  assert.deepEqual(types(seen), types(timeline.nodes).slice(1));
}

async function graphqlSse() {
  const { ask, headers, own, begin: variables } = await citizen();
  setTimeout(() => ask(WITHDRAW, { id: own.id }), 500);
  for await (const { data } of createSse({ url, headers }).iterate({ query: FOLLOW, variables })) if (data.caseEvents.type === "WITHDRAWN") return;
  assert.fail("the stream ended");
}

async function apollo() {
  const { headers, socket, own } = await citizen();
  const follows = ({ query }) => getMainDefinition(query).operation === "subscription";
  const link = ApolloLink.split(follows, new GraphQLWsLink(createSocket(socket)), new HttpLink({ uri: url, headers }));
  const cache = new InMemoryCache({ typePolicies: { Viewer: { keyFields: [], fields: { cases: relayStylePagination() } } } });
  const client = new ApolloClient({ link, cache });
  const read = await client.query({ query: gql`{ viewer { cases(first: 1) { edges { node { id status } } pageInfo { hasNextPage endCursor } } } }` });
  assert.equal(read.data.viewer.cases.edges[0].node.status, "AWAITING_PAYMENT");
  const seen = [];
  client.subscribe({ query: gql(FOLLOW), variables: { reference: own.reference, after: own.cursor } }).subscribe((one) => seen.push(one.data.caseEvents.type));
  await client.mutate({ mutation: gql(WITHDRAW), variables: { id: own.id } });
  assert.equal(cache.extract()[`Case:${own.id}`].status, "WITHDRAWN", "the cache has what the mutation answered");
  await until(() => seen.includes("WITHDRAWN"), "the event");
  const again = await client.mutate({ mutation: gql(WITHDRAW), variables: { id: own.id } });
  const { __typename, currentStatus } = again.data.caseWithdraw.errors[0];
  assert.deepEqual([__typename, currentStatus], ["TransitionNotAllowed", "WITHDRAWN"]);
}

async function urql() {
  const { headers, own } = await citizen();
  const client = new Client({ url, fetchOptions: { headers }, fetchSubscriptions: true, exchanges: [cacheExchange, fetchExchange] });
  const seen = [];
  pipe(client.subscription(FOLLOW, { reference: own.reference, after: own.cursor }), subscribe((one) => seen.push(one.data?.caseEvents.type)));
  assert.equal((await client.query("{ viewer { kind } }", {})).data.viewer.kind, "CITIZEN");
  assert.deepEqual((await client.mutation(WITHDRAW, { id: own.id })).data.caseWithdraw.errors, []);
  await until(() => seen.includes("WITHDRAWN"), "the event");
}

async function relayRuntime() {
  const { ask, own } = await citizen();
  const artifact = async (name) => (await import(`./artifacts/${name}.graphql.js`)).default;
  const network = relay.Network.create(async ({ text }, variables) => ({ data: await ask(text, variables) }));
  const environment = new relay.Environment({ network, store: new relay.Store(new relay.RecordSource()) });
  const read = async (name, variables) => relay.fetchQuery(environment, await artifact(name), variables).toPromise();
  const kept = () => environment.getStore().getSource().get(own.id);
  await read("documentsQuery", {});
  await read("documentsCasesQuery", { first: 1, after: null });
  await read("documentsTimelineQuery", { id: own.id, first: 3, after: null });
  assert.ok(kept().__documents_timeline_connection, "a page of the timeline");
  const mutation = await artifact("documentsWithdrawMutation");
  await new Promise((onCompleted, onError) => relay.commitMutation(environment, { mutation, variables: { id: own.id }, onCompleted, onError }));
  assert.equal(kept().status, "WITHDRAWN");
}

for (const client of [graphqlWs, graphqlSse, apollo, urql, relayRuntime]) {
  await client();
  console.log(`ok  ${client.name}`);
}
process.exit(0);
