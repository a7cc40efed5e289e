/** Byte ranges of blobs (RFC 9110 §14): of cached ones, of cold ones, and of one that is being fetched. */
import { describe, expect, test } from 'vitest'
import { splitMultipart } from '../clients/multipart.ts'
import { readContent, type StoredBlob, seededBlob } from '../fake/bytes.ts'
import { artifactOf, emptyBlob } from '../fake/content.ts'
import { type Answered, errorOf, hub, plain, type Scene, scene } from './scene.ts'

const size = 300_000
const MiB = 1024 * 1024

async function world() {
  const at = await scene({ upstreams: net => [plain(net), hub(net, { isDefault: false })] })
  return {
    ...at,
    async hold(blob: StoredBlob, state: 'cached' | 'cold' | 'redirected and cold') {
      at.net.plain.put('data', 'v1', artifactOf([blob]))
      at.net.hub.put('library/data', 'v1', artifactOf([blob]))
      const path = `/v2${state === 'redirected and cold' ? '/docker.io' : ''}/data/blobs/${blob.digest}`
      if (state === 'cached') await at.warm(path)
      return path
    },
  }
}

function bytes({ content }: StoredBlob, first: number, end?: number): Buffer {
  return readContent(content, first, end)
}

/** One background fill may follow a forwarded range; it has no bearing on the answer. */
const states = ['cached', 'cold', 'redirected and cold'] as const

