/** Replicas find each other, and those who are gone are dropped. */
import { writeFile } from 'node:fs/promises'
import { expect, test, vi } from 'vitest'
import { runCheck } from '../../../src/cli/commands/check.ts'
import type { MemberSite } from '../../../src/cluster/peers/member-site.ts'
import { Members, memberMs } from '../../../src/cluster/peers/members.ts'
import type { Redis } from '../../../src/cluster/redis/redis.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { FakeClock } from '../../fake/clock.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { startScene } from './scene.ts'

const disk: MemberSite = { bucket: undefined, owner: undefined }

function memberOf(redis: Redis, advertise: string, clock: FakeClock) {
  return new Members({ redis, advertise, site: () => disk, clock, log: createLogger('silent') })
}

async function pair() {
  const scene = await startScene()
  const clock = new FakeClock()
  const redis = await scene.connect()
  const first = memberOf(redis, 'http://a.test', clock)
  const second = memberOf(await scene.connect(), 'http://b.test', clock)
  await first.start()
  await second.start()
  const renew = async () => {
    await clock.untilSleeping(2)
    clock.advance(memberMs / 3)
  }
  return { scene, redis, first, second, renew }
}

test('each knows the others, and hears at once of one that leaves', async () => {
  const { scene, first, second, renew } = await pair()
  await using _ = scene
  expect(second.others).toEqual(['http://a.test'])
  await vi.waitFor(async () => {
    await renew()
    expect(first.others).toEqual(['http://b.test'])
  }, 10_000)
  await second.stop()
  await first.stop()
  const third = memberOf(await scene.connect(), 'http://c.test', new FakeClock())
  await third.start()
  expect(third.others).toEqual([])
  await third.stop()
})

test('one that says nothing any more is dropped when its time is over', async () => {
  const { scene, redis, first, second } = await pair()
  await using _ = scene
  await redis.ask(client => client.zadd(redis.key('{members}'), Date.now() - 1, 'http://gone.test'))
  const third = memberOf(await scene.connect(), 'http://c.test', new FakeClock())
  await third.start()
  expect(third.others.toSorted()).toEqual(['http://a.test', 'http://b.test'])
  for (const member of [first, second, third]) await member.stop()
})

test('those known last are taken to be there while Redis is down', async () => {
  const { scene, second, renew, first } = await pair()
  await using _ = scene
  await scene.server.kill()
  await renew()
  expect(second.others).toEqual(['http://a.test'])
  for (const member of [first, second]) await member.stop()
})

