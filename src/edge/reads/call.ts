/** What a handler of a read is given: the request with its name resolved. */
import type { Standing } from '../../cluster/owner/ownership.ts'
import { type ErrorCode, RegistryError } from '../../oci/errors.ts'
import type { Pull } from '../../pull/pull.ts'
import type { Reads } from '../../pull/reads.ts'
import type { Target } from '../../pull/target.ts'
import type { Resolved } from '../../resolve/resolve.ts'
import type { Exchange } from '../exchange.ts'

export interface ContentCall {
  readonly exchange: Exchange
  readonly resolved: Resolved
  readonly pull: Reads
  /** By whose leave a local name is answered; undefined: it needs none. */
  readonly under?: Standing | undefined
}

export interface Call extends ContentCall {
  readonly pull: Pull
  /** The path in front of `tags/list`, as the client addressed the repository, for links to further pages. */
  readonly address: string
  /** Entries of one page of a listing at most. */
  readonly pageLimit: number
}

/**
 * Where to look for what is not held here; the log and the metrics are told so.
 *
 * @throws RegistryError with this code where the name is only local
 */
export function upstreamOf({ exchange, resolved }: ContentCall, code: ErrorCode, what: string): Target {
  const { local, upstream } = resolved
  if (!upstream) throw new RegistryError(code, `${local?.repository} holds no ${what}`)
  exchange.facts.upstream = upstream.upstream.registry
  exchange.facts.repository = upstream.repository
  return upstream
}
