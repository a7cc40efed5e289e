/** What an index of a great deal takes of Redis' memory, and whether it answers as quickly as one of very little. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { openRedis, type Redis } from '../../src/cluster/redis/redis.ts'
import { parseRedisAddress } from '../../src/cluster/redis/address.ts'
import type { RepositoryKey } from '../../src/index/index.ts'
import { openRedisIndex, type RedisIndex } from '../../src/index/redis/redis-index.ts'
import { createLogger } from '../../src/observe/log.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-type.ts'
import { parseRepositoryName, type Tag } from '../../src/oci/name.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { type Figure, median, spread } from '../figure.ts'
import { nowMs } from '../monotonic.ts'
import { freePort } from '../server.ts'
import type { Site } from '../site.ts'

const repositories = 100_000
const tagsOfEach = 10
const manifestsOfEach = 2
const blobsOfEach = 4
const few = 1
const asks = 2000
const atOnce = 8
const retryMs = 1500
/** So many answers may be missing because the machine is busy. */
const most = 100_000
const rounds = 9
const goalBytes = 600 * 2 ** 20
const goalRatio = 1.2
const movedAt = Date.UTC(2026, 0, 1)

export async function redisMemory(site: Site): Promise<Figure[]> {
  const count = site.quick ? repositories / 100 : repositories
  await using server = await RedisProcess.start(site)
  const log = createLogger('warn')
  const options = { address: parseRedisAddress(server.url), prefix: 'layover:' }
  const redis = await openRedis(options, { log, clock: systemClock })
  const index = await openRedisIndex({ redis, clock: systemClock })
  try {
    await fill(index, 0, few)
    const before = await times(site, index, few)
    await fill(index, few, count)
    const bytes = await usedBytes(redis)
    const after = await times(site, index, count)
    return [
      {
        figure: `${count * tagsOfEach} tags in ${count} repositories, ${manifestsOfEach} manifests and ${blobsOfEach} blobs each: memory of Redis`,
        goal: '≤ 600 MiB for 10⁶ tags',
        measured: `${(bytes / 2 ** 20).toFixed(0)} MiB`,
        reached: site.quick ? undefined : bytes <= goalBytes,
      },
      latency('a tag', before.tag, after.tag),
      latency('a page of ten tags', before.page, after.page),
    ]
  } finally {
    await index.close()
    await redis.close()
  }
}

function latency(what: string, before: readonly number[], after: readonly number[]): Figure {
  const ratio = median(after) / median(before)
  return {
    figure: `${what}, of all / of ${few * tagsOfEach}, time`,
    goal: `≤ ${goalRatio}`,
    measured: `${ratio.toFixed(2)}; ${spread(after, 0, ' µs')} against ${spread(before, 0, ' µs')}`,
    reached: ratio <= goalRatio,
  }
}

/** Microseconds each, one after the other. */
async function times(site: Site, index: RedisIndex, count: number) {
  const tag: number[] = []
  const page: number[] = []
  for (let round = 0; round < site.rounds(rounds); round += 1) {
    tag.push(await timed(at => index.tag(keyOf((at * 7919) % count), tagOf(at % tagsOfEach)), 'the tag'))
    page.push(
      await timed(at => index.tags(keyOf((at * 7919) % count), { last: undefined, limit: 10 }), 'the page'),
    )
  }
  return { tag, page }
}

async function timed(ask: (at: number) => Promise<{ answer: string }>, what: string): Promise<number> {
  const begun = nowMs()
  for (let at = 0, misses = 0; at < asks; ) {
    if ((await ask(at)).answer === 'present') at += 1
    else if (misses < most) misses += 1
    else throw new Error(`${what} is not in the index`)
  }
  return ((nowMs() - begun) / asks) * 1000
}

/** What a busy machine made too late is put once more. */
async function fill(index: RedisIndex, first: number, count: number): Promise<void> {
  for (let at = first; at < count; ) {
    const { epoch } = index
    const some = Array.from({ length: Math.min(atOnce, count - at) }, (_, nth) => at + nth)
    await Promise.all(some.map(each => fillOne(index, each)))
    if (epoch === index.epoch) at += some.length
    else await sleep(retryMs)
  }
}

async function fillOne(index: RedisIndex, at: number): Promise<void> {
  const key = keyOf(at)
  const digests = Array.from({ length: manifestsOfEach }, (_, nth) => digestOf(Buffer.from(`${at} m ${nth}`)))
  const blobs = Array.from({ length: blobsOfEach }, (_, nth) => ({
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    digest: digestOf(Buffer.from(`${at} b ${nth}`)),
    size: 30_000_000 + at,
  }))
  const { ociManifest: mediaType } = mediaTypes
  const artifactType = 'application/vnd.oci.image.config.v1+json'
  const rest = { artifactType, subject: undefined, annotations: undefined, pulledAt: movedAt + 3_600_000 }
  for (const digest of digests) {
    await index.putChildren(key, digest, blobs)
    await index.putManifest(key, digest, { mediaType, size: 1432, ...rest, at: movedAt, isPublic: true })
  }
  for (const { digest, size } of blobs) await index.putBlob(key, digest, { size, isPublic: true })
  for (let nth = 0; nth < tagsOfEach; nth += 1) {
    const digest = digests[nth % manifestsOfEach] ?? digestOf(Buffer.from('none'))
    const checkedAt = movedAt + at * 1000
    await index.putTag(key, tagOf(nth), {
      digest,
      mediaType,
      size: 1432,
      movedAt,
      checkedAt,
      missingSince: undefined,
    })
  }
  await index.markComplete(key, 'tags')
}

function keyOf(at: number): RepositoryKey {
  return { registry: 'docker.io', repository: parseRepositoryName(`organisation-${at % 1000}/app-${at}`) }
}

function tagOf(nth: number): Tag {
  return `v1.${nth}.0-alpine` as Tag
}

async function usedBytes(redis: Redis): Promise<number> {
  const info = await redis.ask(client => client.info('memory'))
  return Number(/^used_memory:(\d+)/m.exec(info)?.[1])
}

class RedisProcess implements AsyncDisposable {
  readonly url: string
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, url: string) {
    this.#child = child
    this.url = url
  }

  /** Keeps nothing on disk. */
  static async start(site: Site): Promise<RedisProcess> {
    const folder = site.newPath()
    mkdirSync(folder, { recursive: true })
    const port = await freePort()
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder]
    const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    for await (const line of createInterface({ input: child.stdout }))
      if (line.includes('Ready to accept connections')) break
    return new RedisProcess(child, `redis://127.0.0.1:${port}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }
}
