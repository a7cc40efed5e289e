/** Blobs that the primary has or fetches, read from the store's files by a server: as far as the primary says. */
import { once } from 'node:events'
import { truncate, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { describe, expect, test, vi } from 'vitest'
import type { Answer } from '../../../src/edge/answer.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import type { ByteRange } from '../../../src/oci/range.ts'
import { fromStore } from '../../../src/pull/local.ts'
import { hit } from '../../../src/pull/provenance.ts'
import type { Partial } from '../../../src/store/partial.ts'
import { Store } from '../../../src/store/store.ts'
import type { Bytes } from '../../../src/stream/bytes.ts'
import {
  answering,
  flightOf,
  giving,
  heldBack,
  openRig,
  PushedBody,
  type Rig,
  ScriptedSource,
  someBlob,
  untilWritten,
} from '../../unit/pull/flight-rig.ts'
import { type Siblings, siblings } from './scene.ts'

const mib = 1024 * 1024
const plain = { expectedSize: undefined, unverified: false }

function answerOf(bytes: Bytes, range: ByteRange | undefined): Answer {
  return { status: 200, headers: {}, content: { kind: 'bytes', bytes, range } }
}

interface Flying {
  source: ScriptedSource
  unverified?: boolean
}

/** A primary that follows a flight for each request. */
function flying(rig: Rig, digest: Digest, { source, unverified = false }: Flying) {
  return siblings(
    async exchange => {
      exchange.facts.digest = digest
      const follower = rig.flights.follow(digest, source, { ...plain, unverified })
      const size = await follower.size()
      return answerOf(follower, size === undefined ? undefined : { first: 0, last: size - 1 })
    },
    { opened: wanted => rig.deps.store.open(wanted) },
  )
}

/** A flight that the test fills. */
async function pushed(rig: Rig, size: number) {
  const blob = someBlob(size)
  const body = new PushedBody()
  const source = new ScriptedSource('a', answering(body, { total: size }))
  return { ...blob, body, source, at: await flying(rig, blob.digest, { source }) }
}

/** Reads exactly so much of the body. */
async function take(reply: IncomingMessage, count: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  for (let left = count; left > 0; ) {
    const chunk = reply.read(Math.min(left, reply.readableLength || left)) as Buffer | null
    if (chunk) {
      chunks.push(chunk)
      left -= chunk.length
    } else await once(reply, 'readable')
  }
  return Buffer.concat(chunks)
}

/** What the primary sent of the body itself. */
function sentInward({ primary }: Siblings): number {
  return primary.reduce((sum, { facts }) => sum + facts.sentBytes, 0)
}

/** Fails the first write beyond 100 000 bytes of a partial. */
class FillingStore extends Store {
  override async begin(digest: Digest): Promise<Partial> {
    const partial = await super.begin(digest)
    const append = partial.append.bind(partial)
    partial.append = chunks => {
      if (partial.written + chunks.reduce((sum, { length }) => sum + length, 0) <= 100_000)
        return append(chunks)
      return Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }))
    }
    return partial
  }
}

describe('a stored blob', () => {
  test.each<[string, ByteRange | undefined]>([
    ['whole', { first: 0, last: 3 * mib - 1 }],
    ['of unknown length', undefined],
    ['in part', { first: mib, last: 2 * mib }],
  ])('is read by the server itself, %s', async (_, range) => {
    await using rig = await openRig()
    const { store } = rig.deps
    const { content, digest } = someBlob(3 * mib)
    await store.put(digest, content)
    await using at = await siblings(async () => {
      const stored = await store.open(digest)
      if (!stored) throw new Error('it is not there')
      return answerOf(fromStore(stored, hit).bytes, range)
    })
    const { body, headers } = await at.ask('/v2/')
    const wanted = content.subarray(range?.first ?? 0, (range?.last ?? Number.POSITIVE_INFINITY) + 1)
    expect(body.equals(wanted)).toBe(true)
    expect(headers['content-length']).toBe(range && String(wanted.length))
    expect(sentInward(at)).toBeLessThan(20)
    expect(at.server[0]?.facts.sentBytes).toBe(wanted.length)
    await at.ask('/v2/')
    expect(at.innerPorts()).toBe(1)
  })

  test('of no bytes is one', async () => {
    await using rig = await openRig()
    const { store } = rig.deps
    const { digest } = someBlob(0)
    await store.put(digest, Buffer.alloc(0))
    await using at = await siblings(async () => {
      const stored = await store.open(digest)
      if (!stored) throw new Error('it is not there')
      return answerOf(fromStore(stored, hit).bytes, { first: 0, last: -1 })
    })
    const { status, headers } = await at.ask('/v2/')
    expect([status, headers['content-length']]).toEqual([200, '0'])
  })

  test('is given by the primary when the server cannot read its file', async () => {
    await using rig = await openRig()
    const { store } = rig.deps
    const { content, digest } = someBlob(mib)
    await store.put(digest, content)
    await using at = await siblings(async exchange => {
      exchange.facts.digest = digest
      const stored = await store.open(digest)
      if (!stored) throw new Error('it is not there')
      const { bytes } = fromStore(stored, hit)
      const elsewhere = { path: rig.deps.store.layout.partial(digest, 'gone'), until: async () => mib }
      return answerOf({ ...bytes, shared: elsewhere }, { first: 0, last: mib - 1 })
    })
    expect((await at.ask('/v2/')).body.equals(content)).toBe(true)
    expect(at.primary).toHaveLength(2)
  })

  test.each([
    ['of known', 3 * mib],
    ['of unknown', undefined],
  ])('%s length, of a file that lost bytes, cuts the client off', async (_, size) => {
    await using rig = await openRig()
    const { store } = rig.deps
    const { content, digest } = someBlob(3 * mib)
    await store.put(digest, content)
    await using at = await siblings(async () => {
      const stored = await store.open(digest)
      if (!stored) throw new Error('it is not there')
      await truncate(store.layout.cached(digest), mib)
      return answerOf(
        fromStore(stored, hit).bytes,
        size === undefined ? undefined : { first: 0, last: size - 1 },
      )
    })
    await expect(at.ask('/v2/')).rejects.toMatchObject({ code: 'ECONNRESET' })
  })
})

