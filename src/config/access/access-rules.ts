/** The rules between `access` and what else there is. */
import { z } from 'zod'
import type { Breach } from '../local-rules.ts'

const maybe = z.unknown().optional()

const looseAccess = z.object({
  users: z.array(maybe).catch([]),
  oidc: z.array(maybe).catch([]),
  htpasswd: maybe,
  policy: maybe,
})

type Listener = { readonly tls?: { readonly clientCa?: string | undefined } | undefined } | undefined

const message =
  'expected a way to log in: `users`, `htpasswd`, `oidc`, or `clientCa` of a listener; without one nobody may do anything, but under a policy that lets people in without a login, such as anonymous-pull'

/** A policy of rules may know people by their addresses. */
export function nobodyComesIn(access: unknown, listeners: readonly Listener[]): Breach[] {
  const given = looseAccess.safeParse(access ?? {})
  if (!given.success) return []
  const { users, oidc, htpasswd, policy = 'authenticated' } = given.data
  const hasLogin = users.length > 0 || oidc.length > 0 || htpasswd !== undefined
  if (hasLogin || policy !== 'authenticated' || listeners.some(listener => listener?.tls?.clientCa)) return []
  return [{ path: ['access'], message }]
}
