/** Redis over TLS with users of its own: with Sentinels and as a Cluster, and what is said where it lets nobody in. */
import { writeFile } from 'node:fs/promises'
import { inspect } from 'node:util'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { stringify } from 'yaml'
import { runCheck } from '../../../src/cli/commands/check.ts'
import type { Redis, RedisOptions } from '../../../src/cluster/redis/redis.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { allDone } from '../../../src/stream/all-done.ts'
import { RedisServer, type RedisSite, reshard, startCluster, startSentinels } from '../../support/redis.ts'
import { type RedisSecurity, redisSecurity, securedOptions } from '../../support/redis-security.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { redisScene } from './scene.ts'

const longMs = 120_000

/** What the client library prints where nobody listens to it. */
const printed = vi.spyOn(console, 'error')

afterEach(() => {
  expect(printed.mock.calls).toEqual([])
})

async function secured<Site extends AsyncDisposable>(start: (security: RedisSecurity) => Promise<Site>) {
  await using resources = new AsyncDisposableStack()
  const folder = resources.use(await tempDir())
  const security = await redisSecurity(folder.path)
  const site = resources.use(await start(security))
  const owned = resources.move()
  return { folder, site, more: securedOptions(security), [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** How often servers sent a client to another one. */
async function redirections({ servers }: RedisSite): Promise<number> {
  const counts = servers.map(async server =>
    Number(/MOVED:count=(\d+)/.exec(await server.command('INFO', 'errorstats'))?.[1] ?? 0),
  )
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0)
}

/** Messages come through, as replicas send them to each other. */
async function expectHears(redis: Redis): Promise<void> {
  const heard = vi.fn<(message: string) => void>()
  const leave = await redis.subscribe('news', { heard, lost: () => {} })
  await vi.waitFor(
    async () => {
      await redis.publish('news', 'one')
      expect(heard).toHaveBeenCalledWith('one')
    },
    { timeout: 20_000 },
  )
  leave()
}

describe('over TLS, with users and passwords', () => {
  test('Sentinels with a user of their own name another master', { timeout: longMs }, async () => {
    await using at = await secured(startSentinels)
    await using scene = await redisScene(at.site.url, { more: at.more })
    await scene.change()
    await scene.healed()
    const before = await scene.redis.servers()
    await at.site.servers[0]?.kill()
    await scene.told.cached()
    await scene.change()
    await scene.healed()
    expect(await scene.redis.servers()).not.toBe(before)
    await expectHears(scene.redis)
  })

  test('a Cluster sends to another of its servers', { timeout: longMs }, async () => {
    await using at = await secured(startCluster)
    await using scene = await redisScene(at.site.url, { more: at.more })
    const { redis } = scene
    await scene.change()
    await scene.healed()
    const keys = Array.from({ length: 200 }, (_, nth) => redis.key(`moved-${nth}`))
    for (const key of keys) await redis.ask(client => client.set(key, key))
    const before = await redirections(at.site)
    const moving = { isDone: false }
    const moved = reshard(at.site, 2000).finally(() => {
      moving.isDone = true
    })
    do {
      for (const key of keys) expect(await redis.ask(client => client.get(key))).toBe(key)
      await scene.change()
    } while (!moving.isDone)
    await moved
    expect(await redirections(at.site)).toBeGreaterThan(before)
    await expectHears(redis)
    await scene.healed()
  })
})

interface Refusal {
  readonly what: string
  readonly wrong: Partial<RedisOptions>
  /** Of the URL. */
  readonly master?: string
  readonly said: string
}

/** Trusted by nobody who knows the servers. */
async function stranger(): Promise<string> {
  await using folder = await tempDir()
  return (await redisSecurity(folder.path)).ca
}

const wrongPassword: Refusal = {
  what: 'a wrong password',
  wrong: { password: 'wr0ng-s3cret' },
  said: 'it wants another user or password: see `username` and `password`',
}
const noUser: Refusal = {
  what: 'no user',
  wrong: { username: undefined, password: undefined },
  said: wrongPassword.said,
}
const unknownAuthority = async (): Promise<Refusal> => ({
  what: 'a certificate of somebody unknown',
  wrong: { tls: { ca: await stranger() } },
  said: 'its certificate is not to be trusted: see `ca`',
})

describe('whoever Redis lets in under no circumstances', () => {
  type At = Awaited<ReturnType<typeof secured<RedisServer | RedisSite>>>

  /** Side by side: each waits until nobody answers any more. */
  async function areTold(at: At, refusals: readonly Refusal[]): Promise<void> {
    await allDone(refusals.map((refusal, nth) => isTold(at, refusal, at.folder.join(`${nth}.yaml`))))
  }

  /** Said by the command and in the log, without what is secret; what is cached is served meanwhile. */
  async function isTold({ site, more }: At, { what, wrong, master, said }: Refusal, path: string) {
    const { url } = site
    const lines: string[] = []
    const log = createLogger('info', { write: line => void lines.push(line) })
    const options = { ...more, ...wrong }
    const wanted = master === undefined ? url : url.replace(/\w+$/, master)
    await using scene = await redisScene(wanted, { isUp: false, more: options, log })
    await scene.told.cached()
    const failure: unknown = await scene.redis.ask(client => client.ping()).catch(error => error)
    expect([what, String(failure)]).toEqual([what, expect.stringContaining(said)])
    const [line = '{}', ...rest] = lines
    const { why, msg } = JSON.parse(line) as { why: string; msg: string }
    expect([what, msg, why, rest]).toEqual([
      what,
      'Redis is down: what is cached is served without it',
      expect.stringContaining(said),
      [],
    ])
    const { tls = {}, ...users } = options
    const index = JSON.parse(JSON.stringify({ url: wanted, prefix: 'test:', ...users, ...tls })) as object
    await writeFile(path, stringify({ index, upstreams: [{ registry: 'ghcr.io' }] }))
    const checked = { out: '', err: '' }
    const out = { write: (text: string) => (checked.out += text) }
    const err = { write: (text: string) => (checked.err += text) }
    expect(await runCheck(path, out, err)).toBe(0)
    expect([what, checked.err]).toEqual([what, expect.stringContaining(said)])
    const everything = inspect([lines, checked, failure], { depth: 20, showHidden: true })
    for (const secret of ['s3cret', 'adm1n']) expect(everything).not.toContain(secret)
  }

  test('one server', { timeout: longMs }, async () => {
    await using at = await secured(security => RedisServer.start({ security }))
    await areTold(at, [wrongPassword, noUser, await unknownAuthority()])
  })

  test('Sentinels', { timeout: longMs }, async () => {
    await using at = await secured(startSentinels)
    const users = 'it wants another user or password: see `sentinelUsername` and `sentinelPassword`'
    const unknown = await unknownAuthority()
    const refusals: Refusal[] = [
      wrongPassword,
      {
        what: "a wrong password of the Sentinels'",
        wrong: { sentinelPassword: 'wr0ng-s3cret' },
        said: `no Sentinel names the master: ${users}`,
      },
      { ...unknown, said: `no Sentinel names the master: ${unknown.said}` },
      {
        what: 'a name of no master',
        wrong: {},
        master: 'other',
        said: 'no Sentinel names the master: they know none of that name, which stands at the end of the URL',
      },
    ]
    await areTold(at, refusals)
  })

  test('a Cluster', { timeout: longMs }, async () => {
    await using at = await secured(startCluster)
    await areTold(at, [wrongPassword, noUser, await unknownAuthority()])
  })
})
