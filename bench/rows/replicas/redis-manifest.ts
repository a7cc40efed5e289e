/** A cached manifest from memory: what an index in Redis costs, beside one in SQLite. */
import type { Figure } from '../../figure.ts'
import { accept } from '../../peers/shelf.ts'
import { clientCore, serverCore } from '../../peers/stand.ts'
import { wrk } from '../../peers/wrk.ts'
import { Redis } from '../../replicas/backends.ts'
import { startReplica } from '../../replicas/group.ts'
import { paired } from '../../replicas/paired.ts'
import { registry, type Site } from '../../site.ts'

export async function redisManifest(site: Site): Promise<Figure[]> {
  await site.origin.call('addManifest', { tag: 'kept' })
  await using redis = await Redis.start(site, clientCore)
  await using replica = await startReplica(site, { redis, owner: 'itself', cores: serverCore })
  await using alone = await site.startLayover({ cores: serverCore })
  const path = `/v2/${registry}/bench/app/manifests/kept`
  const figure = await paired(site, {
    what: 'cached manifest by tag, index in Redis / in SQLite, 32 connections',
    unit: 'requests/s',
    goal: 0.95,
    rounds: 8,
    seconds: 2,
    one: replica.url,
    other: alone.url,
    load: (url, seconds) =>
      wrk({ url: url + path, connections: 32, seconds, cores: clientCore, headers: accept }),
  })
  return [figure]
}
