/** The rules for the addresses that are listened on. */
import { belongTogether, refusalOf } from './identity.ts'
import type { Breach } from './local-rules.ts'

interface Listener {
  tls?: { cert?: string | undefined; key?: string | undefined } | undefined
}

export function listenedTwice(listen: unknown, listeners: readonly unknown[]): Breach[] {
  if (listen === undefined || listeners.length === 0) return []
  return [{ path: ['listeners'], message: 'expected either `listen` or `listeners`: leave `listen` out' }]
}

export function unusableIdentities(listeners: readonly (Listener | undefined)[]): Breach[] {
  return listeners.flatMap((listener, at): Breach[] => {
    const { cert, key } = listener?.tls ?? {}
    if (cert === undefined || key === undefined) return []
    const message = complaintOf(cert, key)
    return message === undefined ? [] : [{ path: ['listeners', at, 'tls', 'cert'], message }]
  })
}

function complaintOf(cert: string, key: string): string | undefined {
  if (!belongTogether(cert, key))
    return 'expected the certificate of `key`, in front of those between it and its root; found one of another key'
  const refusal = refusalOf(cert, key)
  return refusal === undefined ? undefined : `TLS does not take it with this key: ${refusal}`
}
