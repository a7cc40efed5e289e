/** Images as an operator handles them: looked at, dropped, asked about anew; and what clients get from then on. */
import { describe, expect, test, vi } from 'vitest'
import { image, index } from '../../fake/content.ts'
import type { UpstreamSetting } from '../../support/layover.ts'
import { pushBundle } from '../push-client.ts'
import { type Answered, asked, layerOf, plain, type SceneSetting, scene } from '../scene.ts'
import { type AdminAsk, type AdminFailure, askSocket, failureOf } from './client.ts'

const first = image('first', { layers: [300] })
const second = image('second', { layers: [300] })
const minute = 60_000
const name = 'plain.example/app:v1'
const path = '/v2/app/manifests/v1'

async function world(policy: UpstreamSetting['policy'] = {}, setting: SceneSetting = {}) {
  const at = await scene({ upstreams: net => [plain(net, { policy })], ...setting })
  at.net.plain.put('app', 'v1', first)
  const admin = (route: string, ask?: AdminAsk) => askSocket(at.layover, route, ask)
  const inspect = (image: string) => admin('/images', { query: { name: image } })
  return {
    ...at,
    admin,
    inspect,
    /** What is listed comes from the records, the first of which is written a little later. */
    async warm(...paths: readonly string[]) {
      await at.warm(...paths)
      await vi.waitFor(async () => expect((await inspect('plain.example/app')).status).toBe(200))
    },
    drop: (image: string) => admin('/images', { method: 'DELETE', query: { name: image } }),
    refresh: (image: string) => admin('/images/refresh', { method: 'POST', body: { name: image } }),
  }
}

const digestOf = ({ headers }: Answered) => headers['docker-content-digest']

describe('inspect', () => {
  test('tells where a tag points, how fresh that is, and which blobs are here', async () => {
    await using at = await world()
    await at.warm(path, `/v2/app/blobs/${layerOf(first).digest}`)
    at.clock.advance(minute)
    const { status, body } = await at.inspect(name)
    expect(status).toBe(200)
    const [config, layer] = first.blobs
    const checkedAt = new Date(at.clock.now() - minute).toISOString()
    expect(body).toMatchObject({
      name,
      copies: [
        {
          source: 'upstream',
          registry: 'plain.example',
          repository: 'app',
          tag: {
            digest: first.digest,
            checkedAt,
            movedAt: checkedAt,
            isFresh: true,
            freshUntil: new Date(at.clock.now() + 4 * minute).toISOString(),
          },
          manifest: {
            digest: first.digest,
            storedSize: first.root.body.length,
            blobs: [
              { digest: config?.digest, isHeld: false, storedSize: null },
              { digest: layer?.digest, isHeld: true, storedSize: 300 },
            ],
          },
        },
      ],
    })
    expect(at.net.requests()).toEqual([])
  })

  test('of a repository lists its tags, page by page; of a digest tells what it is', async () => {
    await using at = await world()
    for (const tag of ['v2', 'v3']) at.net.plain.put('app', tag, first)
    await at.warm(path, '/v2/app/manifests/v2', '/v2/app/manifests/v3')
    expect((await at.inspect('plain.example/app')).body).toMatchObject({
      copies: [{ tags: ['v1', 'v2', 'v3'] }],
    })
    const page = { name: 'plain.example/app', n: '1', last: 'v1' }
    expect((await at.admin('/images', { query: page })).body).toMatchObject({ copies: [{ tags: ['v2'] }] })
    const { body } = await at.inspect(`plain.example/app@${first.digest}`)
    expect(body).toMatchObject({ copies: [{ manifest: { digest: first.digest } }] })
  })

  test('of an overlay shows what was pushed and what is beneath', async () => {
    const local = [{ name: 'app', match: 'app', overlay: true }]
    await using at = await world({}, { local })
    await at.warm(path)
    await pushBundle({ url: at.layover.url, name: 'app' }, second, 'v1')
    const { body } = await at.inspect('app:v1')
    expect(body).toMatchObject({
      copies: [
        { source: 'push', tag: { digest: second.digest }, manifest: { blobs: [{ isHeld: true }, {}] } },
        { source: 'upstream', tag: { digest: first.digest } },
      ],
    })
  })

  test('of what is not here is 404, of what is no name 400', async () => {
    await using at = await world()
    expect(failureOf(await at.inspect(name))).toEqual([404, 'NOT_FOUND'])
    expect(failureOf(await at.inspect('plain.example/app'))).toEqual([404, 'NOT_FOUND'])
    expect(failureOf(await at.inspect('plain.example/APP:v1'))).toEqual([400, 'NAME_INVALID'])
    expect(failureOf(await at.inspect('plain.example/app@sha256:1'))).toEqual([400, 'DIGEST_INVALID'])
    expect(failureOf(await at.admin('/images'))).toEqual([400, 'INVALID_REQUEST'])
    expect(at.net.requests()).toEqual([])
  })
})

