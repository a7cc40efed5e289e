/** Local names on replicas that do not own them: clients see no difference. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { seededBlob } from '../../fake/bytes.ts'
import { artifactOf } from '../../fake/content.ts'
import { begin, bytes, locationOf, withQuery } from '../push/scene.ts'
import { name, type Replicas, startReplicas } from './scene.ts'

const mib = 1024 * 1024

/** For tests that leave them as they are, each with repositories of its own: a new owner waits two seconds for leases to end. */
let at: Replicas
beforeAll(async () => {
  at = await startReplicas(3)
})
afterAll(() => at[Symbol.asyncDispose]())

describe('a local name', () => {
  test('is pushed through any replica and read through any other', async () => {
    const name = 'local/everywhere'
    const blob = bytes(300_000)
    const manifest = artifactOf([seededBlob('layer', 1000)]).root
    expect((await at.push(1, blob, name)).status).toBe(201)
    expect((await at.put(2, manifest, 'v1', name)).status).toBe(201)
    for (const nth of [0, 1, 2]) {
      expect(await at.tag(nth, 'v1', name)).toBe(manifest.digest)
      const got = await at.ask(nth, `/v2/${name}/blobs/${digestOf(blob)}`)
      expect(got.status).toBe(200)
      expect(got.body.equals(blob)).toBe(true)
      const part = await at.ask(nth, `/v2/${name}/blobs/${digestOf(blob)}`, {
        headers: { range: 'bytes=10-19' },
      })
      expect([part.status, part.body.toString('hex')]).toEqual([206, blob.subarray(10, 20).toString('hex')])
      const head = await at.ask(nth, `/v2/${name}/blobs/${digestOf(blob)}`, { method: 'HEAD' })
      expect([head.status, head.headers['content-length']]).toEqual([200, '300000'])
      const tags = await at.ask(nth, `/v2/${name}/tags/list`)
      expect(JSON.parse(tags.body.toString())).toEqual({ name, tags: ['v1'] })
      const catalog = await at.ask(nth, '/v2/_catalog')
      expect(JSON.parse(catalog.body.toString())).toEqual({ repositories: expect.arrayContaining([name]) })
    }
  })

  test('of which there is nothing is the same 404 everywhere', async () => {
    for (const nth of [0, 1]) {
      const { status, body } = await at.ask(nth, `/v2/${name}/manifests/none`)
      expect([status, body.toString()]).toEqual([404, expect.stringContaining('MANIFEST_UNKNOWN')])
    }
  })

  test('is listed page by page through one replica after the other', async () => {
    const name = 'local/pages'
    const manifest = artifactOf([seededBlob('layer', 10)]).root
    for (const tag of ['a', 'b', 'c']) await at.put(0, manifest, tag, name)
    const first = await at.ask(1, `/v2/${name}/tags/list?n=2`)
    expect(JSON.parse(first.body.toString())).toMatchObject({ tags: ['a', 'b'] })
    const [, next = ''] = /^<(.*)>; rel="next"$/.exec(String(first.headers.link)) ?? []
    expect(next).toMatch(/^\/v2\//)
    expect(JSON.parse((await at.ask(0, next)).body.toString())).toMatchObject({ tags: ['c'] })
  })
})

describe('an upload', () => {
  test('that is begun through one replica goes on through the others', async () => {
    const body = bytes(3 * mib, 7)
    const begun = await at.ask(1, `/v2/${name}/blobs/uploads/`, { method: 'POST' })
    expect(begun.status).toBe(202)
    const location = locationOf(begun)
    const first = await at.ask(2, location, { method: 'PATCH', body: body.subarray(0, mib) })
    expect([first.status, first.headers.range]).toEqual([202, `0-${mib - 1}`])
    const chunks = [body.subarray(mib, mib + 1000), body.subarray(mib + 1000, 2 * mib)]
    const second = await at.ask(0, locationOf(first), { method: 'PATCH', body: chunks })
    expect(second.status).toBe(202)
    const closed = await at.ask(1, withQuery(locationOf(second), { digest: digestOf(body) }), {
      method: 'PUT',
      body: body.subarray(2 * mib),
    })
    expect(closed.status).toBe(201)
    const got = await at.ask(2, `/v2/${name}/blobs/${digestOf(body)}`)
    expect(got.body.equals(body)).toBe(true)
  })

  test('whose client waits to be asked is asked, and refused before it sends', async () => {
    const body = bytes(1000)
    const path = `/v2/${name}/blobs/uploads/?digest=${digestOf(body)}`
    const headers = { 'content-length': '1000', expect: '100-continue' }
    const asked = begin(at.url(1), path, { method: 'POST', headers })
    expect(await asked.continued()).toBe('continue')
    asked.write(body)
    expect((await asked.end()).status).toBe(201)
    const refused = begin(at.url(1), '/v2/proxied/app/blobs/uploads/', { method: 'POST', headers })
    const answer = await refused.continued()
    expect(answer === 'continue' ? answer : answer.status).not.toBe('continue')
  })
})

describe('who a client is', () => {
  test('the owner judges by the client, and not by the replica that asks for it', async () => {
    const body = bytes(10)
    const path = `/v2/${name}/blobs/uploads/?digest=${digestOf(body)}`
    const refused = await at.ask(1, path, {
      method: 'POST',
      headers: { host: 'registry.corp.example' },
      body,
    })
    expect([refused.status, refused.body.toString()]).toEqual([403, expect.stringContaining('another host')])
    const proxied = await at.ask(1, path, {
      method: 'POST',
      headers: { 'x-forwarded-for': '10.0.0.1' },
      body,
    })
    expect(proxied.status).toBe(403)
  })

  test('nobody says so who is no replica', async () => {
    const origin = JSON.stringify({
      client: '127.0.0.1',
      role: 'registry',
      requestId: 'x',
      httpVersion: '1.1',
    })
    for (const headers of [
      { 'replica-origin': origin },
      {
        'replica-origin': origin,
        'replica-signature': `v1 ${Date.now()} ${'a'.repeat(16)} ${'b'.repeat(43)}`,
      },
    ] as Record<string, string>[]) {
      for (const nth of [0, 1]) {
        const { status, body } = await at.ask(nth, `/v2/${name}/manifests/v1`, { headers })
        expect([status, body.toString()]).toEqual([403, expect.stringContaining('no replica')])
      }
    }
    expect((await at.ask(0, '/_replica/leases?holder=a&session=b')).status).toBe(403)
    expect((await at.ask(0, '/_replica/leases?session=b&ask=1', { method: 'POST' })).status).toBe(403)
  })

  test('the replica that it asked logs and counts the request, with what the owner knows of it', async () => {
    const name = 'local/logged'
    const manifest = artifactOf([seededBlob('layer', 10)]).root
    await at.put(0, manifest, 'v1', name)
    await at.tag(1, 'v1', name)
    const linesOf = (nth: number) => at.told(nth, 'request').filter(({ repository }) => repository === name)
    const lines = () => linesOf(1)
    await vi.waitFor(() => expect(lines()).toHaveLength(1), { timeout: 10_000 })
    expect(lines()[0]).toMatchObject({ repository: name, upstream: 'local', cache: 'hit', status: 200 })
    expect(linesOf(0).filter(({ method }) => method === 'GET')).toEqual([])
  })
})

// Each has requests wait for an owner that does not come.
describe.concurrent('without an owner', () => {
  test('local names are unavailable, also those in memory, and everything else goes on', async () => {
    await using at = await startReplicas(2)
    const manifest = artifactOf([seededBlob('layer', 10)]).root
    await at.put(0, manifest, 'v1')
    for (let times = 0; times < 3; times += 1) expect(await at.tag(1, 'v1')).toBe(manifest.digest)
    await at.all[0]?.stop()
    const { status, headers, body } = await at.ask(1, `/v2/${name}/manifests/v1`)
    expect([status, headers['retry-after'], body.toString()]).toEqual([
      503,
      expect.stringMatching(/^\d+$/),
      expect.stringContaining('no replica owns the local names'),
    ])
    expect((await at.ask(1, '/v2/')).status).toBe(200)
  })

  test('a request waits for one that comes in time, and its body is still there', {
    concurrent: false,
  }, async () => {
    await using at = await startReplicas(2)
    const body = bytes(2 * mib)
    await at.all[0]?.stop()
    const pushing = at.push(1, body)
    await at.all[0]?.restart()
    expect((await pushing).status).toBe(201)
    expect((await at.ask(0, `/v2/${name}/blobs/${digestOf(body)}`, { method: 'HEAD' })).status).toBe(200)
  })

  test('two that take each other for the owner answer, and do not ask in circles', async () => {
    const other = (nth: number, ports: readonly number[]) => ({ owner: `http://127.0.0.1:${ports[1 - nth]}` })
    await using at = await startReplicas(2, { each: other })
    expect((await at.ask(0, `/v2/${name}/manifests/v1`)).status).toBe(503)
  })
})
