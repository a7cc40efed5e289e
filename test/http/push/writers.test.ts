/** Sessions in bad times: two writers, clients that die, restarts and expiry. */
import { describe, expect, test, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { workersOfSuite } from '../../support/servers.ts'
import { bytes, locationOf, name, pushScene, withQuery } from './scene.ts'

const uploads = `/v2/${name}/blobs/uploads/`
const content = bytes(3_000)
const digest = digestOf(content)
const first = content.subarray(0, 1_000)
const second = content.subarray(1_000, 2_000)
const last = content.subarray(2_000)

/** A session with a thousand bytes, and a writer in the middle of the next thousand. */
async function held({
  method = 'PATCH',
  headers = {},
}: {
  method?: string
  headers?: Record<string, string>
} = {}) {
  const at = await pushScene()
  const location = await at.start()
  await at.patch(location, first)
  const path = method === 'PUT' ? withQuery(location, { digest }) : location
  const writer = at.begin(path, { method, headers: { 'transfer-encoding': 'chunked', ...headers } })
  writer.write(second.subarray(0, 500))
  await at.untilRange(location, '0-1499')
  return Object.assign(at, { location, writer })
}

describe('while one client writes, another one', () => {
  test.each([
    ['PATCH', undefined, 409],
    ['PATCH', '1500-2499', 416],
    ['PATCH', '1000-1999', 416],
    ['PUT', undefined, 409],
    ['PUT', '1500-2499', 416],
  ])('with %s (Content-Range %s) is refused with %i and the range, and the first goes on', async (method, range, status) => {
    await using at = await held()
    const path = method === 'PUT' ? withQuery(at.location, { digest }) : at.location
    for (const body of [bytes(1_000, 7), [bytes(1_000, 7)]]) {
      const headers: Record<string, string> = range === undefined ? {} : { 'content-range': range }
      const answer = await at.ask(path, { method, headers, body })
      expect(at.failure(answer)).toEqual([status, 'BLOB_UPLOAD_INVALID'])
      expect([answer.headers.range, locationOf(answer)]).toEqual(['0-1499', at.location])
    }
    at.writer.write(second.subarray(500))
    const answer = await at.writer.end()
    expect([answer.status, answer.headers.range]).toEqual([202, '0-1999'])
    const closing = await at.close(at.location, digest, last)
    expect(closing.status).toBe(201)
    expect((await at.ask(locationOf(closing))).body.equals(content)).toBe(true)
  })

  test('with a PUT that is not done is no different', async () => {
    await using at = await held({ method: 'PUT' })
    expect((await at.patch(at.location, bytes(10))).status).toBe(409)
    expect((await at.close(at.location, digest)).status).toBe(409)
    at.writer.write(second.subarray(500))
    at.writer.write(last)
    const answer = await at.writer.end()
    expect(answer.status).toBe(201)
    expect((await at.ask(locationOf(answer))).body.equals(content)).toBe(true)
    expect((await at.ask(at.location)).status).toBe(404)
  })

  test('may cancel: 204, the session is gone, and the writer is told or cut off', async () => {
    await using at = await held()
    expect((await at.ask(at.location, { method: 'DELETE' })).status).toBe(204)
    for (const answer of [await at.ask(at.location), await at.patch(at.location, second)])
      expect(at.failure(answer)).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
    const outcome = await at.writer.end().then(at.failure, () => 'cut off')
    expect(['cut off', [404, 'BLOB_UPLOAD_UNKNOWN']]).toContainEqual(outcome)
    expect(await at.sessions()).toEqual([])
  })

  test('in another repository does not even learn that there is a session', async () => {
    await using at = await held()
    const elsewhere = at.location.replace(name, 'local/other')
    for (const answer of [
      await at.ask(elsewhere),
      await at.patch(elsewhere, last),
      await at.close(elsewhere, digest),
      await at.ask(elsewhere, { method: 'DELETE' }),
    ])
      expect(at.failure(answer)).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
    at.writer.write(second.subarray(500))
    expect((await at.writer.end()).status).toBe(202)
  })
})

test('of two clients that begin the same chunk at once one is taken, and the bytes are never mixed', async () => {
  await using at = await pushScene()
  for (let round = 0; round < 10; round += 1) {
    const location = await at.start()
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => at.patch(location, first, { 'content-range': '0-999' })),
    )
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([202, 416, 416, 416])
    expect(await at.rangeOf(location)).toBe('0-999')
    const closings = await Promise.all(Array.from({ length: 4 }, () => at.close(location, digestOf(first))))
    const statuses = closings.map(({ status }) => status)
    expect(statuses.filter(status => status === 201)).toHaveLength(1)
    for (const status of statuses) expect([201, 404, 409]).toContain(status)
  }
})