describe('a blob in flight', () => {
  test('is read as it grows', async () => {
    await using rig = await openRig()
    const { content, digest, body, at } = await pushed(rig, mib)
    await using _ = at
    const opening = at.open('/v2/')
    let seen = 0
    let reply: IncomingMessage | undefined
    for (const upTo of [100_000, 100_001, 500_000, 900_000]) {
      await vi.waitFor(() => flightOf(rig, digest))
      body.push(content.subarray(seen, upTo))
      reply ??= await opening
      expect((await take(reply, upTo - seen)).equals(content.subarray(seen, upTo))).toBe(true)
      seen = upTo
    }
    body.end(content.subarray(seen))
    if (!reply) throw new Error('there is no answer')
    expect((await buffer(reply)).equals(content.subarray(seen))).toBe(true)
    expect(sentInward(at)).toBeLessThan(200)
  })

  test('shows nothing of its last 64 KiB before they are verified', async () => {
    await using rig = await openRig()
    const { content, digest, body, at } = await pushed(rig, mib)
    await using _ = at
    const opening = at.open('/v2/')
    await vi.waitFor(() => flightOf(rig, digest))
    body.push(content)
    const reply = await opening
    await take(reply, mib - heldBack)
    await untilWritten(flightOf(rig, digest), mib)
    expect(at.server[0]?.facts.sentBytes).toBe(mib - heldBack)
    expect(reply.readableLength).toBe(0)
    body.end()
    expect((await buffer(reply)).equals(content.subarray(mib - heldBack))).toBe(true)
  })

  test('is read on when it has got its name, also by who opens it only then', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(mib)
    const source = new ScriptedSource('a', giving(content))
    await using at = await siblings(
      async exchange => {
        exchange.facts.digest = digest
        const follower = rig.flights.follow(digest, source, plain)
        await follower.size()
        while (!(await rig.holds(digest))) await new Promise(setImmediate)
        return answerOf(follower, { first: 0, last: mib - 1 })
      },
      { opened: wanted => rig.deps.store.open(wanted) },
    )
    expect((await at.ask('/v2/')).body.equals(content)).toBe(true)
    expect(at.primary).toHaveLength(1)
    expect(sentInward(at)).toBeLessThan(100)
  })

  test('that turns out wrong cuts the client off, and the log says why', async () => {
    await using rig = await openRig()
    const { content, digest, body, at } = await pushed(rig, mib)
    await using _ = at
    const opening = at.open('/v2/')
    await vi.waitFor(() => flightOf(rig, digest))
    content[mib - 1] = (content[mib - 1] ?? 0) ^ 1
    body.push(content)
    const reply = await opening
    expect(reply.statusCode).toBe(200)
    body.end()
    const got: Buffer[] = []
    const reading = (async () => {
      for await (const chunk of reply) got.push(chunk as Buffer)
    })()
    await expect(reading).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect(Buffer.concat(got).length).toBeLessThanOrEqual(mib - heldBack)
    const { error } = at.server[0]?.facts ?? {}
    expect((error as Error).cause).toMatchObject({ message: expect.stringContaining(digest) })
  })

  test('whose primary dies cuts the client off behind what was shown', async () => {
    await using rig = await openRig()
    const { content, digest, body, at } = await pushed(rig, mib)
    await using _ = at
    const opening = at.open('/v2/')
    await vi.waitFor(() => flightOf(rig, digest))
    body.push(content.subarray(0, 500_000))
    const reply = await opening
    await take(reply, 500_000)
    await at.kill()
    await expect(buffer(reply)).rejects.toMatchObject({ code: 'ECONNRESET' })
  })

  test('that fails before anything of it is shown is an honest error', async () => {
    await using rig = await openRig()
    const { digest, body, at } = await pushed(rig, mib)
    await using _ = at
    const opening = at.ask('/v2/')
    await vi.waitFor(() => flightOf(rig, digest))
    rig.flights.find(digest)?.stop(new Error('it is stopped'))
    body.push(null)
    expect((await opening).status).toBeGreaterThanOrEqual(500)
  })

  test('is followed by fifty clients of one fetch', async () => {
    await using rig = await openRig()
    const { content, body, source, at } = await pushed(rig, 3 * mib)
    await using _ = at
    const all = Array.from({ length: 50 }, () => at.ask('/v2/'))
    await vi.waitFor(() => expect(at.primary).toHaveLength(50))
    for (let from = 0; from < content.length; from += 100_000)
      body.push(content.subarray(from, from + 100_000))
    body.end()
    for (const answer of await Promise.all(all)) {
      expect([answer.status, answer.body.equals(content)]).toEqual([200, true])
    }
    expect(source.positions).toEqual([0])
    expect(sentInward(at)).toBeLessThan(content.length)
  })

  test('is left by a client that leaves', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(100_000)
    const body = new PushedBody()
    const source = new ScriptedSource('a', answering(body, { total: 200 * mib })) // too much to fetch for nobody
    await using at = await flying(rig, digest, { source })
    const opening = at.open('/v2/')
    await vi.waitFor(() => flightOf(rig, digest))
    body.push(content)
    const reply = await opening
    const flight = flightOf(rig, digest)
    reply.on('error', () => {})
    reply.destroy()
    await vi.waitFor(() => expect(flight.stopping.aborted).toBe(true))
  })

  test('goes on from upstream when the disk takes no more', async () => {
    await using rig = await openRig({ store: FillingStore })
    const { content, digest } = someBlob(mib)
    const body = new PushedBody()
    const source = new ScriptedSource('a', answering(body, { total: mib }), giving(content))
    await using at = await flying(rig, digest, { source })
    const opening = at.open('/v2/')
    await vi.waitFor(() => flightOf(rig, digest))
    body.push(content.subarray(0, 90_000))
    const reply = await opening // the server has the file, which will be deleted
    body.end(content.subarray(90_000))
    expect((await buffer(reply)).equals(content)).toBe(true)
    expect(source.positions).toEqual([0, 90_000])
  })
})

