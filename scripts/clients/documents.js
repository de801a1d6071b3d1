// What Relay compiles: a list that grows, a timeline that is fetched again by itself, a mutation.
import { graphql } from "relay-runtime";

export const page = graphql`query documentsQuery { viewer { ...documents_cases } }`;
export const cases = graphql`fragment documents_cases on Viewer
  @refetchable(queryName: "documentsCasesQuery")
  @argumentDefinitions(first: {type: "Int", defaultValue: 2} after: {type: "Cursor"}) {
    cases(first: $first, after: $after) @connection(key: "documents_cases") { edges { node { ...documents_case } } } }`;
export const one = graphql`fragment documents_case on Case
  @refetchable(queryName: "documentsTimelineQuery")
  @argumentDefinitions(first: {type: "Int", defaultValue: 2} after: {type: "Cursor"}) {
    reference status
    timeline(first: $first, after: $after) @connection(key: "documents_timeline") { edges { node { type summary } } } }`;
export const withdraw = graphql`mutation documentsWithdrawMutation($id: ID!) {
  caseWithdraw(id: $id) { case { ...documents_case } errors { code message path } } }`;
