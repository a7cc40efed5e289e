/** How policies call what a name stands for. */
import { keysOf, type Resolved, type Resolver } from '../resolve/resolve.ts'
import type { Question } from './question.ts'

export type Place = Pick<Question, 'repository' | 'upstream' | 'namespace'>

/** Of an overlay the name is that of what is here. */
export function placeOf(resolved: Resolved, resolver: Pick<Resolver, 'fullName'>): Place {
  const [key] = keysOf(resolved)
  return {
    repository: key ? resolver.fullName(key) : '',
    upstream: resolved.upstream?.upstream.registry ?? '',
    namespace: resolved.local?.namespace.name ?? '',
  }
}
