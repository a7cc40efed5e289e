/** How seldom upstream is asked: freshness, revalidation, negative answers, and what a restart keeps. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { image } from '../fake/content.ts'
import type { UpstreamSetting } from '../support/layover.ts'
import { type Answered, asked, errorOf, hub, layerOf, plain, type SceneSetting, scene } from './scene.ts'

const first = image('first', { layers: [300] })
const second = image('second', { layers: [300] })
const minute = 60_000
const hour = 60 * minute
const path = '/v2/app/manifests/v1'

type Policy = NonNullable<UpstreamSetting['policy']>

async function world(policy: Policy = {}, setting: SceneSetting = {}) {
  const at = await scene({ upstreams: net => [plain(net, { policy })], ...setting })
  at.net.plain.put('app', 'v1', first)
  return at
}

const digestOf = ({ headers }: Answered) => headers['docker-content-digest']

describe('within its freshness', () => {
  test('a tag asked 1 000 times causes no upstream request', async () => {
    await using at = await world()
    await at.warm(path)
    at.net.plain.put('app', 'v1', second)
    at.clock.advance(5 * minute - 1)
    for (let batch = 0; batch < 20; batch += 1) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => at.ask(path)))
      expect(new Set(answers.map(digestOf))).toEqual(new Set([first.digest]))
    }
    expect(at.net.requests()).toEqual([])
  })

  test('the first pattern that matches the tag decides', async () => {
    const tags = [
      { match: 'v*', freshMs: Number.POSITIVE_INFINITY },
      { match: 'nightly*', freshMs: 0 },
      { match: '*', freshMs: hour },
    ]
    await using at = await world({ tags })
    for (const tag of ['nightly-arm', 'latest']) at.net.plain.put('app', tag, first)
    const ask = (tag: string) => at.ask(`/v2/app/manifests/${tag}`)
    for (const tag of ['v1', 'nightly-arm', 'latest']) await ask(tag)

    const heads = async () => {
      at.net.clearRequests()
      for (const tag of ['v1', 'nightly-arm', 'latest']) expect((await ask(tag)).status).toBe(200)
      return asked(at.net).map(line => line.replace('plain.test /v2/app/manifests/', ''))
    }
    expect(await heads()).toEqual(['HEAD nightly-arm'])
    at.clock.advance(hour)
    expect(await heads()).toEqual(['HEAD nightly-arm', 'HEAD latest'])
    at.clock.advance(5 * 365 * 24 * hour)
    expect(await heads()).toEqual(['HEAD nightly-arm', 'HEAD latest'])
  })

  test('a tag that no pattern matches is asked each time', async () => {
    await using at = await world({ tags: [{ match: 'other', freshMs: hour }] })
    await at.ask(path)
    await at.ask(path)
    await at.ask(path)
    expect(asked(at.net)).toEqual([
      'GET plain.test /v2/app/manifests/v1',
      'HEAD plain.test /v2/app/manifests/v1',
      'HEAD plain.test /v2/app/manifests/v1',
    ])
  })

  test('a clock that is set back makes nothing fresh for longer', async () => {
    await using at = await world()
    at.clock.advance(24 * hour)
    await at.warm(path, '/v2/app/tags/list')
    at.clock.advance(-24 * hour)
    await at.ask(path)
    await at.ask('/v2/app/tags/list')
    expect(asked(at.net)).toEqual([
      'HEAD plain.test /v2/app/manifests/v1',
      'GET plain.test /v2/app/tags/list',
    ])
  })

  test('a digest never ages and never causes a request', async () => {
    await using at = await world()
    const paths = [`/v2/app/manifests/${first.digest}`, `/v2/app/blobs/${layerOf(first).digest}`]
    await at.warm(...paths)
    at.clock.advance(50 * 365 * 24 * hour)
    for (const each of paths) expect((await at.ask(each)).headers['cache-status']).toBe('layover; hit')
    expect(at.net.requests()).toEqual([])
  })
})

describe('a stale tag', () => {
  test('costs one HEAD when it has not moved, and is fresh again', async () => {
    await using at = await world()
    await at.warm(path)
    at.clock.advance(5 * minute)
    expect(digestOf(await at.ask(path))).toBe(first.digest)
    expect(digestOf(await at.ask(path))).toBe(first.digest)
    expect(asked(at.net)).toEqual(['HEAD plain.test /v2/app/manifests/v1'])
    at.clock.advance(5 * minute)
    await at.ask(path)
    expect(asked(at.net)).toHaveLength(2)
  })

  test('costs a HEAD and a GET by digest when it has moved', async () => {
    await using at = await world()
    await at.warm(path)
    at.net.plain.put('app', 'v1', second)
    at.clock.advance(5 * minute)
    const moved = await at.ask(path)
    expect(digestOf(moved)).toBe(second.digest)
    expect(moved.body.equals(second.root.body)).toBe(true)
    expect(asked(at.net)).toEqual([
      'HEAD plain.test /v2/app/manifests/v1',
      `GET plain.test /v2/app/manifests/${second.digest}`,
    ])
  })

  test('costs only the HEAD when it has moved to what is here already', async () => {
    await using at = await world()
    at.net.plain.put('app', 'v2', second)
    await at.warm(path, '/v2/app/manifests/v2')
    at.net.plain.put('app', 'v1', second)
    at.clock.advance(5 * minute)
    expect(digestOf(await at.ask(path))).toBe(second.digest)
    expect(asked(at.net)).toEqual(['HEAD plain.test /v2/app/manifests/v1'])
  })

  test('asked by 50 clients at once is asked of upstream once', async () => {
    await using at = await world()
    await at.warm(path)
    at.clock.advance(5 * minute)
    const fault = at.net.fault({ host: 'plain.test', kind: 'hang' })
    const asking = Array.from({ length: 50 }, () => at.ask(path))
    await fault.reached
    fault.release()
    for (const answer of await Promise.all(asking)) expect(digestOf(answer)).toBe(first.digest)
    expect(asked(at.net)).toEqual(['HEAD plain.test /v2/app/manifests/v1'])
  })

  test('that moves between the HEAD and the GET is answered with where it is then', async () => {
    await using at = await world()
    await at.warm(path)
    const third = image('third')
    at.net.plain.put('app', 'v1', second)
    at.clock.advance(5 * minute)
    at.net.fault({
      host: 'plain.test',
      method: 'HEAD',
      kind: 'then',
      times: 1,
      run: () => {
        at.net.plain.remove('app', { manifest: second.digest })
        at.net.plain.put('app', 'v1', third)
      },
    })
    const answer = await at.ask(path)
    expect(digestOf(answer)).toBe(third.digest)
    expect(answer.body.equals(third.root.body)).toBe(true)
    expect(digestOf(await at.ask(path))).toBe(third.digest)
  })

  test('of an upstream whose HEAD names no digest is asked with GET', async () => {
    await using at = await world()
    await at.warm(path)
    at.net.fault({ host: 'plain.test', kind: 'no-digest' })
    at.clock.advance(5 * minute)
    expect(digestOf(await at.ask(path))).toBe(first.digest)
    at.net.plain.put('app', 'v1', second)
    at.clock.advance(5 * minute)
    expect(digestOf(await at.ask(path))).toBe(second.digest)
  })
})

describe('HEAD of a stale tag that has moved', () => {
  async function moved() {
    const at = await world()
    await at.warm(path)
    at.net.plain.put('app', 'v1', second)
    at.clock.advance(5 * minute)
    return at
  }

  test('brings the body along, so that an outage right after it finds the tag whole', async () => {
    await using at = await moved()
    const head = await at.ask(path, { method: 'HEAD' })
    expect([head.status, digestOf(head), head.body.length]).toEqual([200, second.digest, 0])
    at.net.fault({ host: 'plain.test', kind: 'refuse' })
    at.clock.advance(10 * minute)
    const stale = await at.ask(path)
    expect([stale.status, digestOf(stale)]).toEqual([200, second.digest])
    expect((await at.ask(`/v2/app/manifests/${second.digest}`)).status).toBe(200)
  })

  test('does not leave what is here for what upstream will not give', async () => {
    await using at = await moved()
    at.net.fault({ host: 'plain.test', method: 'GET', kind: 'rate-limited', form: 'hub' })
    const head = await at.ask(path, { method: 'HEAD' })
    expect([head.status, digestOf(head)]).toEqual([200, first.digest])
    expect(head.headers.warning).toMatch(/^299 - "/)
  })

  test('fetches no body of a tag that was only ever asked with HEAD', async () => {
    await using at = await world()
    await at.ask(path, { method: 'HEAD' })
    at.net.plain.put('app', 'v1', second)
    at.clock.advance(5 * minute)
    expect(digestOf(await at.ask(path, { method: 'HEAD' }))).toBe(second.digest)
    expect(at.net.requests({ method: 'GET' })).toEqual([])
  })
})

describe('HEAD of a cold tag', () => {
  test('fetches no body, and a GET within the freshness fetches it by digest', async () => {
    await using at = await world()
    const head = await at.ask(path, { method: 'HEAD' })
    expect([head.status, digestOf(head)]).toEqual([200, first.digest])
    await at.ask(path, { method: 'HEAD' })
    expect(asked(at.net)).toEqual(['HEAD plain.test /v2/app/manifests/v1'])
    at.net.clearRequests()
    expect((await at.ask(path)).body.equals(first.root.body)).toBe(true)
    expect(asked(at.net)).toEqual([`GET plain.test /v2/app/manifests/${first.digest}`])
  })

  test('is not served stale before its body is here', async () => {
    await using at = await world()
    await at.ask(path, { method: 'HEAD' })
    at.clock.advance(5 * minute)
    const fault = at.net.fault({ host: 'plain.test', kind: 'refuse' })
    for (const method of ['HEAD', 'GET']) expect((await at.ask(path, { method })).status).toBe(503)
    await fault.off()
    at.clock.advance(minute)
    await at.ask(path)
    at.net.fault({ host: 'plain.test', kind: 'refuse' })
    at.clock.advance(5 * minute)
    for (const method of ['HEAD', 'GET']) {
      const stale = await at.ask(path, { method })
      expect([stale.status, digestOf(stale)]).toEqual([200, first.digest])
      expect(stale.headers.warning).toMatch(/^299 - "/)
    }
  })

  test('by an upstream that knows no HEAD is asked with GET', async () => {
    await using at = await world()
    at.net.fault({ host: 'plain.test', method: 'HEAD', kind: 'status', status: 405 })
    const head = await at.ask(path, { method: 'HEAD' })
    expect([head.status, digestOf(head), head.headers['content-length']]).toEqual([
      200,
      first.digest,
      String(first.root.body.length),
    ])
  })
})

describe('what upstream does not have', () => {
  test.each([
    '/v2/app/manifests/gone',
    `/v2/app/blobs/sha256:${'0'.repeat(64)}`,
    '/v2/nobody/manifests/v1',
  ])('%s is remembered for a moment, and asked again after it', async absent => {
    await using at = await world()
    for (let round = 0; round < 5; round += 1) expect((await at.ask(absent)).status).toBe(404)
    expect(at.net.requests()).toHaveLength(1)
    at.clock.advance(10_000)
    expect((await at.ask(absent)).status).toBe(404)
    expect(at.net.requests()).toHaveLength(2)
  })

  test('is there as soon as the moment is over', async () => {
    await using at = await world()
    expect((await at.ask('/v2/app/manifests/v2')).status).toBe(404)
    at.net.plain.put('app', 'v2', second)
    expect((await at.ask('/v2/app/manifests/v2')).status).toBe(404)
    at.clock.advance(10_000)
    expect((await at.ask('/v2/app/manifests/v2')).status).toBe(200)
  })

  test('is not remembered when it is turned off, and an outage never is', async () => {
    await using at = await world({ notFoundForMs: 0 })
    await at.ask('/v2/app/manifests/v2')
    at.net.plain.put('app', 'v2', second)
    expect((await at.ask('/v2/app/manifests/v2')).status).toBe(200)
    const fault = at.net.fault({ host: 'plain.test', kind: 'status', status: 500 })
    expect((await at.ask('/v2/app/manifests/v3')).status).toBe(503)
    await fault.off()
    at.net.plain.put('app', 'v3', second)
    expect((await at.ask('/v2/app/manifests/v3')).status).toBe(200)
  })
})

describe('a tag that upstream no longer has', () => {
  async function deleted(policy: Policy = {}) {
    const at = await world(policy)
    await at.warm(path)
    at.net.plain.remove('app', { tag: 'v1' })
    at.clock.advance(5 * minute)
    return at
  }

  test('is served stale for onNotFound, then 404, and dropped', async () => {
    await using at = await deleted({ onNotFound: { serveForMs: hour } })
    const stale = await at.ask(path)
    expect([stale.status, digestOf(stale)]).toEqual([200, first.digest])
    expect(stale.headers.warning).toMatch(/^299 - ".*404.*"$/)
    at.clock.advance(hour - 1)
    expect((await at.ask(path)).status).toBe(200)
    at.clock.advance(1)
    const gone = await at.ask(path)
    expect(gone.status).toBe(404)
    expect(errorOf(gone).code).toBe('MANIFEST_UNKNOWN')
    at.clock.advance(minute)
    at.net.fault({ host: 'plain.test', kind: 'refuse' })
    expect((await at.ask(path)).status).toBe(503)
  })

  test('is dropped at once with serveFor: 0s', async () => {
    await using at = await deleted({ onNotFound: { serveForMs: 0 } })
    expect((await at.ask(path)).status).toBe(404)
  })

  test('that comes back is fresh again, and its time starts anew the next time', async () => {
    await using at = await deleted({ onNotFound: { serveForMs: hour } })
    expect((await at.ask(path)).status).toBe(200)
    at.net.plain.put('app', 'v1', second)
    at.clock.advance(minute)
    const back = await at.ask(path)
    expect([digestOf(back), back.headers.warning]).toEqual([second.digest, undefined])
    at.net.plain.remove('app', { tag: 'v1' })
    at.clock.advance(50 * minute)
    expect((await at.ask(path)).status).toBe(200)
    at.clock.advance(50 * minute)
    expect((await at.ask(path)).status).toBe(200)
  })

  test('stays available by digest', async () => {
    await using at = await deleted({ onNotFound: { serveForMs: 0 } })
    await at.ask(path)
    expect((await at.ask(`/v2/app/manifests/${first.digest}`)).status).toBe(200)
  })
})

describe('maxStale', () => {
  test('bounds how long an unconfirmed tag is served', async () => {
    await using at = await world({ maxStaleMs: 24 * hour })
    await at.warm(path)
    at.net.fault({ host: 'plain.test', kind: 'refuse' })
    at.clock.advance(24 * hour)
    const stale = await at.ask(path)
    expect([stale.status, stale.headers.age]).toEqual([200, String(24 * 3600)])
    at.clock.advance(1000)
    const refused = await at.ask(path)
    expect(refused.status).toBe(503)
    expect((await at.ask(`/v2/app/manifests/${first.digest}`)).status).toBe(200)
  })

  test('counts from the last time that upstream confirmed the tag', async () => {
    await using at = await world({ maxStaleMs: 24 * hour })
    await at.warm(path)
    at.clock.advance(20 * hour)
    await at.ask(path)
    at.net.fault({ host: 'plain.test', kind: 'refuse' })
    at.clock.advance(20 * hour)
    expect((await at.ask(path)).status).toBe(200)
  })
})

describe('a restart', () => {
  const blob = `/v2/app/blobs/${layerOf(first).digest}`

  test('keeps everything and asks nobody anything', async () => {
    await using at = await scene()
    at.net.hub.put('library/app', 'v1', first)
    await at.warm(path, `/v2/app/manifests/${first.digest}`, blob, '/v2/app/tags/list')
    await at.layover.restart()
    for (const each of [path, `/v2/app/manifests/${first.digest}`, blob, '/v2/app/tags/list']) {
      const answer = await at.ask(each)
      expect([each, answer.status, answer.headers['cache-status']]).toEqual([each, 200, 'layover; hit'])
    }
    expect(at.net.requests()).toEqual([])
  })

  test('without the index still has it all, by the records', async () => {
    await using at = await world()
    await at.warm(path, blob)
    await at.layover.stop()
    for (const suffix of ['', '-wal', '-shm']) {
      await rm(join(at.layover.storePath, `index.sqlite${suffix}`), { force: true })
    }
    await at.layover.restart()
    const answers = [await at.ask(path), await at.ask(blob)]
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    expect(at.net.requests({ method: 'GET' })).toEqual([])
  })

  test('without the index and without upstream serves what it has', async () => {
    await using at = await world()
    await at.warm(path, blob)
    at.net.fault({ host: 'plain.test', kind: 'refuse' })
    await at.layover.stop()
    for (const suffix of ['', '-wal', '-shm']) {
      await rm(join(at.layover.storePath, `index.sqlite${suffix}`), { force: true })
    }
    await at.layover.restart()
    at.clock.advance(hour)
    const stale = await at.ask(path)
    expect([stale.status, digestOf(stale)]).toEqual([200, first.digest])
    expect((await at.ask(blob)).status).toBe(200)
  })

  test('does not make a tag fresh again', async () => {
    await using at = await world()
    await at.warm(path)
    at.clock.advance(5 * minute)
    await at.layover.restart()
    await at.ask(path)
    expect(asked(at.net)).toEqual(['HEAD plain.test /v2/app/manifests/v1'])
  })

  test('starts without any upstream and without a name looked up', async () => {
    await using at = await scene({ upstreams: net => [hub(net)] })
    expect(at.net.names.asked).toEqual([])
    at.net.fault({ host: 'registry.hub.test', kind: 'refuse' })
    await at.layover.restart()
    expect((await at.ask('/v2/')).status).toBe(200)
    expect(at.net.names.asked).toEqual([])
  })
})
