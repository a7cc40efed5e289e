/** The upload session, request by request (distribution-spec, end-5, end-6, end-13 and end-14). */
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { bytes, locationOf, name, type PushScene, pushScene, withQuery } from './scene.ts'

const content = bytes(3_000)
const digest = digestOf(content)
const first = content.subarray(0, 1_000)
const rest = content.subarray(1_000)

/** A session that holds the first thousand bytes. */
async function begun() {
  const at = await pushScene()
  const location = await at.start()
  expect((await at.patch(location, first)).status).toBe(202)
  return Object.assign(at, { location })
}

/** What a session is good for: it goes on from the same place and ends as the blob. */
async function expectAlive(at: PushScene, location: string): Promise<void> {
  expect(await at.rangeOf(location)).toBe('0-999')
  const closing = await at.close(location, digest, rest)
  expect(closing.status).toBe(201)
  expect((await at.ask(locationOf(closing))).body.equals(content)).toBe(true)
}

async function expectGone(at: PushScene, location: string, repository = name): Promise<void> {
  const place = location.replace(name, repository)
  const answers = [
    await at.ask(place),
    await at.patch(place, rest),
    await at.patch(place, rest, { 'content-range': '1000-2999' }),
    await at.close(place, digest, rest),
    await at.close(place, digest),
    await at.ask(place, { method: 'DELETE' }),
  ]
  expect(answers.map(at.failure)).toEqual(answers.map(() => [404, 'BLOB_UPLOAD_UNKNOWN']))
  expect((await at.ask(place, { method: 'HEAD' })).status).toBe(404)
}

describe('a PATCH', () => {
  test.each([
    ['with a Content-Length', first],
    ['without one', [first.subarray(0, 300), first.subarray(300)]],
  ])('%s and without Content-Range goes on where the session is', async (_, body) => {
    await using at = await pushScene()
    const location = await at.start()
    const answer = await at.patch(location, body)
    expect(answer.status).toBe(202)
    expect(answer.headers).toMatchObject({
      range: '0-999',
      'content-length': '0',
      'docker-upload-uuid': location.split('/').at(-1),
    })
    const second = await at.patch(locationOf(answer), [rest.subarray(0, 1)])
    expect([second.status, second.headers.range]).toEqual([202, '0-1000'])
    expect((await at.close(location, digest, rest.subarray(1))).status).toBe(201)
  })

  test.each([
    '1000-2999',
    'bytes 1000-2999/*',
    'bytes 1000-2999',
  ])('with Content-Range %s is taken when it begins where the session is', async range => {
    for (const body of [rest, [rest]]) {
      await using at = await begun()
      const answer = await at.patch(at.location, body, { 'content-range': range })
      expect([answer.status, answer.headers.range]).toEqual([202, '0-2999'])
      expect((await at.close(locationOf(answer), digest)).status).toBe(201)
    }
  })

  test.each([
    ['ahead', '1001-3000'],
    ['far ahead', '999999999999-1000000001998'],
    ['a replay', '0-999'],
    ['an overlap', '500-2499'],
    ['one too early', '999-2998'],
    ['malformed', 'nonsense'],
    ['malformed', '1000'],
    ['malformed', '1000-'],
    ['malformed', '-1999'],
    ['malformed', '1000-2999-3000'],
    ['backwards', '1000-999'],
  ])('that is %s (Content-Range: %s) is 416 with Location and Range, and nothing of it is taken', async (_, range) => {
    await using at = await begun()
    for (const body of [rest, [rest]]) {
      const answer = await at.patch(at.location, body, { 'content-range': range })
      expect(at.failure(answer)).toEqual([416, 'BLOB_UPLOAD_INVALID'])
      expect(answer.headers.range).toBe('0-999')
      expect(await at.rangeOf(locationOf(answer))).toBe('0-999')
    }
    await expectAlive(at, at.location)
  })

  test('to an empty session that does not begin at 0 is 416 with the range 0-0', async () => {
    await using at = await pushScene()
    const location = await at.start()
    const answer = await at.patch(location, rest, { 'content-range': '1000-2999' })
    expect([...at.failure(answer), answer.headers.range]).toEqual([416, 'BLOB_UPLOAD_INVALID', '0-0'])
    const next = await at.patch(locationOf(answer), first, { 'content-range': '0-999' })
    expect([next.status, next.headers.range]).toEqual([202, '0-999'])
    await expectAlive(at, location)
  })

  test.each([
    ['whose Content-Length is another than its range', '1000-1998', rest],
    ['whose chunked body is shorter than its range', '1000-3000', [rest]],
    ['whose chunked body is longer than its range', '1000-1999', [rest.subarray(0, 900), rest.subarray(900)]],
    ['whose chunked body is empty', '1000-2999', []],
  ])('%s is 400, and nothing of it is taken', async (_, range, body) => {
    await using at = await begun()
    const answer = await at.patch(at.location, body, { 'content-range': range })
    expect(at.failure(answer)).toEqual([400, 'SIZE_INVALID'])
    await expectAlive(at, at.location)
  })

  test('without bytes changes nothing', async () => {
    await using at = await begun()
    for (const body of [Buffer.alloc(0), []]) {
      const answer = await at.patch(at.location, body)
      expect([answer.status, answer.headers.range]).toEqual([202, '0-999'])
    }
    await expectAlive(at, at.location)
  })
})

