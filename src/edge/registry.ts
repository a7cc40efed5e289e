/** The distribution API: from a request to the handler of its operation. */

import type { Standing } from '../cluster/owner/ownership.ts'
import type { Logger } from '../observe/log.ts'
import type { Write } from '../observe/metrics.ts'
import { isDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { forClient } from '../pull/failure.ts'
import type { Pull } from '../pull/pull.ts'
import type { Target } from '../pull/target.ts'
import { forPusher } from '../push/failure.ts'
import type { Push } from '../push/push.ts'
import { keysOf, type Resolved, type Resolver } from '../resolve/resolve.ts'
import type { RepositoryKey } from '../store/layout.ts'
import { goesInCircles, marksIn, withMarks } from '../upstream/transport/loop.ts'
import { type Answer, json } from './answer.ts'
import { type Exchange, isReading } from './exchange.ts'
import { tellWritten } from './gate/audit.ts'
import type { Gate } from './gate/gate.ts'
import { forStranger } from './gate/known-registries.ts'
import { asCaller, forAsker, forOneCaller, isDecidedEachTime, pingHeaders } from './gate/passthrough.ts'
import { repositoryIn, wantedOf, wantedOfInventory } from './gate/question.ts'
import type { HotPath } from './memory/hot-path.ts'
import { type NamedOperation, resolveName } from './names.ts'
import { answerLeft } from './reads/blobs.ts'
import type { Call, ContentCall } from './reads/call.ts'
import { answerContent } from './reads/content.ts'
import { answerInventory } from './reads/extension.ts'
import type { InventoryCall, InventoryDeps } from './reads/inventory.ts'
import { answerTags } from './reads/listings.ts'
import { answerReferrers } from './reads/referrers.ts'
import type { BytesLeft, LocalNames } from './replicas/local-names.ts'
import { parseRoute, type Route } from './route.ts'
import { assertMayWrite } from './writes/access.ts'
import { assertFramed } from './writes/body.ts'
import { answerBlobDelete, answerManifestDelete, answerManifestPut, type PushCall } from './writes/push.ts'
import { answerUpload, answerUploadStart } from './writes/uploads.ts'

type ReadOperation = Exclude<NamedOperation, { kind: 'uploads' }>

export interface RegistryDeps {
  readonly pull: Pull
  readonly push: Push
  readonly hotPath: HotPath
  readonly gate: Gate
  readonly localNames: LocalNames
  readonly inventory: Omit<InventoryDeps, 'resolver'>
  readonly resolver: Resolver
  readonly log: Logger
  /** Path of `publicUrl`, without a trailing slash: what a proxy in front of us strips. */
  readonly publicPath: string
  /** Our mark in `CDN-Loop` (RFC 8586). */
  readonly loopId: string
  readonly limits: () => Pick<PushCall, 'pace' | 'manifestBytes'> & Pick<Call, 'pageLimit'>
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
  const isRead = isReading(exchange)
  if (exchange.role === 'mirror' && (!isRead || operation.kind === 'uploads'))
    return refusePush(exchange, 'only pulls are taken at this address')
  if (operation.kind === 'ping') return isRead ? answerPing(exchange, deps) : refuseMethod(readMethods)
  if (operation.kind === 'catalog' || operation.kind === 'extension' || operation.kind === 'discover') {
    if (!isRead) return refuseMethod(readMethods)
    const admitted = await deps.gate.admit(exchange, wantedOfInventory(operation, deps.resolver))
    const here = () => answerInventory(inventoryCall(admitted, route, deps), operation)
    return deps.resolver.locals.length === 0 ? here() : deps.localNames.answer(admitted, { here })
  }
  return answerRepository(exchange, { ...route, operation }, deps)
}

async function answerPing(exchange: Exchange, { gate, resolver }: RegistryDeps): Promise<Answer> {
  await gate.ping(exchange)
  const answer = json({})
  return gate.access
    ? answer
    : { ...answer, headers: { ...answer.headers, ...pingHeaders(exchange, resolver) } }
}

async function answerRepository(
  asked: Exchange,
  route: Route & { readonly operation: NamedOperation },
  deps: RegistryDeps,
): Promise<Answer> {
  const { operation } = route
  const { resolver } = deps
  const named = namedFor(asked, route, deps)
  const wanted = wantedOf({ exchange: asked, route, operation, resolver, resolved: named })
  const exchange = await deps.gate.admit(asked, wanted)
  const resolved = asCaller(exchange, named, deps.pull.verdicts)
  const isRead = isReading(exchange)
  const here = (under?: Standing) => answerNamed({ exchange, resolved, deps, route, under }, operation)
  if (!resolved.local) return here()
  const isContent = isRead && (operation.kind === 'manifest' || operation.kind === 'blob')
  const keys = isContent && !isDecidedEachTime(resolved) ? keysOf(resolved) : undefined
  const left =
    operation.kind === 'blob'
      ? bytesLeft({ exchange, resolved, pull: deps.pull }, operation.digest)
      : undefined
  return deps.localNames.answer(exchange, { here, keys, left })
}

function namedFor(
  asked: Exchange,
  route: Route & { readonly operation: NamedOperation },
  { resolver, gate }: RegistryDeps,
): Resolved {
  try {
    return resolveName(asked, route, route.operation, resolver)
  } catch (error) {
    throw forStranger(error, asked, gate.access)
  }
}

/** Of a blob whose owner may leave its bytes to us. */
function bytesLeft(call: ContentCall, text: string): BytesLeft | undefined {
  const { request } = call.exchange
  if (request.method !== 'GET') return undefined
  const inPart = request.headers.range !== undefined
  return {
    canGive: async () => isDigest(text) && call.pull.local.fetchesBytes(text, { inPart }),
    give: size => answerLeft(call, text, size),
  }
}

interface Named {
  readonly exchange: Exchange
  readonly resolved: Resolved
  readonly deps: RegistryDeps
  readonly route: Route
  readonly under: Standing | undefined
}

function answerNamed(
  { exchange, resolved, deps, route, under }: Named,
  operation: NamedOperation,
): Promise<Answer> {
  const address = `${exchange.publicPath ?? deps.publicPath}${route.base}${operation.name}`
  if (!isReading(exchange) || operation.kind === 'uploads')
    return answerWrite({ exchange, resolved, deps, address }, operation)
  const { pull, hotPath, limits } = deps
  const { pageLimit } = limits()
  return answerRead({ exchange, resolved, pull, address, pageLimit, under }, operation, hotPath)
}

async function answerRead(call: Call, operation: ReadOperation, hotPath: HotPath): Promise<Answer> {
  try {
    const answer = await answerOperation(call, operation, hotPath)
    return isDecidedEachTime(call.resolved) ? forOneCaller(answer) : answer
  } catch (error) {
    const { upstream } = call.resolved
    throw upstream ? forClient(forAsker(error, call.exchange, call.resolved), upstream.policy) : error
  }
}

function answerOperation(call: Call, operation: ReadOperation, hotPath: HotPath): Promise<Answer> {
  switch (operation.kind) {
    case 'manifest':
    case 'blob':
      return answerContent(call, operation, hotPath)
    case 'tags':
      return answerTags(call)
    case 'referrers':
      return answerReferrers(call, operation.subject)
  }
}

function inventoryCall(exchange: Exchange, route: Route, deps: RegistryDeps): InventoryCall {
  const { inventory, resolver, publicPath, limits } = deps
  const base = `${exchange.publicPath ?? publicPath}${route.base}`
  const unlimited = { ...exchange, access: undefined } // a token for the catalog names no repository
  const shows = async (key: RepositoryKey) => {
    const found = resolver.find(resolver.fullName(key))
    return found !== undefined && deps.gate.mayPull(unlimited, repositoryIn(resolver, found))
  }
  const showsAll = !deps.gate.access
  return {
    exchange,
    deps: { ...inventory, resolver },
    base,
    pageLimit: limits().pageLimit,
    shows: showsAll ? undefined : shows,
  }
}

interface Writing {
  exchange: Exchange
  resolved: Resolved
  deps: RegistryDeps
  address: string
}

/** Everything of a push, the state of an upload included. */
async function answerWrite(
  { exchange, resolved, deps, address }: Writing,
  operation: NamedOperation,
): Promise<Answer> {
  const { request, facts } = exchange
  const { local } = resolved
  if (!local) return refuseMirrored(resolved.upstream, exchange)
  const allowed = methodsOf(operation)
  if (!allowed.includes(request.method ?? '')) return refuseMethod(allowed)
  // Who came in while nothing was configured has been asked nothing, also if something is by now.
  if (!deps.gate.access || exchange.question === undefined) assertMayWrite(exchange)
  assertFramed(exchange)
  facts.write = writeOf(operation, request.method)
  const { push, resolver, limits } = deps
  const mounted = { object: 'blob', digest: exchange.query.get('mount') ?? '' } as const
  const mayTake = async (found: Resolved | undefined) =>
    found !== undefined && deps.gate.mayTake(exchange, { ...repositoryIn(resolver, found), ...mounted })
  const source = async (name: string) => {
    const found = resolver.find(name)
    return (await mayTake(found)) ? found : undefined
  }
  const mayRead = (key: RepositoryKey) => mayTake(resolver.find(resolver.fullName(key)))
  const beneath = resolved.upstream
  const call: PushCall = { exchange, local, beneath, push, address, source, mayRead, ...limits() }
  try {
    const answer = await answerPush(call, operation)
    tellWritten(exchange, answer, deps.log)
    return answer
  } catch (error) {
    throw forPusher(error)
  }
}

async function answerPush(call: PushCall, operation: NamedOperation): Promise<Answer> {
  const isPut = call.exchange.request.method === 'PUT'
  switch (operation.kind) {
    case 'uploads':
      return operation.session === undefined ? answerUploadStart(call) : answerUpload(call, operation.session)
    case 'manifest':
      return (isPut ? answerManifestPut : answerManifestDelete)(call, operation.reference)
    case 'blob':
      return answerBlobDelete(call, operation.digest)
    case 'tags':
    case 'referrers':
      return refuseMethod(methodsOf(operation))
  }
}

function writeOf({ kind }: NamedOperation, method: string | undefined): Write {
  if (kind === 'uploads') return 'upload'
  return method === 'PUT' ? 'manifest' : 'delete'
}

const readMethods = ['GET', 'HEAD']

function methodsOf(operation: NamedOperation): readonly string[] {
  if (operation.kind === 'manifest') return [...readMethods, 'PUT', 'DELETE']
  if (operation.kind === 'blob') return [...readMethods, 'DELETE']
  if (operation.kind !== 'uploads') return readMethods
  return operation.session === undefined ? ['POST'] : [...readMethods, 'PATCH', 'PUT', 'DELETE']
}

function refuseMirrored({ upstream }: Target, exchange: Exchange): never {
  return refusePush(
    exchange,
    `the name belongs to ${upstream.registry}, which is only mirrored here: push to it and delete there, or use a local name`,
  )
}

function refusePush(exchange: Exchange, message: string): never {
  if (isReading(exchange)) throw new RegistryError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload')
  throw new RegistryError('UNSUPPORTED', message, { headers: { allow: readMethods.join(', ') } })
}

function refuseMethod(allowed: readonly string[]): never {
  throw new RegistryError('UNSUPPORTED', `this takes ${allowed.join(', ')}`, {
    headers: { allow: allowed.join(', ') },
  })
}

function inCircles(): RegistryError {
  return new RegistryError(
    'LOOP',
    'the request came back to where it started: an upstream points at this registry',
  )
}
