/** What a handler is given: the request with its name resolved. */
import type { Pull } from '../pull/pull.ts'
import type { Resolved } from '../resolve/resolve.ts'
import type { Exchange } from './exchange.ts'

export interface Call {
  readonly exchange: Exchange
  readonly resolved: Resolved
  readonly pull: Pull
  /** The path in front of `tags/list`, as the client addressed the repository, for links to further pages. */
  readonly address: string
}
