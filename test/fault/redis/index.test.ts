/** The index in Redis among several processes: what they share, what each has for itself, and what expires. */
import { writeFile } from 'node:fs/promises'
import { describe, expect, test, vi } from 'vitest'
import { runCheck } from '../../../src/cli/commands/check.ts'
import { runReindex } from '../../../src/cli/commands/reindex.ts'
import { openIndex } from '../../../src/cli/index-place.ts'
import { Members } from '../../../src/cluster/peers/members.ts'
import type { Redis } from '../../../src/cluster/redis/redis.ts'
import { Catalog } from '../../../src/index/catalog.ts'
import { openRedisIndex } from '../../../src/index/redis/redis-index.ts'
import { createMemoryIndex } from '../../../src/index/rows/memory.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { createMetrics } from '../../../src/observe/metrics.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { openStore } from '../../../src/store/store.ts'
import {
  digest,
  everything,
  keyOf,
  manifestEntry,
  referrer,
  tagged,
} from '../../conformance/index-samples.ts'
import { RedisServer } from '../../support/redis.ts'
import { userMay } from '../../support/redis-security.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { connected } from './scene.ts'

const alpine = keyOf('library/alpine')
const app = keyOf('team/app', '_local')
const tag = 'latest' as Tag
const present = (value: unknown) => ({ answer: 'present', value })
const unknown = { answer: 'unknown' }
const absent = { answer: 'absent' }
const patient = { timeout: 20_000, interval: 20 }
const dayMs = 86_400_000

async function process(url: string) {
  const redis = await connected(url)
  const index = await openRedisIndex({ redis, clock: systemClock })
  return {
    redis,
    index,
    async [Symbol.asyncDispose]() {
      await index.close()
      await redis.close()
    },
  }
}

async function fill({ index }: Awaited<ReturnType<typeof process>>) {
  for (const key of [alpine, app]) {
    await index.putTag(key, tag, tagged('m'))
    await index.putChildren(key, digest('m'), [referrer('layer')])
    await index.putManifest(key, digest('m'), manifestEntry())
    await index.putBlob(key, digest('layer'), { size: 1, isPublic: true })
    await index.putReferrer(key, digest('m'), referrer('r'))
    for (const what of ['tags', 'manifests', 'blobs', 'referrers'] as const)
      await index.markComplete(key, what)
  }
  await index.putListing(alpine, 'tags', '', { body: '{}', fetchedAt: 1 })
  await index.markRepositoriesComplete()
}