describe('drop', () => {
  test('of a tag makes the next pull ask upstream, however fresh it was and whoever answered it', async () => {
    await using at = await world({ tags: [{ match: '*', freshMs: Number.POSITIVE_INFINITY }] })
    await at.warm(path)
    for (let times = 0; times < 10; times += 1) await at.ask(path) // every server has it in memory
    at.net.plain.put('app', 'v1', second)
    expect(await at.drop(name)).toMatchObject({ status: 200, body: { tags: 1, manifests: 0, blobs: 0 } })
    for (let times = 0; times < 10; times += 1) expect(digestOf(await at.ask(path))).toBe(second.digest)
    expect(asked(at.net)).toEqual(['GET plain.test /v2/app/manifests/v1'])
  })

  test('of a digest has upstream asked whether the repository still has it', async () => {
    await using at = await world()
    const byDigest = `/v2/app/manifests/${first.digest}`
    await at.warm(byDigest)
    expect(await at.drop(`plain.example/app@${first.digest}`)).toMatchObject({ body: { manifests: 1 } })
    for (let times = 0; times < 4; times += 1) expect((await at.ask(byDigest)).status).toBe(200)
    expect(asked(at.net)).toEqual([`HEAD plain.test ${byDigest}`])
  })

  test('of a repository forgets everything of it and nothing of others', async () => {
    await using at = await world()
    const list = index([first])
    at.net.plain.put('app', 'v2', list)
    at.net.plain.put('other', 'v1', first)
    const blob = `/v2/app/blobs/${layerOf(first).digest}`
    await at.warm(path, '/v2/app/manifests/v2', blob, '/v2/other/manifests/v1')
    expect(await at.drop('plain.example/app')).toMatchObject({
      status: 200,
      body: { tags: 2, manifests: 2, blobs: 1 },
    })
    expect(failureOf(await at.inspect('plain.example/app'))).toEqual([404, 'NOT_FOUND'])
    expect(failureOf(await at.drop('plain.example/app'))).toEqual([404, 'NOT_FOUND'])
    expect((await at.ask('/v2/other/manifests/v1')).headers['cache-status']).toBe('layover; hit')
    expect(at.net.requests()).toEqual([])
    for (const each of [path, blob]) expect((await at.ask(each)).status).toBe(200)
    expect(asked(at.net)).toEqual([
      'GET plain.test /v2/app/manifests/v1',
      `HEAD plain.test ${blob}`, // its bytes are still here
    ])
  })

  test('survives a restart', async () => {
    await using at = await world()
    await at.warm(path)
    await at.drop(name)
    await at.layover.restart()
    expect(failureOf(await at.inspect(name))).toEqual([404, 'NOT_FOUND'])
  })

  test('of what was pushed is refused, with what to do instead', async () => {
    await using at = await world()
    await pushBundle({ url: at.layover.url, name: 'local/app' }, first, 'v1')
    for (const each of ['local/app', 'local/app:v1', `local/app@${first.digest}`]) {
      const answer = await at.drop(each)
      expect(failureOf(answer)).toEqual([409, 'CONFLICT'])
      expect((answer.body as AdminFailure).error.message).toMatch(/crane delete/)
    }
    expect((await at.ask('/v2/local/app/manifests/v1')).status).toBe(200)
  })

  test('of an overlay takes what is beneath alone', async () => {
    await using at = await world({}, { local: [{ name: 'app', match: 'app', overlay: true }] })
    await at.warm(path)
    await pushBundle({ url: at.layover.url, name: 'app' }, second, 'v1')
    expect(await at.drop('app:v1')).toMatchObject({ status: 200, body: { tags: 1 } })
    expect(digestOf(await at.ask(path))).toBe(second.digest)
    expect(failureOf(await at.drop('app:v1'))).toEqual([404, 'NOT_FOUND'])
  })

  test('while pulls of it run takes down nothing that was asked before, and nobody joins them', async () => {
    await using at = await world()
    await at.warm(path)
    at.clock.advance(5 * minute) // stale: the pull below asks
    const hang = at.net.fault({ host: 'plain.test', method: 'HEAD', kind: 'hang', times: 1 })
    const before = at.ask(path)
    await hang.reached
    expect((await at.drop(name)).status).toBe(200)
    at.net.plain.put('app', 'v1', second)
    expect(digestOf(await at.ask(path))).toBe(second.digest) // did not wait for the one that hangs
    hang.release()
    expect((await before).status).toBe(200)
    await vi.waitFor(async () => {
      const { body } = await at.inspect(name)
      expect(body).toMatchObject({ copies: [{ tag: { digest: second.digest } }] })
    })
    expect(digestOf(await at.ask(path))).toBe(second.digest)
  })

  test('while a cold pull of it runs leaves it to the next one to ask', async () => {
    await using at = await world()
    const hang = at.net.fault({ host: 'plain.test', method: 'GET', kind: 'hang', times: 1 })
    const before = at.ask(path)
    await hang.reached
    await at.drop('plain.example/app')
    at.net.plain.put('app', 'v1', second)
    expect(digestOf(await at.ask(path))).toBe(second.digest)
    hang.release()
    await before
    for (let times = 0; times < 4; times += 1) expect(digestOf(await at.ask(path))).toBe(second.digest)
  })

  test('a hundred times amid a thousand pulls loses none of them', async () => {
    await using at = await world()
    await at.warm(path)
    const over = new AbortController()
    const pulls = Array.from({ length: 8 }, async () => {
      while (!over.signal.aborted) expect((await at.ask(path)).status).toBe(200)
    })
    for (let times = 0; times < 100; times += 1) expect([200, 404]).toContain((await at.drop(name)).status)
    over.abort()
    await Promise.all(pulls)
  })
})

