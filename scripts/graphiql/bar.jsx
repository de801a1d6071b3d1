// The bar above the workbench: who am I, sign in, sign out, back to the examples.

import { useEffect, useState } from 'react'

import { post } from './fetcher.js'
import { forgetTabs } from './storage.js'
import { forgetToken } from './token.js'

const SIGN_IN = '/auth/login?return=/graphql'
const SIGN_IN_STAFF = '/auth/login?audience=staff&return=/graphql'
const SIGN_OUT = '/auth/logout?return=/graphql'
const WHO = '{ viewer { kind person { name } staffMember { name } } }'
const KINDS = { CITIZEN: 'burger', STAFF: 'medewerker', SERVICE: 'toepassing', SYSTEM: 'systeem' }

export function Bar({ endpoint, authorization }) {
  const [viewer, setViewer] = useState(undefined)
  useEffect(() => {
    whoAmI(endpoint, authorization).then(setViewer)
  }, [])

  return (
    <header className="loket-bar">
      <strong>Loket</strong>
      <span className="loket-dim">GraphQL-werkbank</span>
      <span className="loket-space" />
      <button type="button" onClick={openExamples} title="Sluit alle tabbladen en open de voorbeelden opnieuw">
        Voorbeelden
      </button>
      <Session viewer={viewer} authorization={authorization} />
    </header>
  )
}

function Session({ viewer, authorization }) {
  if (authorization) {
    return (
      <>
        <span className={viewer ? 'loket-in' : 'loket-warn'}>
          {viewer === undefined ? '…' : viewer ? `Aangemeld met token · ${viewer}` : 'Token niet (meer) geldig'}
        </span>
        <button type="button" onClick={dropToken}>
          Token wissen
        </button>
      </>
    )
  }
  if (viewer === undefined) return null
  return viewer ? (
    <>
      <span className="loket-in">Aangemeld · {viewer}</span>
      <a href={SIGN_OUT}>Afmelden</a>
    </>
  ) : (
    <>
      <span className="loket-dim">Niet aangemeld</span>
      <a className="loket-main" href={SIGN_IN}>
        Aanmelden
      </a>
      <a href={SIGN_IN_STAFF}>Als medewerker</a>
    </>
  )
}

/** The viewer's name and kind, or null for somebody who is not signed in. */
async function whoAmI(endpoint, authorization) {
  try {
    const { data } = await post(endpoint, { query: WHO }, authorization ?? {})
    const viewer = data?.viewer
    if (!viewer) return null
    const name = viewer.person?.name ?? viewer.staffMember?.name
    const kind = KINDS[viewer.kind] ?? viewer.kind
    return name ? `${name} (${kind})` : kind
  } catch {
    return null
  }
}

function openExamples() {
  forgetTabs()
  location.reload()
}

function dropToken() {
  forgetToken()
  forgetTabs()
  location.reload()
}