/** Replicas that have started, whose complaints are kept. */
async function speakers(...told: readonly { advertise: string; site: MemberSite }[]) {
  const running = new AsyncDisposableStack()
  const scene = running.use(await startScene())
  const clock = new FakeClock()
  const all: { lines: Record<string, unknown>[]; state: { site: MemberSite } }[] = []
  const come = async (advertise: string, site: MemberSite) => {
    const lines: Record<string, unknown>[] = []
    const log = createLogger('warn', { write: line => void lines.push(JSON.parse(line)) })
    const state = { site }
    const redis = await scene.connect()
    const members = new Members({ redis, advertise, site: () => state.site, clock, log })
    await members.start()
    running.defer(() => members.stop())
    all.push({ lines, state })
  }
  for (const { advertise, site } of told) await come(advertise, site)
  return {
    all,
    url: scene.server.url,
    come,
    /** Each says again, so often, that it is there. */
    async speak(times: number, afterMs = memberMs / 3) {
      for (let round = 0; round < times; round += 1) {
        await clock.untilSleeping(all.length)
        clock.advance(afterMs)
      }
      await clock.untilSleeping(all.length)
    },
    lines: () => all.map(({ lines }) => lines),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

const bucket = (id: string): MemberSite => ({ bucket: id, owner: undefined })
const ownedBy = (owner: string): MemberSite => ({ bucket: undefined, owner })

test('two processes with one address are both told, and one alone is not', async () => {
  const advertise = 'http://a.test'
  await using at = await speakers({ advertise, site: disk })
  await at.speak(5)
  expect(at.lines()).toEqual([[]])
  await at.come(advertise, disk)
  await at.speak(5)
  const told = [
    expect.objectContaining({ advertise, msg: expect.stringContaining('the same `replica.advertise`') }),
  ]
  expect(at.lines()).toEqual([told, told])
})

test('one that was killed and is back is nobody else', async () => {
  await using scene = await startScene()
  const redis = await scene.connect()
  const lines: string[] = []
  const log = createLogger('warn', { write: line => void lines.push(line) })
  const clock = new FakeClock()
  const deps = { redis, advertise: 'http://a.test', site: () => disk, clock, log }
  const killed = new Members(deps)
  await killed.start()
  const [set] = await redis.ask(client => client.keys('test:*members}'))
  const [about] = await redis.ask(client => client.keys('test:*about'))
  const said = await redis.ask(client => client.hgetall(about ?? ''))
  await killed.stop()
  await redis.ask(client => client.zadd(set ?? '', Date.now() + memberMs, 'http://a.test'))
  await redis.ask(client => client.hset(about ?? '', said))
  const back = new Members(deps)
  await back.start()
  for (let round = 0; round < 5; round += 1) {
    await clock.untilSleeping()
    clock.advance(memberMs / 3)
  }
  await back.stop()
  expect(lines).toEqual([])
})

test.each<[string, MemberSite, MemberSite]>([
  ['buckets', bucket('one'), bucket('other')],
  ['kinds of store', bucket('unknown'), disk],
  ['owners', ownedBy('http://a.test'), ownedBy('http://z.test')],
])('replicas of two sites are told once a minute: other %s', async (_, one, other) => {
  const [a, b] = ['http://a.test', 'http://b.test']
  await using at = await speakers({ advertise: a, site: one }, { advertise: b, site: other })
  await at.speak(3)
  const told = (advertise: string) =>
    expect.objectContaining({
      msg: expect.stringContaining('replicas with another store use the same Redis and `index.prefix`'),
      others: [expect.objectContaining({ advertise })],
    })
  expect(at.lines()).toEqual([[told(b)], [told(a)]])
  await at.speak(2, 60_000)
  expect(at.lines()[0]?.length).toBeGreaterThan(1)
})

test('replicas of one bucket hear nothing, also while one does not know it yet', async () => {
  const sites = [bucket('one'), bucket('unknown'), bucket('one')]
  await using at = await speakers(...sites.map((site, nth) => ({ advertise: `http://${nth}.test`, site })))
  await at.speak(3)
  expect(at.lines()).toEqual([[], [], []])
  const [, second] = at.all
  if (second) second.state.site = bucket('other')
  await at.speak(3)
  for (const lines of at.lines()) expect(lines).toHaveLength(1)
})

test('disks of one owner belong together, whether or not all of them name it', async () => {
  const [a, b, c] = ['http://a.test', 'http://b.test', 'http://c.test'] as const
  await using at = await speakers(
    { advertise: a, site: ownedBy(a) },
    { advertise: b, site: ownedBy(a) },
    { advertise: c, site: disk },
  )
  await at.speak(3)
  expect(at.lines()).toEqual([[], [], []])
})

test('the check tells of replicas that do not belong to this one', async () => {
  const [a, b] = ['http://a.test', 'http://b.test'] as const
  await using at = await speakers({ advertise: a, site: ownedBy(a) }, { advertise: b, site: ownedBy(a) })
  await using folder = await tempDir()
  const config = folder.join('upstreams.yaml')
  const check = async (owner: string) => {
    const replica = { advertise: b, secret: 'sixteen characters or more', owner }
    const index = { url: at.url, prefix: 'test:' }
    await writeFile(config, JSON.stringify({ index, replica, upstreams: [{ registry: 'ghcr.io' }] }))
    let said = ''
    const err = {
      write(text: string) {
        said += text
      },
    }
    expect(await runCheck(config, { write: () => {} }, err)).toBe(0)
    return said.trim().split('\n')
  }
  expect(await check(a)).toEqual([expect.stringMatching(/ answers$/)])
  const apart = await check('http://z.test')
  expect(apart).toHaveLength(3)
  for (const line of apart.slice(1)) expect(line).toContain(`has a disk of its own, with the owner ${a}`)
})