describe('bytes that the file does not have', () => {
  /** A file of 10 bytes, and much more that only the primary can give. */
  async function beyond(rest: (position: number) => readonly Buffer[]) {
    await using rig = await openRig()
    const path = `${rig.storePath}/file`
    await writeFile(path, '0123456789')
    let closed = 0
    const bytes: Bytes = {
      read: async (_, position) => rest(position),
      close: () => {
        closed += 1
      },
      shared: { path, until: async position => (position < 10 ? 10 : undefined) },
    }
    const at = await siblings(async () => answerOf(bytes, undefined))
    const reply = await at.open('/v2/')
    return { at, reply, closed: () => closed }
  }

  test('follow those that it has', async () => {
    const more = ['abc', '\n+7\n', '!', '12\n'].map(text => Buffer.from(text))
    const { at, reply } = await beyond(() => more.splice(0, 2))
    await using _ = at
    expect((await buffer(reply)).toString()).toBe('0123456789abc\n+7\n!12\n')
  })

  test('are not gathered for a client that takes none', async () => {
    const chunk = Buffer.alloc(64 * 1024)
    const { at, reply, closed } = await beyond(() => [chunk])
    await using _ = at
    let before = -1
    await vi.waitFor(
      () => {
        const now = sentInward(at)
        const isQuiet = now === before && now > 0
        before = now
        expect(isQuiet).toBe(true)
      },
      { interval: 100, timeout: 10_000 },
    )
    const taken = at.server[0]?.facts.sentBytes ?? 0
    expect(sentInward(at) - taken).toBeLessThan(2 * mib)
    reply.on('error', () => {})
    reply.destroy()
    await vi.waitFor(() => expect(closed()).toBe(1))
  })
})
