// The workbench behind GET /graphql: GraphiQL with its explorer, worked examples and sign-in, all from Loket itself.

import { explorerPlugin } from '@graphiql/plugin-explorer'
import { GraphiQL } from 'graphiql'
import { createRoot } from 'react-dom/client'

import { Bar } from './bar.jsx'
import { loketFetcher } from './fetcher.js'
import { keptForThisVisit } from './storage.js'
import { tokenFromFragment } from './token.js'
import './workers.js'
import '@graphiql/react/style.css'
import '@graphiql/plugin-doc-explorer/style.css'
import '@graphiql/plugin-explorer/style.css'
import 'graphiql/graphiql.css'
import './loket.css'

const ENDPOINT = new URL('/graphql', location.href)
const EXAMPLES = '/graphiql/examples.json'
const EXPLORER = explorerPlugin({ showAttribution: false })

async function examples() {
  const answer = await fetch(EXAMPLES)
  return answer.ok ? answer.json() : []
}

function tab({ name, query, variables, headers }, authorization) {
  const pretty = (value) => JSON.stringify(value, null, 2)
  return {
    query: `# ${name}\n${query}`,
    variables: variables ? pretty(variables) : '',
    headers: headers || authorization ? pretty({ ...authorization, ...headers }) : '',
  }
}

async function show() {
  const token = tokenFromFragment()
  const authorization = token ? { Authorization: `Bearer ${token}` } : null
  const tabs = (await examples()).map((example) => tab(example, authorization))
  const fetcher = loketFetcher(ENDPOINT)

  createRoot(document.getElementById('loket')).render(
    <>
      <Bar endpoint={ENDPOINT} authorization={authorization} />
      <GraphiQL
        fetcher={fetcher}
        plugins={[EXPLORER]}
        visiblePlugin={EXPLORER}
        storage={keptForThisVisit(authorization)}
        defaultTabs={tabs.length > 0 ? tabs : undefined}
        defaultHeaders={authorization ? JSON.stringify(authorization, null, 2) : undefined}
        defaultEditorToolsVisibility="variables"
        isHeadersEditorEnabled
        shouldPersistHeaders={false}
        inputValueDeprecation
        schemaDescription
      >
        <GraphiQL.Logo>
          <span />
        </GraphiQL.Logo>
      </GraphiQL>
    </>,
  )
}

addEventListener('hashchange', () => {
  if (location.hash.startsWith('#token=')) location.reload()
})
show()