describe('the closing PUT', () => {
  test.each<[string, Buffer | Buffer[] | undefined]>([
    ['no body', undefined],
    ['a body of no bytes', Buffer.alloc(0)],
    ['a chunked body of no bytes', []],
  ])('with %s ends it: 201, Location, Docker-Content-Digest', async (_, body) => {
    await using at = await begun()
    expect((await at.patch(at.location, rest)).status).toBe(202)
    const answer = await at.close(at.location, digest, body)
    expect([answer.status, answer.headers['content-length']]).toEqual([201, '0'])
    expect(answer.headers).toMatchObject({
      location: `/v2/${name}/blobs/${digest}`,
      'docker-content-digest': digest,
    })
    const blob = await at.ask(locationOf(answer))
    expect([blob.status, blob.body.equals(content)]).toEqual([200, true])
    await expectGone(at, at.location)
    await at.untilNoSessions()
  })

  test.each<[string, Buffer | Buffer[], Record<string, string>]>([
    ['with a Content-Length', rest, {}],
    ['chunked', [rest], {}],
    ['with a Content-Range', rest, { 'content-range': '1000-2999' }],
    ['chunked with a Content-Range', [rest], { 'content-range': '1000-2999' }],
  ])('may bring the last bytes: %s', async (_, body, headers) => {
    await using at = await begun()
    const answer = await at.close(at.location, digest, body, headers)
    expect(answer.status).toBe(201)
    expect((await at.ask(locationOf(answer))).body.equals(content)).toBe(true)
  })

  test.each([
    ['with a Content-Length', content],
    ['chunked', [first, rest]],
  ])('may bring everything: %s', async (_, body) => {
    await using at = await pushScene()
    const answer = await at.close(await at.start(), digest, body)
    expect(answer.status).toBe(201)
    expect((await at.ask(locationOf(answer))).body.equals(content)).toBe(true)
  })

  test('of a session that got no bytes is the blob of no bytes', async () => {
    await using at = await pushScene()
    const nothing = Buffer.alloc(0)
    expect((await at.close(await at.start(), digestOf(nothing))).status).toBe(201)
    expect((await at.ask(`/v2/${name}/blobs/${digestOf(nothing)}`)).headers['content-length']).toBe('0')
  })

  test.each([
    '0-1999',
    '1001-3000',
    'nonsense',
  ])('out of order (Content-Range: %s) is 416, and the session survives', async range => {
    await using at = await begun()
    for (const body of [rest, [rest]]) {
      const answer = await at.close(at.location, digest, body, { 'content-range': range })
      expect(at.failure(answer)).toEqual([416, 'BLOB_UPLOAD_INVALID'])
      expect([answer.headers.range, await at.rangeOf(locationOf(answer))]).toEqual(['0-999', '0-999'])
    }
    await expectAlive(at, at.location)
  })

  test('whose bytes are not as many as its Content-Range says is 400, and the session survives', async () => {
    await using at = await begun()
    for (const body of [rest, [rest]]) {
      const answer = await at.close(at.location, digest, body, { 'content-range': '1000-2000' })
      expect(at.failure(answer)).toEqual([400, 'SIZE_INVALID'])
    }
    await expectAlive(at, at.location)
  })

  test.each<[string, Buffer | Buffer[] | undefined]>([
    ['no body', undefined],
    ['a last chunk', rest.subarray(1)],
    ['a streamed last chunk', [rest.subarray(1)]],
  ])('with %s and a digest that the bytes do not have is 400, ends the session and keeps nothing', async (_, body) => {
    await using at = await begun()
    expect(at.failure(await at.close(at.location, digest, body))).toEqual([400, 'DIGEST_INVALID'])
    await expectGone(at, at.location)
    expect((await at.ask(`/v2/${name}/blobs/${digest}`, { method: 'HEAD' })).status).toBe(404)
    expect(await at.sessions()).toEqual([])
  })

  test.each([
    ['no digest', {}],
    ['an empty digest', { digest: '' }],
    ['a digest without algorithm', { digest: digest.slice(7) }],
    ['a digest cut short', { digest: digest.slice(0, -1) }],
    ['a digest in upper case', { digest: digest.toUpperCase().replace('SHA', 'sha') }],
    ['a digest of an algorithm that is unknown here', { digest: `blake3:${'a'.repeat(64)}` }],
    ['sha1', { digest: `sha1:${'a'.repeat(40)}` }],
  ])('with %s is 400, takes nothing, and the session survives', async (_, query) => {
    await using at = await begun()
    for (const body of [rest, [rest], undefined]) {
      const answer = await at.ask(withQuery(at.location, query), { method: 'PUT', body })
      expect(at.failure(answer)).toEqual([400, 'DIGEST_INVALID'])
    }
    await expectAlive(at, at.location)
  })
})

