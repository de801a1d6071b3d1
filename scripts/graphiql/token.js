// The sandbox's desk opens the workbench with #token=… A fragment never reaches a server or its log.
// The token is kept for this browser tab, so that a reload does not sign out; never in localStorage.

const KEY = 'loket:token'

export function tokenFromFragment() {
  const fragment = new URLSearchParams(location.hash.slice(1))
  const given = fragment.get('token')
  if (given !== null) {
    history.replaceState(null, '', location.pathname + location.search)
    if (given) sessionStorage.setItem(KEY, given)
    else forgetToken()
  }
  return sessionStorage.getItem(KEY)
}

export function forgetToken() {
  sessionStorage.removeItem(KEY)
}