describe.each(states)('%s', state => {
  test.each([
    ['bytes=0-99', 0, 99],
    ['bytes=500-1499', 500, 1499],
    ['bytes=299990-', 299_990, 299_999],
    ['bytes=0-', 0, 299_999],
    ['bytes=-100', 299_900, 299_999],
    ['bytes=-999999', 0, 299_999],
    ['bytes=299999-299999', 299_999, 299_999],
    ['bytes=1000-300000', 1_000, 299_999],
    ['BYTES=10-19', 10, 19],
    ['bytes= 10-19', 10, 19],
  ])('%s is answered 206 with just these bytes', async (range, first, last) => {
    await using at = await world()
    const blob = seededBlob('ranges', size)
    const path = await at.hold(blob, state)
    const answer = await at.ask(path, { headers: { range } })
    expect(answer.status).toBe(206)
    expect(answer.headers).toMatchObject({
      'content-range': `bytes ${first}-${last}/${size}`,
      'content-length': String(last - first + 1),
      'content-type': 'application/octet-stream',
      'docker-content-digest': blob.digest,
      'accept-ranges': 'bytes',
      etag: `"${blob.digest}"`,
    })
    expect(answer.body.equals(bytes(blob, first, last + 1))).toBe(true)
  })

  test.each([
    'bytes=300000-',
    'bytes=300000-300001',
    'bytes=-0',
    'bytes=500-0',
    'bytes=300000-,400000-',
  ])('%s is outside: 416 with the size', async range => {
    await using at = await world()
    const path = await at.hold(seededBlob('ranges', size), state)
    const answer = await at.ask(path, { headers: { range } })
    expect(answer.status).toBe(416)
    expect(answer.headers['content-range']).toBe(`bytes */${size}`)
    errorOf(answer)
  })

  test.each([
    'items=0-1',
    'bytes=a-b',
    'bytes=',
    'bytes=1',
    'bytes',
    'bytes=--1',
    'bytes=1-2x',
  ])('"%s" is no range: the whole blob', async range => {
    await using at = await world()
    const blob = seededBlob('ranges', size)
    const answer = await at.ask(await at.hold(blob, state), { headers: { range } })
    expect([answer.status, answer.headers['content-range']]).toEqual([200, undefined])
    expect(answer.body.equals(bytes(blob, 0))).toBe(true)
  })

  test('several ranges are one part each, never merged, in the order asked', async () => {
    await using at = await world()
    const blob = seededBlob('ranges', size)
    const path = await at.hold(blob, state)
    const answer = await at.ask(path, { headers: { range: 'bytes=0-9, 10-19,100000-100999, -5' } })
    expect(answer.status).toBe(206)
    expect(answer.headers['content-length']).toBe(String(answer.body.length))
    const parts = splitMultipart(answer.headers['content-type'] ?? '', answer.body)
    const expected = [
      [0, 10],
      [10, 20],
      [100_000, 101_000],
      [299_995, 300_000],
    ] as const
    expect(parts).toHaveLength(4)
    expected.forEach(([first, end], part) => {
      expect(parts[part]?.equals(bytes(blob, first, end))).toBe(true)
    })
  })

  test('of several ranges those outside are left out', async () => {
    await using at = await world()
    const path = await at.hold(seededBlob('ranges', size), state)
    const answer = await at.ask(path, { headers: { range: 'bytes=0-9,400000-' } })
    expect(answer.status).toBe(206)
  })

  test.each([
    ['too many', `bytes=${Array.from({ length: 257 }, (_, at) => `${at * 10}-${at * 10 + 1}`).join(',')}`],
    ['overlapping', 'bytes=0-99,50-149'],
    ['descending', 'bytes=100-199,0-99'],
  ])('%s ranges are refused with 400, so that the client asks for less', async (_, range) => {
    await using at = await world()
    const path = await at.hold(seededBlob('ranges', size), state)
    const answer = await at.ask(path, { headers: { range } })
    expect(answer.status).toBe(400)
    errorOf(answer)
  })

  test('If-Range with the digest keeps the range, anything else drops it', async () => {
    await using at = await world()
    const blob = seededBlob('ranges', size)
    const path = await at.hold(blob, state)
    const status = async (ifRange: string) =>
      (await at.ask(path, { headers: { range: 'bytes=0-9', 'if-range': ifRange } })).status
    expect(await status(`"${blob.digest}"`)).toBe(206)
    expect(await status('"sha256:other"')).toBe(200)
    expect(await status('Wed, 21 Oct 2015 07:28:00 GMT')).toBe(200)
  })

  test('any range of an empty blob is the empty blob', async () => {
    await using at = await world()
    const path = await at.hold(emptyBlob, state)
    for (const range of ['bytes=0-', 'bytes=0-9', 'bytes=-1']) {
      const answer = await at.ask(path, { headers: { range } })
      expect([range, answer.status, answer.headers['content-length']]).toEqual([range, 200, '0'])
    }
  })

  test('HEAD pays no attention to Range', async () => {
    await using at = await world()
    const path = await at.hold(seededBlob('ranges', size), state)
    const { status, headers } = await at.ask(path, { method: 'HEAD', headers: { range: 'bytes=0-9' } })
    expect([status, headers['content-length']]).toEqual([200, String(size)])
  })
})

describe('of a cold blob', () => {
  test('a short one is forwarded, and the fill that follows makes the next a hit', async () => {
    await using at = await world()
    const blob = seededBlob('forwarded', 2 * MiB)
    const path = await at.hold(blob, 'cold')
    const answer = await at.ask(path, { headers: { range: 'bytes=-100' } })
    expect(answer.status).toBe(206)
    expect(answer.headers['cache-status']).toBe('layover; fwd=bypass')
    const [, ranged] = await at.net.arrived({ path: /blobs/ }, 2)
    expect(ranged).toMatchObject({ method: 'GET', bodyBytes: 100 })
    await at.warm(path)
    const again = await at.ask(path, { headers: { range: 'bytes=-100' } })
    expect(again.headers['cache-status']).toBe('layover; hit')
    expect(at.net.requests()).toEqual([])
  })

  test('an open one takes part in the one flight', async () => {
    await using at = await world()
    const blob = seededBlob('open', 2 * MiB)
    const path = await at.hold(blob, 'cold')
    const answers = await Promise.all(
      ['bytes=0-', 'bytes=100000-', 'bytes=1000000-'].map(range => at.ask(path, { headers: { range } })),
    )
    const firsts = [0, 100_000, 1_000_000]
    answers.forEach(({ status, body }, number) => {
      expect(status).toBe(206)
      expect(body.equals(bytes(blob, firsts[number] ?? 0))).toBe(true)
    })
    expect(at.net.requests({ method: 'GET', path: /blobs/ })).toHaveLength(1)
  })

  test('a long closed one takes part in the flight too', async () => {
    await using at = await world()
    const blob = seededBlob('long', 6 * MiB)
    const path = await at.hold(blob, 'cold')
    const answer = await at.ask(path, { headers: { range: `bytes=${MiB}-${5 * MiB}` } })
    expect(answer.body.equals(bytes(blob, MiB, 5 * MiB + 1))).toBe(true)
    const gets = at.net.requests({ method: 'GET', path: /blobs/ })
    expect(gets.map(({ headers }) => headers.range)).toEqual([undefined])
  })
})

