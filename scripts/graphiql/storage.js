// Where GraphiQL keeps open tabs: in this browser tab only. Variables hold people's answers, so nothing stays
// behind on a shared computer; only the colour theme does. GraphiQL never stores headers (shouldPersistHeaders)
// and its history plugin, which does, is left out; after a reload the token is put back into the tabs.

const TABS = 'graphiql:tabState'
const THEME = 'graphiql:theme'

export function keptForThisVisit(authorization) {
  const place = (key) => (key === THEME ? localStorage : sessionStorage)
  return {
    getItem(key) {
      const value = place(key).getItem(key)
      return key === TABS && value ? withHeaders(value, authorization) : value
    },
    setItem: (key, value) => place(key).setItem(key, value),
    removeItem: (key) => place(key).removeItem(key),
    clear: forgetTabs,
    get length() {
      return sessionStorage.length
    },
  }
}

export function forgetTabs() {
  for (const key of Object.keys(sessionStorage)) {
    if (key.startsWith('graphiql:')) sessionStorage.removeItem(key)
  }
}

// The active tab takes its headers from `defaultHeaders`; filled in here, GraphiQL would no longer recognise it and
// open it a second time.
function withHeaders(stored, authorization) {
  const state = JSON.parse(stored)
  state.tabs.forEach((tab, index) => {
    if (index === state.activeTabIndex || tab.headers) return
    tab.headers = authorization ? JSON.stringify(authorization, null, 2) : ''
  })
  return JSON.stringify(state)
}
