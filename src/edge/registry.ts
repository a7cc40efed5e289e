/** The distribution API: from a request to the handler of its operation. */
import { RegistryError } from '../oci/errors.ts'
import { forClient } from '../pull/failure.ts'
import type { Pull } from '../pull/pull.ts'
import type { Resolved, Resolver } from '../resolve/resolve.ts'
import { goesInCircles, marksIn, withMarks } from '../upstream/loop.ts'
import { type Answer, json } from './answer.ts'
import { answerBlob } from './blobs.ts'
import type { Call } from './call.ts'
import type { Exchange } from './exchange.ts'
import { answerReferrers, answerTags } from './listings.ts'
import { answerManifest } from './manifests.ts'
import { type Operation, parseRoute, type Route } from './route.ts'

export interface RegistryDeps {
  readonly pull: Pull
  readonly resolver: Resolver
  /** Path of `publicUrl`, without a trailing slash: what a proxy in front of us strips. */
  readonly publicPath: string
  /** Our mark in `CDN-Loop` (RFC 8586). */
  readonly loopId: string
}

/** Undefined when the path is none of the distribution API's. */
export function answerRegistry(exchange: Exchange, deps: RegistryDeps): Promise<Answer> | undefined {
  let route: Route | undefined
  try {
    route = parseRoute(exchange.path, name => deps.resolver.knows(name))
  } catch (error) {
    return Promise.reject(error)
  }
  if (!route) return undefined
  const marks = marksIn(exchange.request.headers['cdn-loop']?.toString() ?? '')
  if (goesInCircles(marks, deps.loopId)) return Promise.reject(inCircles())
  return withMarks(marks, () => answerRoute(exchange, route, deps))
}

async function answerRoute(exchange: Exchange, route: Route, deps: RegistryDeps): Promise<Answer> {
  const { operation } = route
  const isRead = exchange.request.method === 'GET' || exchange.request.method === 'HEAD'
  if (operation.kind === 'ping') return isRead ? json({}) : refuseWrite(undefined)
  if (operation.kind === 'catalog')
    throw new RegistryError('UNSUPPORTED', 'no catalog is kept', { status: 404 })
  const ns = isRead ? deps.resolver.effectiveNs(exchange.query.get('ns')) : undefined
  const resolved = deps.resolver.resolve({ ns, prefix: route.prefix, name: operation.name })
  noteNames(exchange, resolved, operation)
  if (ns !== undefined) exchange.facts.namespace = ns
  if (!isRead) return refuseWrite(resolved)
  const address = `${deps.publicPath}${route.base}${operation.name}`
  return answerRead({ exchange, resolved, pull: deps.pull, address }, operation)
}

async function answerRead(
  call: Call,
  operation: Exclude<Operation, { kind: 'ping' | 'catalog' }>,
): Promise<Answer> {
  try {
    switch (operation.kind) {
      case 'manifest':
        return await answerManifest(call, operation.reference)
      case 'blob':
        return await answerBlob(call, operation.digest)
      case 'tags':
        return await answerTags(call)
      case 'referrers':
        return await answerReferrers(call, operation.subject)
      case 'uploads':
        throw new RegistryError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload')
    }
  } catch (error) {
    throw call.resolved.kind === 'upstream' ? forClient(error, call.resolved.target.policy) : error
  }
}

function noteNames({ facts }: Exchange, resolved: Resolved, operation: Operation): void {
  if (resolved.kind === 'local') {
    facts.upstream = 'local'
    facts.repository = resolved.repository
  } else {
    facts.upstream = resolved.target.upstream.registry
    facts.repository = resolved.target.repository
  }
  if (operation.kind !== 'ping' && operation.kind !== 'catalog' && operation.kind !== 'uploads')
    facts.kind = operation.kind
}

function refuseWrite(resolved: Resolved | undefined): never {
  const reason =
    resolved?.kind === 'upstream'
      ? `${resolved.target.upstream.registry} is mirrored here: push to it directly`
      : 'this registry takes no pushes and deletes'
  throw new RegistryError('UNSUPPORTED', reason, { headers: { allow: 'GET, HEAD' } })
}

function inCircles(): RegistryError {
  return new RegistryError(
    'LOOP',
    'the request came back to where it started: an upstream points at this registry',
  )
}
