/** How an upload begins: a session, or the whole blob at once (distribution-spec, end-4a, end-4b and end-4c). */
import { describe, expect, test } from 'vitest'
import { type Algorithm, digestOf } from '../../../src/oci/digest.ts'
import { bytes, locationOf, name, type Payload, type PushScene, pushScene, withQuery } from './scene.ts'

const uploads = `/v2/${name}/blobs/uploads/`
const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
const content = bytes(5_000)
const digest = digestOf(content)
const empty = Buffer.alloc(0)

const post = (at: PushScene, query: string, body?: Payload) =>
  at.ask(`${uploads}${query}`, { method: 'POST', body })

async function expectBlob(at: PushScene, wanted: string, expected: Buffer): Promise<void> {
  const { status, body, headers } = await at.ask(`/v2/${name}/blobs/${wanted}`)
  expect([status, body.equals(expected), headers['docker-content-digest']]).toEqual([200, true, wanted])
}

async function expectNothing(at: PushScene): Promise<void> {
  expect((await at.ask(`/v2/${name}/blobs/${digest}`, { method: 'HEAD' })).status).toBe(404)
  expect(await at.sessions()).toEqual([])
}

describe('POST', () => {
  test.each([
    ['with a trailing slash', '/', ''],
    ['without one', '', ''],
    ['with parameters that mean nothing here', '/', '?origin=ghcr.io%2Forg%2Fapp&ns=docker.io'],
  ])('%s begins a session: 202, Location, Range and Docker-Upload-UUID', async (_, slash, query) => {
    await using at = await pushScene()
    const path = `/v2/${name}/blobs/uploads${slash}${query}`
    const headers = { 'content-type': 'application/json', 'content-length': '0' }
    const answer = await at.ask(path, { method: 'POST', headers })
    expect([answer.status, answer.headers.range, answer.headers['content-length']]).toEqual([202, '0-0', '0'])
    const location = locationOf(answer)
    expect(location).toMatch(new RegExp(`^/v2/${name}/blobs/uploads/${uuid}$`))
    expect(answer.headers['docker-upload-uuid']).toBe(location.split('/').at(-1))
    expect(answer.headers['oci-chunk-min-length']).toBeUndefined()
  })

  test('begins another session each time', async () => {
    await using at = await pushScene()
    const locations = await Promise.all(Array.from({ length: 20 }, () => at.start()))
    expect(new Set(locations).size).toBe(20)
    expect(await at.sessions()).toHaveLength(20)
  })

  test.each([
    ['', uploads],
    ['/registry', `/registry${uploads}`],
  ])("gives a Location below publicUrl's path (%s), for who reaches us through it", async (path, expected) => {
    await using at = await pushScene({ publicUrl: `https://registry.test${path}` })
    const location = locationOf(await post(at, ''))
    expect(location).toMatch(new RegExp(`^${expected}${uuid}$`))
    const pushed = await post(at, `?digest=${digest}`, content)
    expect(pushed.headers.location).toBe(`${path}/v2/${name}/blobs/${digest}`)
  })
})

describe('a path of uploads', () => {
  test('takes no other methods: 405', async () => {
    await using at = await pushScene()
    const location = await at.start()
    for (const [path, method] of [
      [location, 'POST'],
      [`/v2/${name}/blobs/uploads/`, 'PUT'],
      [`/v2/${name}/blobs/uploads/`, 'PATCH'],
      [`/v2/${name}/blobs/uploads/`, 'DELETE'],
    ] as const)
      expect(at.failure(await at.ask(path, { method }))).toEqual([405, 'UNSUPPORTED'])
  })
})

