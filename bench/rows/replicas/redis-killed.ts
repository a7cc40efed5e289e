/** Redis is killed while cached content is pulled at half of what the replica can give, more than its memory keeps. */
import { setTimeout as pause } from 'node:timers/promises'
import { KiB } from '../../content.ts'
import type { Figure } from '../../figure.ts'
import { Redis } from '../../replicas/backends.ts'
import { startReplica } from '../../replicas/group.ts'
import { registry, type Site } from '../../site.ts'
import type { Steady } from '../../steady.ts'

/** So many manifests and blobs of `blobBytes` do not fit into `memory`. */
const objects = 1_000
const blobBytes = 40 * KiB
const memory = '2MiB'
const connections = 64
const askSeconds = 5
const seconds = 20
const goalMs = 300

export async function redisKilled(site: Site): Promise<Figure[]> {
  const killed = await pullsWhile(site, redis => redis.kill())
  const hanging = await pullsWhile(site, redis => Promise.resolve(redis.sleep()))
  return [
    {
      figure: 'p99.9 of cached pulls, Redis killed in the middle',
      goal: `≤ ${goalMs} ms`,
      measured: told(killed),
      reached: killed.p999Ms <= goalMs,
    },
    {
      figure: '  failed',
      goal: '0',
      measured: `${killed.failed} of ${killed.requests}`,
      reached: killed.failed === 0,
    },
    {
      figure: 'the same while Redis hangs',
      goal: 'reported',
      measured: `${told(hanging)}; ${hanging.failed} failed`,
      reached: undefined,
    },
  ]
}

async function pullsWhile(site: Site, end: (redis: Redis) => Promise<void>): Promise<Steady> {
  await using redis = await Redis.start(site)
  await using layover = await startReplica(site, { redis, owner: 'itself', settings: { limits: { memory } } })
  const paths = await fill(site, site.quick ? objects / 10 : objects)
  const ask = { url: layover.url, paths, connections }
  await site.client.call('askMany', ask) // the first time from upstream
  const { right, seconds: took } = await site.client.call('askMany', {
    ...ask,
    paths: repeated(paths, site.seconds(askSeconds)),
  })
  const duration = site.quick ? 4 : seconds
  const pulls = site.client.call('steady', {
    ...ask,
    perSecond: right / took / 2,
    seconds: duration,
  })
  await pause((duration / 2) * 1000)
  await end(redis)
  return await pulls // the servers end with this function
}

/** Manifests by tag and blobs at the origin. */
async function fill(site: Site, count: number): Promise<string[]> {
  const base = `/v2/${registry}/bench/app`
  const paths: string[] = []
  await site.origin.call('addManifest', { tag: 'kept' })
  for (let at = 0; at < count; at += 1) {
    const { path } = await site.addBlob(blobBytes)
    const { digest } = await site.origin.call('addManifest', { tag: `object-${at}` })
    paths.push(path, `${base}/manifests/${digest}`, `${base}/manifests/kept`)
  }
  return paths
}

/** Enough for about so long. */
function repeated(paths: readonly string[], seconds: number): string[] {
  return Array.from({ length: seconds }, () => paths).flat()
}

function told({ requests, perSecond, p50Ms, p99Ms, p999Ms, longestMs }: Steady): string {
  const ms = (value: number) => value.toFixed(1)
  return `${ms(p999Ms)} ms; p50 ${ms(p50Ms)}, p99 ${ms(p99Ms)}, longest ${ms(longestMs)} ms of ${requests} at ${perSecond.toFixed(0)}/s`
}
