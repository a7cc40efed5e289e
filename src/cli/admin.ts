/** The admin API of a running process, wired. */
import { createAdmin } from '../admin/app.ts'
import type { Reloaded } from '../admin/deps.ts'
import { type AdminAddress, type Listening, listenAdmin } from '../admin/listen.ts'
import { adminRoutes } from '../admin/routes.ts'
import { ConfigError } from '../config/problem.ts'
import { Listings } from '../index/listings.ts'
import type { Logger } from '../observe/log.ts'
import type { Resolver } from '../resolve/resolve.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Parts } from './parts.ts'
import type { Upkeep } from './upkeep/upkeep.ts'

export interface AdminOptions {
  readonly address: AdminAddress | undefined
  readonly parts: Parts
  readonly upkeep: Upkeep
  readonly resolver: () => Resolver
  /** Reads the configuration again. Resolves with what was wrong. */
  readonly reload: (() => Promise<Error | undefined>) | undefined
  /** Keys of the configuration that take effect at the next start. */
  readonly waiting: () => readonly string[]
  readonly servers: number
  readonly clock: Clock
  readonly log: Logger
}

/** @throws AdminUnusable */
export function openAdmin({ address, parts, upkeep, reload, ...options }: AdminOptions): Promise<Listening> {
  const { store, catalog, holdings } = parts
  const { index } = catalog
  const { log, waiting } = options
  const routes = adminRoutes({
    ...parts,
    ...options,
    changed: parts.cachedChanged,
    collections: upkeep.collections,
    scrubs: upkeep.scrubs,
    eviction: store.capacity,
    cachedListings: new Listings({ index, completion: holdings.completion, filler: catalog }),
    reload: reload && (async () => reloadedAfter(await reload(), waiting)),
  })
  return listenAdmin(address, { app: createAdmin(routes, { log }), layout: store.layout, log })
}

function reloadedAfter(failure: Error | undefined, waiting: () => readonly string[]): Reloaded {
  if (!failure) return { waiting: waiting() }
  if (failure instanceof ConfigError) return { problems: failure.problems }
  return { problems: [{ line: undefined, column: undefined, key: '', message: failure.message }] }
}
