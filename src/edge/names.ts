/** Whom a request is about, told to the log and the metrics too. */
import type { Resolved, Resolver } from '../resolve/resolve.ts'
import { type Exchange, isReading } from './exchange.ts'
import type { Operation, Route } from './route.ts'

/** Operations on a repository. */
export type NamedOperation = Extract<
  Operation,
  { kind: 'manifest' | 'blob' | 'uploads' | 'tags' | 'referrers' }
>

/** An `ns` counts for reads alone. @throws RegistryError as the resolver does */
export function resolveName(
  exchange: Exchange,
  { prefix }: Route,
  operation: NamedOperation,
  resolver: Resolver,
): Resolved {
  const { facts, query } = exchange
  const isRead = isReading(exchange) && operation.kind !== 'uploads'
  const ns = isRead ? resolver.effectiveNs(query.get('ns')) : undefined
  const resolved = resolver.resolve({ ns, prefix, name: operation.name })
  const { local, upstream } = resolved
  facts.upstream = local ? 'local' : upstream?.upstream.registry
  facts.repository = (local ?? upstream)?.repository
  if (operation.kind !== 'uploads' && isRead) facts.kind = operation.kind
  if (ns !== undefined) facts.namespace = ns
  return resolved
}