/** After each answer of Redis the task has its turn. */
function interrupted(redis: Redis, task: () => Promise<void>): Redis {
  const asked: Redis['ask'] = async ask => {
    const answer = await redis.ask(ask)
    await task()
    return answer
  }
  return new Proxy(redis, {
    get(target, name) {
      const value: unknown = name === 'ask' ? asked : Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

describe('the index in Redis', () => {
  test('what one process put of an upstream all others find, with the marks; local names are each one’s own', async () => {
    await using server = await RedisServer.start()
    await using one = await process(server.url)
    await fill(one)
    await using two = await process(server.url)
    expect(await two.index.tag(alpine, tag)).toEqual(present(tagged('m')))
    expect(await two.index.tag(alpine, 'none' as Tag)).toEqual(absent)
    expect(await two.index.tags(alpine, everything)).toEqual(present([tag]))
    expect(await two.index.repositories('docker.io', everything)).toEqual(present(['library/alpine']))
    expect(await two.index.tag(app, tag)).toEqual(unknown)
    expect(await two.index.tag(app, 'none' as Tag)).toEqual(unknown)
    expect(await two.index.repositories('_local', everything)).toEqual(unknown)
    await one.index.close()
    await one.redis.close()
    expect(await two.index.tags(alpine, everything)).toEqual(present([tag]))
  })

  test('a server that was set back is not believed about what is whole, by nobody', async () => {
    await using server = await RedisServer.start()
    await using one = await process(server.url)
    await using two = await process(server.url)
    await fill(one)
    expect(await two.index.tags(alpine, everything)).toEqual(present([tag]))
    await server.save()
    await two.index.putTag(alpine, 'later' as Tag, tagged('m'))
    await one.index.putTag(app, 'later' as Tag, tagged('m'))
    await server.kill()
    await server.begin()
    await vi.waitFor(() => expect([one.redis.up, two.redis.up]).toEqual([true, true]), patient)
    for (const { index } of [one, two]) {
      expect(await index.tag(alpine, 'later' as Tag)).toEqual(unknown)
      expect(await index.tags(alpine, everything)).toEqual(unknown)
      expect(await index.tag(alpine, tag)).toEqual(present(tagged('m')))
      expect(await index.repositories('docker.io', everything)).toEqual(unknown)
    }
    expect(await one.index.tag(app, tag)).toEqual(unknown)
    await using three = await process(server.url) // and by nobody who comes later
    expect(await three.index.tags(alpine, everything)).toEqual(unknown)
    await vi.waitFor(async () => {
      await three.index.markComplete(alpine, 'tags')
      expect(await one.index.tags(alpine, everything)).toEqual(present([tag]))
    }, patient)
  })

  test('a write that was refused leaves nothing old and no mark, for anybody', async () => {
    await using server = await RedisServer.start()
    await using one = await process(server.url)
    await using two = await process(server.url)
    await fill(one)
    const { epoch } = one.index
    await server.command('CONFIG', 'SET', 'maxmemory', '1')
    for (const key of [alpine, app]) await one.index.putTag(key, 'new' as Tag, tagged('m'))
    for (const key of [alpine, app]) {
      expect(await one.index.tag(key, 'new' as Tag)).toEqual(unknown)
      expect(await one.index.tag(key, tag)).toEqual(unknown)
      expect(await one.index.tags(key, everything)).toEqual(unknown)
    }
    expect(one.index.epoch).not.toBe(epoch)
    await vi.waitFor(async () => expect(await two.index.tag(alpine, tag)).toEqual(unknown), patient)
    expect(await two.index.tags(alpine, everything)).toEqual(unknown)
    expect(await one.index.manifest(app, digest('m'))).toEqual(present(manifestEntry()))
    expect(one.index.up).toBe(false) // as long as nothing can be written
    await server.command('CONFIG', 'SET', 'maxmemory', '0')
    await one.index.markComplete(alpine, 'tags', epoch)
    expect(await one.index.tags(alpine, everything)).toEqual(unknown)
    await vi.waitFor(() => expect(one.index.up).toBe(true), patient)
    await one.index.putTag(app, tag, tagged('moved'))
    expect(await one.index.tag(app, tag)).toEqual(present(tagged('moved')))
  })

  test('a mark that was begun before everything was deleted is void', async () => {
    await using server = await RedisServer.start()
    await using one = await process(server.url)
    for (const key of [alpine, app]) {
      const { epoch } = one.index
      await one.index.putTag(key, tag, tagged('m'))
      await server.command('FLUSHALL')
      await one.index.putTag(key, 'other' as Tag, tagged('m'))
      await one.index.markComplete(key, 'tags', epoch)
      expect(await one.index.tags(key, everything)).toEqual(unknown)
      expect(await one.index.tag(key, tag)).toEqual(unknown)
      await vi.waitFor(() => expect(one.index.era).toBeDefined(), patient)
      expect(await one.index.tags(key, everything)).toEqual(unknown)
    }
  })

  test('who asks nothing of it hears all the same that it was emptied', async () => {
    await using server = await RedisServer.start()
    const redis = await connected(server.url)
    await using folder = await tempDir()
    const store = await openStore(folder.join('data'), {
      clock: systemClock,
      log: createLogger('silent'),
      metrics: createMetrics(),
    })
    const { index, life } = await openIndex({ store, redis, clock: systemClock, log: createLogger('silent') })
    const before = await life()
    await server.command('FLUSHALL')
    expect(await life()).not.toBe(before)
    await index.close()
    store.close()
    await redis.close()
  })

  test('what belongs to upstreams expires, what is local does not, and no key is of another kind', async () => {
    await using server = await RedisServer.start()
    await using one = await process(server.url)
    await fill(one)
    const keys = (await server.command('KEYS', '*')).split('\n').sort()
    const lives = await Promise.all(keys.map(async key => Number(await server.command('PTTL', key))))
    const expiring = keys.filter((_, at) => (lives[at] ?? 0) > 29 * dayMs && (lives[at] ?? 0) <= 30 * dayMs)
    const lasting = keys.filter((_, at) => lives[at] === -1)
    const kinds = (some: readonly string[]) => some.map(key => key.replace(/\/?[0-9a-f]{4}\}/, '…}'))
    expect(kinds(expiring)).toEqual([
      'test:b:{docker.io/library/alpine}',
      'test:m:{docker.io/library/alpine}',
      'test:p:{docker.io…}',
      'test:r:{docker.io/library/alpine}',
      'test:t:{docker.io/library/alpine}',
      'test:{bodies}:all',
      'test:{bodies}:bytes',
      'test:{bodies}:times',
      'test:{names}:n:docker.io',
    ])
    expect(kinds(lasting)).toEqual([
      'test:b:{_local/team/app}',
      'test:h:{…}',
      'test:m:{_local/team/app}',
      'test:r:{_local/team/app}',
      'test:t:{_local/team/app}',
      'test:{names}:era',
      'test:{names}:n:_local',
      'test:{names}:r',
    ])
  })

  test('a user who may do what the documentation says can do everything', async () => {
    await using server = await RedisServer.start()
    const allowed = userMay.split(' ')
    await server.command('ACL', 'SETUSER', 'layover', 'on', '>secret', '~test:*', '&test:*', ...allowed)
    await using one = await process(server.url.replace('//', '//layover:secret@'))
    await fill(one)
    expect(await one.index.tags(alpine, everything)).toEqual(present([tag]))
    expect(await one.index.repositories('_local', everything)).toEqual(present(['team/app']))
    const heard = Promise.withResolvers<string>()
    await one.redis.subscribe('news', { heard: heard.resolve, lost: () => {} })
    await one.redis.publish('news', 'one')
    expect(await heard.promise).toBe('one')
    expect(one.index.up).toBe(true)
    const deps = { redis: one.redis, clock: systemClock, log: createLogger('silent') }
    const site = () => ({ bucket: undefined, owner: undefined })
    const memberOf = (advertise: string) => new Members({ ...deps, advertise, site })
    const [first, second] = [memberOf('http://a.test'), memberOf('http://b.test')]
    await first.start()
    await second.start()
    expect(second.others).toEqual(['http://a.test'])
    for (const member of [first, second]) await member.stop()
  })

  test('that a user may do less is told by the check', async () => {
    await using server = await RedisServer.start()
    await using folder = await tempDir()
    const allowed = userMay.split(' ').filter(each => each !== '+time')
    await server.command('ACL', 'SETUSER', 'layover', 'on', '>secret', '~test:*', '&test:*', ...allowed)
    const config = folder.join('upstreams.yaml')
    const index = `{url: ${server.url}, username: layover, password: secret, prefix: "test:"}`
    await writeFile(config, `index: ${index}\nupstreams: [{registry: docker.io}]\n`)
    let said = ''
    expect(await runCheck(config, { write: () => {} }, { write: (text: string) => (said += text) })).toBe(0)
    expect(said).toContain('cannot be used: its user may not do everything that the how-to on Redis lists')
  })

  test('reindex fills it from the records, for whoever comes next', async () => {
    await using server = await RedisServer.start()
    await using folder = await tempDir()
    const store = await openStore(folder.join('data'), {
      log: createLogger('silent'),
      metrics: createMetrics(),
    })
    const catalog = new Catalog(createMemoryIndex(), store, systemClock)
    await (await catalog.moveTag(alpine, tag, tagged('m')))()
    await catalog.putBlob(alpine, digest('layer'), { size: 1, isPublic: true })
    store.close()
    const config = folder.join('upstreams.yaml')
    await writeFile(
      config,
      `index: {url: ${server.url}, prefix: "test:"}\nupstreams: [{registry: docker.io}]\n`,
    )
    expect(await runReindex(config, 'silent')).toBe(0)
    await using one = await process(server.url)
    expect(await one.index.tags(alpine, everything)).toEqual(present([tag]))
    expect(await one.index.blob(alpine, digest('layer'))).toEqual(present({ size: 1, isPublic: true }))
    expect(await one.index.repositories('docker.io', everything)).toEqual(present(['library/alpine']))
    await server.kill()
    expect(await runReindex(config, 'silent')).not.toBe(0)
  })

  test('what is put while leavings of an earlier epoch are swept stays', async () => {
    await using server = await RedisServer.start()
    await using one = await process(server.url)
    await fill(one)
    await using two = await process(server.url)
    const { index } = two
    const swept = [
      index.markComplete(app, 'tags'),
      index.markComplete(app, 'manifests'),
      index.markComplete(app, 'blobs'),
      index.markComplete(app, { referrersOf: digest('m') }),
    ]
    await Promise.all([
      index.putTag(app, tag, tagged('m')),
      index.putManifest(app, digest('m'), manifestEntry()),
      index.putBlob(app, digest('layer'), { size: 1, isPublic: true }),
      index.putReferrer(app, digest('m'), referrer('r')),
    ])
    await Promise.all(swept)
    expect(await index.tag(app, tag)).toEqual(present(tagged('m')))
    expect(await index.tagsOf(app, digest('m'))).toEqual(present([tag]))
    expect(await index.manifest(app, digest('m'))).toEqual(present(manifestEntry()))
    expect(await index.blob(app, digest('layer'))).toEqual(present({ size: 1, isPublic: true }))
    expect(await index.holdersOf(digest('layer'), 9)).toEqual([app])
    expect(await index.referrers(app, digest('m'), everything)).toEqual(present([referrer('r')]))
  })

  test('so does a repository', async () => {
    await using server = await RedisServer.start()
    await using one = await process(server.url)
    await one.index.putRepository(app)
    await using two = await process(server.url)
    let asked = 0
    const redis = interrupted(two.redis, async () => {
      asked += 1
      if (asked === 3) await index.putRepository(app) // after the era and the registries: those of the registry
    })
    const index = await openRedisIndex({ redis, clock: systemClock })
    await index.markRepositoriesComplete()
    expect(asked).toBeGreaterThan(3)
    expect(await index.repositories('_local', everything)).toEqual(present(['team/app']))
    await index.close()
  })

  test('an owner that comes late takes nothing from the one after it, and what it writes is not passed over', async () => {
    await using server = await RedisServer.start()
    await using late = await process(server.url)
    await fill(late)
    await using owner = await process(server.url)
    await fill(owner)
    await late.index.dropTag(app, tag)
    await late.index.dropManifest(app, digest('m'))
    await late.index.dropBlob(app, digest('layer'))
    await late.index.dropReferrer(app, digest('m'), digest('r'))
    await late.index.dropRepository(app)
    const { index } = owner
    expect(await index.tag(app, tag)).toEqual(present(tagged('m')))
    expect(await index.tagsOf(app, digest('m'))).toEqual(present([tag]))
    expect(await index.manifest(app, digest('m'))).toEqual(present(manifestEntry()))
    expect(await index.blob(app, digest('layer'))).toEqual(present({ size: 1, isPublic: true }))
    expect(await index.referrers(app, digest('m'), everything)).toEqual(present([referrer('r')]))
    expect(await index.repositories('_local', everything)).toEqual(present(['team/app']))
    await late.index.putTag(app, tag, tagged('m'))
    await late.index.putManifest(app, digest('m'), manifestEntry())
    expect(await index.tag(app, tag)).toEqual(unknown)
    expect(await index.tags(app, everything)).toEqual(unknown)
    expect(await index.tagsOf(app, digest('m'))).toEqual(unknown)
    expect(await index.manifests(app, everything)).toEqual(unknown)
    expect(await index.parentsOf(app, digest('layer'))).toEqual(unknown)
    expect(await index.repositories('_local', everything)).toEqual(unknown)
  })

  test('what another replica’s disk has not is unknown to one with records of its own, and not absent', async () => {
    await using server = await RedisServer.start()
    await using one = await process(server.url)
    await fill(one)
    const index = await openRedisIndex({ redis: one.redis, clock: systemClock, hasOwnRecords: true })
    expect(await index.blob(alpine, digest('layer'))).toMatchObject({ answer: 'present' })
    expect(await index.blob(alpine, digest('other'))).toEqual(unknown)
    expect(await index.tags(alpine, everything)).toEqual(present([tag]))
    await index.markComplete(app, 'blobs')
    expect(await index.blob(app, digest('other'))).toEqual(absent)
    await index.close()
  })

  test('nothing is asked that scans or blocks', async () => {
    await using server = await RedisServer.start()
    await using one = await process(server.url)
    await fill(one)
    await one.index.tagsOf(app, digest('m'))
    await one.index.parentsOf(app, digest('layer'))
    await one.index.holdersOf(digest('layer'), 9)
    await one.index.registries()
    const stats = await server.command('INFO', 'commandstats')
    const asked = [...stats.matchAll(/^cmdstat_([^:|]+)/gm)].map(([, name]) => name)
    const allowed = new Set(
      (
        'eval get set info ping select del unlink hget hset hstrlen hdel incrby decrby pexpire auth client hello ' +
        'zadd zrem zrangebylex zremrangebylex zscore zcard zrange'
      ).split(' '),
    )
    expect(asked.filter(name => !allowed.has(name ?? ''))).toEqual([])
  })

  test('a repository of ten tags lies in Redis without an overhead for each', async () => {
    await using server = await RedisServer.start()
    await using one = await process(server.url)
    for (let nth = 0; nth < 10; nth += 1) await one.index.putTag(alpine, `v3.${nth}.10` as Tag, tagged('m'))
    const key = 'test:t:{docker.io/library/alpine}'
    expect(await server.command('OBJECT', 'ENCODING', key)).toBe('listpack')
    expect(Number(await server.command('MEMORY', 'USAGE', key))).toBeLessThan(1_800)
  })
})