describe('POST with ?digest= and the bytes', () => {
  test.each<[string, number, (body: Buffer) => Payload]>([
    ['with Content-Length', 5_000, body => body],
    ['chunked', 5_000, body => [body.subarray(0, 1), body.subarray(1)]],
    ['of more than a megabyte', 1_100_000, body => body],
    [
      'of more than a megabyte, chunked',
      1_100_000,
      body => [body.subarray(0, 600_000), body.subarray(600_000)],
    ],
  ])('%s is the blob: 201, Location, Docker-Content-Digest', async (_, size, payload) => {
    for (const algorithm of ['sha256', 'sha512'] as const) {
      await using at = await pushScene()
      const body = bytes(size)
      const wanted = digestOf(body, algorithm)
      const answer = await post(at, `?digest=${encodeURIComponent(wanted)}`, payload(body))
      expect([answer.status, answer.headers.location]).toEqual([201, `/v2/${name}/blobs/${wanted}`])
      expect(answer.headers['docker-content-digest']).toBe(wanted)
      await expectBlob(at, wanted, body)
      await at.untilNoSessions()
    }
  })

  test.each<[string, number, (body: Buffer) => Payload]>([
    ['with Content-Length', 5_000, body => body],
    ['chunked', 5_000, body => [body]],
    ['of more than a megabyte', 1_100_000, body => body],
    [
      'of more than a megabyte, chunked',
      1_100_000,
      body => [body.subarray(0, 600_000), body.subarray(600_000)],
    ],
  ])('%s that do not have it is 400, and nothing is kept', async (_, size, payload) => {
    await using at = await pushScene()
    const answer = await post(at, `?digest=${digest}`, payload(bytes(size, 1)))
    expect(at.failure(answer)).toEqual([400, 'DIGEST_INVALID'])
    await expectNothing(at)
  })

  test.each([
    'nonsense',
    '',
    'sha256:',
    digest.slice(0, -1),
    `${digest}0`,
    digest.toUpperCase().replace('SHA', 'sha'),
    `sha512:${digest.slice(7)}`,
    `blake3:${'a'.repeat(64)}`,
    `sha256:../../../${'a'.repeat(52)}`,
  ])('refuses the digest "%s" with 400', async text => {
    await using at = await pushScene()
    for (const body of [content, [content], undefined])
      expect(at.failure(await post(at, `?digest=${encodeURIComponent(text)}`, body))).toEqual([
        400,
        'DIGEST_INVALID',
      ])
    await expectNothing(at)
  })

  test.each<[string, Algorithm, Payload | undefined]>([
    ['with Content-Length 0', 'sha256', empty],
    ['chunked, as the official suite sends it', 'sha256', []],
    ['with no word on its length', 'sha256', undefined],
    ['by its sha512', 'sha512', []],
  ])('takes the blob of no bytes: %s', async (_, algorithm, body) => {
    await using at = await pushScene()
    const wanted = digestOf(empty, algorithm)
    const answer = await post(at, `?digest=${wanted}`, body)
    expect([answer.status, answer.headers.location]).toEqual([201, `/v2/${name}/blobs/${wanted}`])
    await expectBlob(at, wanted, empty)
  })

  test.each([
    ['with Content-Length 0', empty],
    ['chunked', []],
  ])('without bytes (%s) and for a blob that has some is a session: 202', async (_, body) => {
    for (const algorithm of ['sha256', 'sha512'] as const) {
      await using at = await pushScene()
      const wanted = digestOf(content, algorithm)
      const answer = await post(at, `?digest=${wanted}`, body)
      expect([answer.status, answer.headers.range]).toEqual([202, '0-0'])
      expect((await at.close(locationOf(answer), wanted, content)).status).toBe(201)
      await expectBlob(at, wanted, content)
    }
  })

  test('for a blob that the repository holds is 201, whether the bytes come again or not', async () => {
    await using at = await pushScene()
    await at.push(content)
    for (const body of [content, [content], undefined]) {
      const answer = await post(at, `?digest=${digest}`, body)
      expect([answer.status, answer.headers.location]).toEqual([201, `/v2/${name}/blobs/${digest}`])
    }
    await expectBlob(at, digest, content)
  })

  test('takes nobody at his word for a blob that only another repository holds', async () => {
    await using at = await pushScene()
    await at.push(content, 'local/other')
    expect((await post(at, `?digest=${digest}`)).status).toBe(202)
    expect(at.failure(await post(at, `?digest=${digest}`, bytes(5_000, 1)))).toEqual([400, 'DIGEST_INVALID'])
    const location = await at.start()
    expect(at.failure(await at.close(location, digest))).toEqual([400, 'DIGEST_INVALID'])
    expect((await at.ask(`/v2/${name}/blobs/${digest}`, { method: 'HEAD' })).status).toBe(404)
  })
})

