/** Flights over a real store, filled by sources that do as the test says. */

import { randomBytes } from 'node:crypto'
import { access, readdir } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { Catalog } from '../../../src/index/catalog.ts'
import type { BlobEntry } from '../../../src/index/index.ts'
import { createMemoryIndex } from '../../../src/index/rows/memory.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { createMetrics } from '../../../src/observe/metrics.ts'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import type { PullDeps } from '../../../src/pull/deps.ts'
import type { Flight } from '../../../src/pull/flights/flight.ts'
import { Flights } from '../../../src/pull/flights/flights.ts'
import type { Served, Source } from '../../../src/pull/flights/source.ts'
import { Absences } from '../../../src/pull/manifests/absences.ts'
import { Verdicts } from '../../../src/pull/verdicts.ts'
import type { Clock } from '../../../src/runtime/clock.ts'
import { openLayout } from '../../../src/store/open.ts'
import { Store } from '../../../src/store/store.ts'
import { Background } from '../../../src/stream/background.ts'
import type { Bytes } from '../../../src/stream/bytes.ts'
import type { BlobBody } from '../../../src/upstream/upstream.ts'
import { UpstreamError, type UpstreamFailure } from '../../../src/upstream/upstream-error.ts'
import { tempDir } from '../../support/temp-dir.ts'

export const heldBack = 64 * 1024

/** Back-offs take no time. */
export const instantClock: Clock = {
  now: () => 0,
  monotonic: () => 0,
  sleep: async (_, signal) => {
    signal?.throwIfAborted()
  },
}

export interface Rig extends AsyncDisposable {
  readonly deps: PullDeps
  readonly flights: Flights
  /** Failures of work that nobody waited for. */
  readonly failures: unknown[]
  readonly storePath: string
  /** Names of the files in `partial/`. */
  partials(): Promise<string[]>
  /** Whether the store holds the blob. */
  holds(digest: Digest): Promise<boolean>
  /** As a restart does: what was going on is stopped, and the store opened anew. */
  restart(): Promise<Rig>
}

export interface RigOptions {
  /** An existing folder; else a new one, removed with the rig. */
  at?: string
  clock?: Clock
  /** A store that fails where the test wants it. */
  store?: typeof Store
}

export async function openRig({
  at,
  clock = instantClock,
  store: StoreKind = Store,
}: RigOptions = {}): Promise<Rig> {
  const dir = at === undefined ? await tempDir() : undefined
  const storePath = at ?? dir?.path ?? ''
  const log = createLogger('silent')
  const metrics = createMetrics()
  const { layout, unlock } = await openLayout(storePath)
  const store = new StoreKind(layout, { log, metrics }, { close: unlock, isOwner: true, doubtful: undefined })
  const failures: unknown[] = []
  const background = new Background(error => failures.push(error))
  const limits = { manifestBytes: 4 * 1024 * 1024 }
  const catalog = new Catalog(createMemoryIndex(), store, clock)
  const absences = new Absences(clock)
  const deps = {
    store,
    catalog,
    clock,
    log,
    metrics,
    limits,
    background,
    absences,
    verdicts: new Verdicts(clock),
    replicas: undefined,
    kept: () => {},
  }
  const flights = new Flights(deps)
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= flights.stop().then(() => store.close())
    return closed
  }
  return {
    deps,
    flights,
    failures,
    storePath,
    partials: () => readdir(store.layout.partials),
    holds: digest =>
      access(store.layout.cached(digest)).then(
        () => true,
        () => false,
      ),
    async restart() {
      await close()
      return openRig({ at: storePath, clock })
    },
    async [Symbol.asyncDispose]() {
      await close()
      await dir?.[Symbol.asyncDispose]()
    },
  }
}

export function someBlob(size: number, algorithm: 'sha256' | 'sha512' = 'sha256') {
  const content = randomBytes(size)
  return { content, size, digest: digestOf(content, algorithm) }
}

/** A body that comes as the test pushes it. */
export class PushedBody extends Readable {
  override _read(): void {}