describe('the status of a session', () => {
  test('is 204 with Location, Range and Docker-Upload-UUID, to GET and HEAD; 0-0 while it is empty', async () => {
    await using at = await pushScene()
    const location = await at.start()
    for (const [body, range] of [
      [Buffer.alloc(0), '0-0'],
      [first, '0-999'],
      [rest, '0-2999'],
    ] as const) {
      await at.patch(location, body)
      for (const method of ['GET', 'HEAD']) {
        const { status, headers } = await at.ask(location, { method })
        expect([status, headers.range, headers.location]).toEqual([204, range, location])
        expect(headers['docker-upload-uuid']).toBe(location.split('/').at(-1))
      }
    }
  })

  test('is had at its first Location as well as at its newest', async () => {
    await using at = await pushScene()
    const places = [await at.start()]
    for (const chunk of [first, rest]) places.push(locationOf(await at.patch(places.at(-1) ?? '', chunk)))
    for (const place of places) expect(await at.rangeOf(place)).toBe('0-2999')
  })
})

describe('a Location', () => {
  test('survives being encoded anew, more parameters, and another order of them', async () => {
    await using at = await begun()
    const path = at.location.replace(/[/]uploads[/].*/, found => found.replaceAll('-', '%2D'))
    expect(await at.rangeOf(`${path}?ns=127.0.0.1%3A5000`)).toBe('0-999')
    const patched = await at.patch(`${path}?zeta=1&alpha=2`, rest.subarray(0, 1_000))
    expect([patched.status, patched.headers.range]).toEqual([202, '0-1999'])
    const query = `?ns=docker.io&digest=${encodeURIComponent(digest)}&alpha=%2F`
    const answer = await at.ask(path + query, { method: 'PUT', body: rest.subarray(1_000) })
    expect(answer.status).toBe(201)
  })
})

describe('a session', () => {
  test('is cancelled by DELETE: 204, and everything after it is 404', async () => {
    await using at = await begun()
    expect((await at.ask(at.location, { method: 'DELETE' })).status).toBe(204)
    await expectGone(at, at.location)
    expect(await at.sessions()).toEqual([])
  })

  test('belongs to its repository: under another name it is 404, and stays as it was', async () => {
    await using at = await begun()
    for (const repository of ['local/other', 'local/team', 'local/team/app/x'])
      await expectGone(at, at.location, repository)
    await expectAlive(at, at.location)
  })

  test.each([
    crypto.randomUUID(),
    'unknown',
    '00000000-0000-0000-0000-000000000000',
    'session.json',
    'a'.repeat(1_000),
    '%00',
  ])('that never was (%s) is 404', async id => {
    await using at = await begun()
    await expectGone(at, `/v2/${name}/blobs/uploads/${id}`)
  })
})