describe('POST with ?digest-algorithm=', () => {
  const ends = [
    ['?digest-algorithm=sha512', 'sha512', 'announced'],
    ['', 'sha512', 'announced too late'],
    ['?digest-algorithm=sha512', 'sha256', 'announced, and then not used'],
    ['?digest-algorithm=sha256', 'sha512', 'other than announced'],
  ] as const

  test.each(ends)('%s, then closed with %s (%s): 201 under just that digest', async (query, algorithm) => {
    await using at = await pushScene()
    const wanted = digestOf(content, algorithm)
    const location = await at.start(query)
    expect((await at.patch(location, content.subarray(0, 2_000))).status).toBe(202)
    expect((await at.patch(location, [content.subarray(2_000, 3_000)])).status).toBe(202)
    expect((await at.close(location, wanted, content.subarray(3_000))).status).toBe(201)
    await expectBlob(at, wanted, content)
  })

  test.each(
    ends,
  )('%s, then closed with a %s (%s) that the bytes do not have: 400', async (query, algorithm) => {
    await using at = await pushScene()
    const location = await at.start(query)
    await at.patch(location, content)
    const wrong = digestOf(bytes(10), algorithm)
    expect(at.failure(await at.close(location, wrong))).toEqual([400, 'DIGEST_INVALID'])
    expect((await at.ask(location)).status).toBe(404)
  })

  test.each([
    'md5',
    'blake3',
    'SHA512',
    '',
  ])('"%s", which is unknown here, is 400 and begins nothing', async algorithm => {
    await using at = await pushScene()
    const answer = await post(at, `?digest-algorithm=${algorithm}`)
    expect(at.failure(answer)).toEqual([400, 'DIGEST_INVALID'])
    await expectNothing(at)
  })
})

describe('Expect: 100-continue', () => {
  const headers = { expect: '100-continue', 'content-length': String(content.length) }

  test('is followed by 100 and the upload', async () => {
    await using at = await pushScene()
    const location = await at.start()
    for (const [method, path] of [
      ['PATCH', location],
      ['POST', `${uploads}?digest=${digest}`],
    ] as const) {
      const outgoing = at.begin(path, { method, headers })
      expect(await outgoing.continued()).toBe('continue')
      outgoing.write(content)
      expect((await outgoing.end()).status).toBe(method === 'POST' ? 201 : 202)
    }
    expect((await at.close(location, digest)).status).toBe(201)
  })

  test('is answered with the refusal where the bytes would be refused, and they are never sent', async () => {
    await using at = await pushScene()
    const location = await at.start()
    const refusals: [string, string, number, Record<string, string>][] = [
      ['PATCH', location, 416, { 'content-range': '5000-9999' }],
      ['PUT', location, 400, {}],
      ['PUT', withQuery(location, { digest }), 416, { 'content-range': '1-5000' }],
      ['PATCH', location.replace(name, 'local/other'), 404, {}],
      ['POST', `${uploads}?digest=sha256:no`, 400, {}],
    ]
    for (const [method, path, status, more] of refusals) {
      const outgoing = at.begin(path, { method, headers: { ...headers, ...more } })
      const answer = await outgoing.continued()
      expect([method, path, answer === 'continue' || answer.status]).toEqual([method, path, status])
      outgoing.cut()
    }
    expect(await at.rangeOf(location)).toBe('0-0')
  })
})
