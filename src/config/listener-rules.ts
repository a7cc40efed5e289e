/** The rules for the addresses that are listened on. */
import { z } from 'zod'
import { belongTogether, leadToRoots, refusalOf } from './identity.ts'
import type { Breach } from './local-rules.ts'

const maybe = z.string().optional().catch(undefined)

/** What of a listener the rules look at. */
export const looseListener = z.object({
  tls: z
    .object({ cert: maybe, key: maybe, clientCa: maybe, clientAuth: maybe, clientCrl: maybe })
    .optional()
    .catch(undefined),
})

type Listener = z.output<typeof looseListener>

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
  const refusal = refusalOf({ cert, key })
  return refusal === undefined ? undefined : `TLS does not take it with this key: ${refusal}`
}

/** What stands under `tls` on the certificates of clients. */
export function unusableClientRules(listeners: readonly (Listener | undefined)[]): Breach[] {
  return listeners.flatMap((listener, at) =>
    complaintsOnClients(listener?.tls ?? {}).map(([key, message]) => ({
      path: ['listeners', at, 'tls', key],
      message,
    })),
  )
}

function complaintsOnClients({
  clientCa,
  clientAuth,
  clientCrl,
}: NonNullable<Listener['tls']>): [key: string, message: string][] {
  if (clientCa === undefined)
    return Object.entries({ clientAuth, clientCrl })
      .filter(([, value]) => value !== undefined)
      .map(([key]) => [key, 'expected `clientCa` beside it: without it no client is asked for a certificate'])
  if (leadToRoots(clientCa)) return []
  return [['clientCa', 'expected each certificate with the one that signed it, up to the root']]
}