describe('refresh', () => {
  test('asks upstream though the tag is fresh, and says that it moved', async () => {
    await using at = await world()
    await at.warm(path)
    for (let times = 0; times < 10; times += 1) await at.ask(path)
    at.net.plain.put('app', 'v1', second)
    expect((await at.refresh(name)).body).toEqual({
      name,
      tags: [{ tag: 'v1', outcome: 'moved', digest: second.digest, was: first.digest, failure: null }],
    })
    for (let times = 0; times < 10; times += 1) expect(digestOf(await at.ask(path))).toBe(second.digest)
    expect(asked(at.net)).toEqual([
      'HEAD plain.test /v2/app/manifests/v1',
      `GET plain.test /v2/app/manifests/${second.digest}`,
    ])
  })

  test('of one that did not move makes it fresh again; one that is not here is fetched', async () => {
    await using at = await world()
    await at.warm(path)
    at.clock.advance(4 * minute)
    expect((await at.refresh(name)).body).toMatchObject({ tags: [{ outcome: 'unchanged' }] })
    at.clock.advance(4 * minute)
    expect((await at.ask(path)).headers['cache-status']).toBe('layover; hit')
    at.net.plain.put('app', 'v2', second)
    expect((await at.refresh('plain.example/app:v2')).body).toMatchObject({
      tags: [{ outcome: 'fetched', was: null, digest: second.digest }],
    })
  })

  test('of a repository asks about each of its tags', async () => {
    await using at = await world()
    at.net.plain.put('app', 'v2', first)
    await at.warm(path, '/v2/app/manifests/v2')
    at.net.plain.put('app', 'v2', second)
    at.clock.advance(4 * minute)
    at.net.plain.put('app', 'v3', second) // nobody has asked for it
    expect((await at.refresh('plain.example/app')).body).toMatchObject({
      tags: [
        { tag: 'v1', outcome: 'unchanged' },
        { tag: 'v2', outcome: 'moved' },
      ],
    })
    at.net.clearRequests()
    at.clock.advance(4 * minute)
    for (const each of [path, '/v2/app/manifests/v2'])
      expect((await at.ask(each)).headers['cache-status']).toBe('layover; hit')
    expect(at.net.requests()).toEqual([])
  })

  test('with upstream down says so, and what is here stays and is served', async () => {
    await using at = await world()
    await at.warm(path)
    const down = at.net.fault({ host: 'plain.test', kind: 'status', status: 500 })
    const answer = await at.refresh(name)
    expect(failureOf(answer)).toEqual([503, 'UNAVAILABLE'])
    expect((answer.body as AdminFailure).error).toMatchObject({ upstream: 'plain.example' })
    expect((await at.refresh('plain.example/app')).body).toMatchObject({
      tags: [{ outcome: 'failed', failure: expect.stringContaining('plain.example') }],
    })
    expect(digestOf(await at.ask(path))).toBe(first.digest)
    down.release()
  })

  test('of a tag that upstream has no longer serves it as the policy says', async () => {
    await using at = await world()
    await at.warm(path)
    at.net.plain.remove('app', { tag: 'v1' })
    expect((await at.refresh(name)).body).toMatchObject({ tags: [{ outcome: 'missing', digest: null }] })
    expect((await at.ask(path)).headers.warning).toMatch(/^299/)
    at.clock.advance(60 * minute)
    expect((await at.refresh(name)).body).toMatchObject({ tags: [{ outcome: 'dropped' }] })
    expect((await at.ask(path)).status).toBe(404)
  })

  test('of a digest or of what was pushed makes no sense, and says so', async () => {
    await using at = await world()
    expect(failureOf(await at.refresh(`plain.example/app@${first.digest}`))).toEqual([400, 'INVALID_REQUEST'])
    expect(failureOf(await at.refresh('local/app:v1'))).toEqual([409, 'CONFLICT'])
    expect(failureOf(await at.refresh('plain.example/none'))).toEqual([404, 'NOT_FOUND'])
    expect(failureOf(await at.refresh('plain.example/app:none'))).toEqual([404, 'MANIFEST_UNKNOWN'])
  })
})