describe('while the blob is being fetched', () => {
  async function stalled() {
    const at = await world()
    const blob = seededBlob('stalled', 4 * MiB)
    const path = await at.hold(blob, 'cold')
    const fault = at.net.fault({
      host: 'plain.test',
      path: /blobs/,
      method: 'GET',
      kind: 'stall',
      at: 2 * MiB,
      times: 1,
    })
    const first = at.ask(path)
    await fault.reached
    await untilFilled(at, path, 2 * MiB)
    const range = (text: string) => at.ask(path, { headers: { range: text } })
    const gets = () => at.net.requests({ method: 'GET', path: /blobs/ })
    return { ...at, blob, path, fault, first, range, gets }
  }

  /** The last byte that has come is answered from the file. */
  async function untilFilled(at: Scene, path: string, watermark: number): Promise<void> {
    await at.ask(path, { headers: { range: `bytes=0-${watermark - 1}` } })
  }

  test('a closed range of what is here is answered at once, without upstream', async () => {
    await using at = await stalled()
    const answer = await at.range('bytes=1000-1000999')
    expect(answer.body.equals(bytes(at.blob, 1000, 1_001_000))).toBe(true)
    at.fault.release()
    expect((await at.first).body.equals(bytes(at.blob, 0))).toBe(true)
  })

  test('a suffix comes straight from upstream, and the flight goes on undisturbed', async () => {
    await using at = await stalled()
    const before = at.gets().length
    const answer = await at.range('bytes=-1000')
    expect(answer.body.equals(bytes(at.blob, 4 * MiB - 1000))).toBe(true)
    expect(answer.headers['cache-status']).toBe('layover; fwd=bypass')
    expect(at.gets()).toHaveLength(before + 1)
    at.fault.release()
    expect((await at.first).body.equals(bytes(at.blob, 0))).toBe(true)
  })

  test('an open range beyond what is here waits for it', async () => {
    await using at = await stalled()
    const before = at.gets().length
    const waiting = at.range(`bytes=${3 * MiB}-`)
    const several = at.range(`bytes=0-9,${3 * MiB}-${3 * MiB + 9}`)
    at.fault.release()
    expect((await waiting).body.equals(bytes(at.blob, 3 * MiB))).toBe(true)
    const { headers, body }: Answered = await several
    const parts = splitMultipart(headers['content-type'] ?? '', body)
    expect(parts[1]?.equals(bytes(at.blob, 3 * MiB, 3 * MiB + 10))).toBe(true)
    await at.first
    expect(at.gets()).toHaveLength(before)
  })

  test('a range outside is 416 before the blob is here', async () => {
    await using at = await stalled()
    const answer = await at.range(`bytes=${4 * MiB}-`)
    expect([answer.status, answer.headers['content-range']]).toEqual([416, `bytes */${4 * MiB}`])
    at.fault.release()
    await at.first
  })

  test('readers that leave do not stop it', async () => {
    await using at = await stalled()
    for (let reader = 0; reader < 10; reader += 1) {
      const reply = await at.open(at.path, { headers: { range: `bytes=${reader * 1000}-` } })
      reply.destroy()
    }
    at.fault.release()
    expect((await at.first).body.equals(bytes(at.blob, 0))).toBe(true)
  })
})