describe('a client that dies in the middle of a chunk', () => {
  test.each<[string, string, Record<string, string>]>([
    ['PATCH', 'chunked', {}],
    ['PATCH', 'with a Content-Length', { 'content-length': '1000', 'transfer-encoding': '' }],
    ['PATCH', 'with a Content-Range', { 'content-range': '1000-1999' }],
    ['PUT', 'chunked', {}],
  ])('(%s, %s) leaves what came, and it goes on from there', async (method, _, headers) => {
    const framing = headers['content-length'] === undefined ? headers : { 'content-length': '1000' }
    await using at = await pushScene()
    const location = await at.start()
    await at.patch(location, first)
    const path = method === 'PUT' ? withQuery(location, { digest }) : location
    const outgoing = at.begin(path, {
      method,
      headers:
        framing['content-length'] === undefined ? { 'transfer-encoding': 'chunked', ...framing } : framing,
    })
    outgoing.write(second.subarray(0, 500))
    await at.untilRange(location, '0-1499')
    outgoing.cut()
    expect(await at.untilFree(location)).toBe('0-1499')
    const next = await at.patch(location, second.subarray(500), { 'content-range': '1500-1999' })
    expect([next.status, next.headers.range]).toEqual([202, '0-1999'])
    const closing = await at.close(location, digest, last)
    expect(closing.status).toBe(201)
    expect((await at.ask(locationOf(closing))).body.equals(content)).toBe(true)
  })

  test('that was to be the whole blob leaves no blob, and no session that nobody knows of', async () => {
    await using at = await pushScene()
    const large = bytes(2_000_000)
    const outgoing = at.begin(`${uploads}?digest=${digestOf(large)}`, {
      method: 'POST',
      headers: { 'content-length': String(large.length) },
    })
    outgoing.write(large.subarray(0, 1_500_000))
    await vi.waitFor(async () => expect(await at.sessions()).toHaveLength(1), {
      timeout: 10_000,
      interval: 5,
    })
    outgoing.cut()
    await vi.waitFor(async () => expect(await at.sessions()).toEqual([]), { timeout: 10_000, interval: 5 })
    expect((await at.ask(`/v2/${name}/blobs/${digestOf(large)}`)).status).toBe(404)
    await at.push(large)
  })
})

test('a client that sends no more bytes is cut off after limits.stalled, and what came is kept', async () => {
  await using at = await pushScene({ limits: { stalledMs: 300 } })
  const location = await at.start()
  const outgoing = at.begin(location, { method: 'PATCH', headers: { 'content-length': '3000' } })
  outgoing.write(first)
  await expect(outgoing.answer()).rejects.toThrow()
  expect(await at.untilFree(location)).toBe('0-999')
  expect((await at.close(location, digest, content.subarray(1_000))).status).toBe(201)
})

// Of two processes one may be busy, and the other has reason to complain.
test.skipIf(workersOfSuite > 1)(
  'a client whose bytes came while the server was busy is not cut off',
  async () => {
    await using at = await pushScene({ limits: { stalledMs: 200 } })
    const location = await at.start()
    const headers = { 'content-length': '1000', expect: '100-continue' }
    const outgoing = at.begin(location, { method: 'PATCH', headers })
    expect(await outgoing.continued()).toBe('continue') // from here on it is waited for
    outgoing.write(first)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400) // neither side does anything
    expect((await outgoing.end()).status).toBe(202)
  },
)

