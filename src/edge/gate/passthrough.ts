/** Names of which their upstream decides for each caller: who he is there, and what he is told when it says no. */
import { userAndPassword } from '../../access/basic.ts'
import { RegistryError } from '../../oci/errors.ts'
import { isGuarded, type Verdicts } from '../../pull/verdicts.ts'
import { isPassthrough, type Resolved, type Resolver } from '../../resolve/resolve.ts'
import type { Login } from '../../upstream/auth/callers.ts'
import { UpstreamError } from '../../upstream/upstream-error.ts'
import type { Answer, Headers } from '../answer.ts'
import type { Exchange } from '../exchange.ts'

/** Whatever is given has to be decided anew for the next caller. */
export function isDecidedEachTime({ upstream }: Resolved): boolean {
  return upstream !== undefined && isGuarded(upstream)
}

/** The name with its upstream as this caller asks it. The only place where a client's login leaves for an upstream. */
export function asCaller(exchange: Exchange, resolved: Resolved, verdicts: Verdicts): Resolved {
  const { local, upstream: target } = resolved
  if (!target || !isGuarded(target)) return resolved
  if (local) return { local, upstream: verdicts.witness(target) }
  return { upstream: verdicts.witness({ ...target, upstream: target.upstream.as(loginIn(exchange)) }) }
}

/** 401 for who may bring a login yet. A mirror never asks for one: it would draw those that are for others. */
export function forAsker(error: unknown, exchange: Exchange, resolved: Resolved): unknown {
  if (!(error instanceof UpstreamError) || error.failure !== 'caller-refused') return error
  if (exchange.role === 'mirror' || loginIn(exchange) || !isPassthrough(resolved)) return error
  if (error.upstreamStatus !== 401 && error.upstreamStatus !== 403) return error
  const { message, details } = error
  const headers = challenge(`${error.upstream} through Layover`)
  return new RegistryError('UNAUTHORIZED', message, { details, headers, cause: error })
}

/**
 * For clients that take challenges from a ping, whatever its status: those that find none there never send their login.
 * Others may go on without one.
 */
export function pingHeaders({ role }: Exchange, { upstreams }: Resolver): Headers {
  const isAsked = upstreams.some(isGuarded)
  return role === 'registry' && isAsked ? challenge('Layover') : {}
}

/** Caches in between keep it for nobody else. */
export function forOneCaller(answer: Answer): Answer {
  const { headers } = answer
  const isStored = headers['cache-control'] !== 'no-store'
  const shown = isStored ? { 'cache-control': 'private, no-cache' } : {}
  return { ...answer, headers: { ...headers, ...shown, vary: 'authorization' } }
}

function challenge(realm: string): Headers {
  return { 'www-authenticate': `Basic realm="${realm}"` }
}

/** User and password (RFC 7617). Bearer tokens, and what is malformed, count as none: no upstream gave them to this host. */
function loginIn({ request, client = '' }: Exchange): Login | undefined {
  const [, encoded] = /^Basic +([A-Za-z0-9+/_=-]{1,16384})$/i.exec(request.headers.authorization ?? '') ?? []
  const { user: username, password } = userAndPassword(encoded ?? '') ?? { user: '', password: '' }
  if (username === '' || password === '' || /\p{Cc}/u.test(username + password)) return undefined
  return { username, password, client }
}
