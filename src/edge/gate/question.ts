/** From a request to the question whether its sender may. */
import { placeOf } from '../../access/place.ts'
import { ofNothing, type Question } from '../../access/question.ts'
import type { Scope } from '../../access/tokens/scope.ts'
import { isPassthrough, type Resolved, type Resolver } from '../../resolve/resolve.ts'
import { type Exchange, isReading } from '../exchange.ts'
import type { NamedOperation } from '../names.ts'
import type { InventoryOperation, Route } from '../route.ts'
import { mostTags } from '../writes/push.ts'

/** What is asked, and what a token would have to be for. */
export interface Wanted {
  readonly question: Question
  /** Of the same request, each of which has to be allowed too. */
  readonly further?: readonly Question[]
  readonly scopes: readonly Scope[]
  /** Credentials that are shown are those of an upstream, which judges them by itself. */
  readonly isForUpstream?: boolean
}

/** Of the registry as a whole. */
const catalogWanted: Wanted = {
  question: { ...ofNothing, action: 'catalog' },
  scopes: [{ type: 'registry', name: 'catalog', actions: ['*'] }],
}

export const pageQuestions = {
  health: { ...ofNothing, action: 'health' },
  metrics: { ...ofNothing, action: 'metrics' },
} as const satisfies Record<string, Question>

/** @throws RegistryError as the resolver does */
export function wantedOfInventory(operation: InventoryOperation, resolver: Resolver): Wanted {
  const name = repositoryNamed(operation)
  if (name === undefined) return catalogWanted
  const resolved = resolver.resolve({ name })
  return {
    question: { ...repositoryIn(resolver, resolved), action: 'pull' },
    scopes: [{ type: 'repository', name, actions: ['pull'] }],
    isForUpstream: isPassthrough(resolved),
  }
}

/** Undefined where it is about many. */
function repositoryNamed(operation: InventoryOperation): string | undefined {
  if (operation.kind === 'discover') return operation.name
  return operation.kind === 'extension' && 'name' in operation ? operation.name : undefined
}

/** Of a repository as such. */
export function repositoryIn(resolver: Resolver, resolved: Resolved): Omit<Question, 'action'> {
  return { ...ofNothing, ...placeOf(resolved, resolver) }
}

export interface Named {
  readonly exchange: Exchange
  readonly route: Pick<Route, 'prefix'>
  readonly operation: NamedOperation
  readonly resolver: Resolver
  readonly resolved: Resolved
}

export function wantedOf(named: Named): Wanted {
  const { exchange, operation, resolver, resolved } = named
  const action = actionOf(exchange, operation)
  const question: Question = { ...repositoryIn(resolver, resolved), action, ...objectOf(operation) }
  const tags = action === 'push' && operation.kind === 'manifest' ? tagsAsked(exchange.query) : []
  return {
    question,
    further: tags.map(tag => ({ ...question, tag })),
    scopes: scopesOf(named, question),
    isForUpstream: isPassthrough(resolved),
  }
}

/** A push with one more is refused: nobody is to be asked about all of them. */
function tagsAsked(query: URLSearchParams): readonly string[] {
  return [...new Set(query.getAll('tag'))].slice(0, mostTags)
}

/** A client asks for the name that it wrote, unless that leads elsewhere without what stood beside it. */
function scopesOf(
  { exchange, route, operation, resolver }: Named,
  { action, repository }: Question,
): readonly Scope[] {
  const isBare = exchange.facts.namespace === undefined && route.prefix === undefined
  const own: Scope = {
    type: 'repository',
    name: isBare ? operation.name : repository,
    actions: action === 'push' ? ['pull', 'push'] : [action],
  }
  const from = exchange.query.get('from')
  if (action !== 'push' || from === null || !resolver.find(from)) return [own]
  return [own, { type: 'repository', name: from, actions: ['pull'] }]
}

/** An upload is cancelled by whoever may push: `delete` is for what was pushed. */
function actionOf(exchange: Exchange, operation: NamedOperation): 'pull' | 'push' | 'delete' {
  if (operation.kind === 'uploads') return 'push'
  if (isReading(exchange)) return 'pull'
  return exchange.request.method === 'DELETE' ? 'delete' : 'push'
}

function objectOf(operation: NamedOperation): Pick<Question, 'object' | 'tag' | 'digest'> {
  switch (operation.kind) {
    case 'manifest': {
      const isDigest = operation.reference.includes(':')
      return {
        object: 'manifest',
        tag: isDigest ? '' : operation.reference,
        digest: isDigest ? operation.reference : '',
      }
    }
    case 'blob':
      return { object: 'blob', tag: '', digest: operation.digest }
    case 'referrers':
      return { object: 'referrers', tag: '', digest: operation.subject }
    case 'uploads':
      return { object: 'upload', tag: '', digest: '' }
    case 'tags':
      return { object: 'tags', tag: '', digest: '' }
  }
}