test('a large chunk in the wrong place is answered, and not cut off', async () => {
  await using at = await pushScene()
  const location = await at.start()
  const large = bytes(8_000_000)
  for (const body of [large, [large.subarray(0, 4_000_000), large.subarray(4_000_000)]]) {
    const answer = await at.patch(location, body, { 'content-range': '1-8000000' })
    expect([answer.status, answer.headers.range]).toEqual([416, '0-0'])
  }
})

describe('a restart', () => {
  test('in the middle of a chunk keeps what came', async () => {
    await using at = await pushScene({ limits: { drainMs: 10 } })
    const location = await at.start()
    const outgoing = at.begin(location, { method: 'PATCH', headers: { 'transfer-encoding': 'chunked' } })
    outgoing.write(first)
    await at.untilRange(location, '0-999')
    await at.layover.restart()
    expect(await at.rangeOf(location)).toBe('0-999')
    expect((await at.close(location, digest, content.subarray(1_000))).status).toBe(201)
  })

  test.each([
    ['', 'sha256'],
    ['?digest-algorithm=sha512', 'sha512'],
    ['', 'sha512'],
  ] as const)('in the middle of a session (%s) that ends with %s is not noticed', async (query, algorithm) => {
    await using at = await pushScene()
    const location = await at.start(query)
    const empty = await at.start()
    await at.patch(location, first)
    await at.layover.restart()
    expect([await at.rangeOf(location), await at.rangeOf(empty)]).toEqual(['0-999', '0-0'])
    const replay = await at.patch(location, first, { 'content-range': '0-999' })
    expect([replay.status, replay.headers.range]).toEqual([416, '0-999'])
    expect((await at.patch(location, second, { 'content-range': '1000-1999' })).status).toBe(202)
    await at.layover.restart()
    const wanted = digestOf(content, algorithm)
    const closing = await at.close(location, wanted, last)
    expect(closing.status).toBe(201)
    expect((await at.ask(locationOf(closing))).body.equals(content)).toBe(true)
    expect((await at.close(empty, digest, content)).status).toBe(201)
  })

  test('does not bring back what was cancelled or finished, nor another repository its session', async () => {
    await using at = await pushScene()
    const [cancelled, finished, open] = [await at.start(), await at.start(), await at.start()]
    await at.ask(cancelled, { method: 'DELETE' })
    expect((await at.close(finished, digest, content)).status).toBe(201)
    await at.layover.restart()
    for (const location of [cancelled, finished, open.replace(name, 'local/other')])
      expect(at.failure(await at.ask(location))).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
    expect(await at.rangeOf(open)).toBe('0-0')
    expect((await at.ask(`/v2/${name}/blobs/${digest}`)).status).toBe(200)
  })
})

describe('limits.uploadIdle', () => {
  const hour = 3_600_000

  test.each([
    ['at once', false],
    ['after a restart', true],
  ])('ends a session that nobody went on with (%s): 404', async (_, restarted) => {
    await using at = await pushScene({ limits: { uploadIdleMs: 2 * hour } })
    const location = await at.start()
    await at.patch(location, first)
    await at.clock.untilSleeping(3)
    at.clock.advance(hour)
    expect(await at.rangeOf(location)).toBe('0-999')
    if (restarted) await at.layover.restart()
    const ended = async () => {
      at.clock.advance(2 * hour)
      expect(await at.sessions()).toEqual([])
    }
    await vi.waitFor(ended, { timeout: 10_000, interval: 5 })
    for (const answer of [
      await at.ask(location),
      await at.patch(location, second),
      await at.close(location, digest, second),
    ])
      expect(at.failure(answer)).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
  })

  test('does not end one that is being written to', async () => {
    await using at = await held()
    await at.clock.untilSleeping(3)
    at.clock.advance(48 * hour)
    await at.clock.untilSleeping(3)
    expect(await at.rangeOf(at.location)).toBe('0-1499')
    at.writer.write(second.subarray(500))
    expect((await at.writer.end()).status).toBe(202)
    expect((await at.close(at.location, digest, last)).status).toBe(201)
  })
})