  end(...chunks: Buffer[]): void {
    for (const chunk of chunks) this.push(chunk)
    this.push(null)
  }

  breakOff(failure: UpstreamFailure = 'unreachable'): void {
    this.destroy(failed(failure))
  }
}

export function failed(failure: UpstreamFailure): UpstreamError {
  return new UpstreamError('registry.test', failure, `registry.test: ${failure}`)
}

type Ask = Parameters<Source['open']>[1]
type Answer = (ask: Ask) => BlobBody | Promise<BlobBody>

export class ScriptedSource implements Source {
  readonly name = 'registry.test'
  readonly scope: string
  readonly asked: Ask[] = []
  readonly servedSizes: number[] = []
  readonly #answers: Answer[]

  /** @param answers one a request, in this order */
  constructor(scope: string, ...answers: Answer[]) {
    this.scope = scope
    this.#answers = answers
  }

  get positions(): number[] {
    return this.asked.map(({ first }) => first)
  }

  async open(_: Digest, ask: Ask): Promise<BlobBody> {
    this.asked.push(ask)
    const answer = this.#answers[this.asked.length - 1]
    if (!answer) throw new Error('the source was asked more often than the test expects')
    return answer(ask)
  }

  async confirm(): Promise<BlobEntry> {
    return { size: undefined, isPublic: true }
  }

  async served(_: Digest, { size }: Served): Promise<void> {
    this.servedSizes.push(size)
  }
}

interface Announced {
  total?: number | undefined
  first?: number
}

/** Announces the pushed body; it breaks when the flight is stopped, as a real one does. */
export function answering(body: Readable, { total, first }: Announced): Answer {
  return ask => {
    ask.signal.addEventListener('abort', () => body.destroy(ask.signal.reason as Error), { once: true })
    return { first: first ?? ask.first, total, length: undefined, etag: undefined, anonymous: true, body }
  }
}

/** Answers with the content from where it is asked on, in chunks. */
export function giving(content: Buffer, { total = content.length, upTo = content.length } = {}): Answer {
  return ask => {
    const body = Readable.from(chunked(content.subarray(ask.first, upTo), upTo < content.length))
    return { first: ask.first, total, length: undefined, etag: '"tag"', anonymous: true, body }
  }
}

/** Whole content from 0, although a range was asked. */
export function ignoringRange(content: Buffer): Answer {
  return () => ({
    first: 0,
    total: content.length,
    length: content.length,
    etag: undefined,
    anonymous: true,
    body: Readable.from(chunked(content, false)),
  })
}

export function refusing(failure: UpstreamFailure): Answer {
  return () => Promise.reject(failed(failure))
}

function* chunked(content: Buffer, cut: boolean): Generator<Buffer> {
  for (let at = 0; at < content.length; at += 10_000) yield content.subarray(at, at + 10_000)
  if (cut) throw failed('unreachable')
}

export async function readAll(bytes: Bytes): Promise<Buffer> {
  const { got, error } = await readUntilBroken(bytes)
  if (error !== undefined) throw error
  return got
}

/** Everything a reader gets, and why it got no more. */
export async function readUntilBroken(bytes: Bytes): Promise<{ got: Buffer; error: unknown }> {
  const chunks: Buffer[] = []
  let position = 0
  try {
    for (;;) {
      const chunk = Buffer.concat(await bytes.read(Buffer.alloc(32 * 1024), position))
      if (chunk.length === 0) return { got: Buffer.concat(chunks), error: undefined }
      chunks.push(Buffer.from(chunk))
      position += chunk.length
    }
  } catch (error) {
    return { got: Buffer.concat(chunks), error }
  }
}

export function flightOf(rig: Rig, digest: Digest): Flight {
  const flight = rig.flights.find(digest)
  if (!flight) throw new Error('there is no flight')
  return flight
}

/** Waits until the flight has written so much. */
export async function untilWritten(flight: Flight, bytes: number): Promise<void> {
  while (flight.watermark < bytes) await flight.changed.next()
}
