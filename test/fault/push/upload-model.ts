/** The upload session as a model: how far it is and which bytes it holds, held against Layover after every request of a random history. */
import fc from 'fast-check'
import { expect } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { bytes, locationOf, type Payload, type PushScene, pushScene } from '../../http/push/scene.ts'
import type { Answered } from '../../http/scene.ts'

/** Sizes on both sides of what is held back, batched and hashed apart. */
const size = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 3_000 }) },
  { weight: 2, arbitrary: fc.constantFrom(65_535, 65_536, 65_537, 200_000) },
  { weight: 1, arbitrary: fc.constant(1_200_000) },
)
const session = fc.constantFrom(0, 1)
const streamed = fc.boolean()
const kindOf = <K extends string>(kind: K) => fc.constant(kind)

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: kindOf('append'), session, size, streamed, ranged: fc.boolean() }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: kindOf('misplace'),
      session,
      size,
      streamed,
      by: fc.oneof(fc.integer({ min: -5_000, max: -1 }), fc.integer({ min: 1, max: 5_000 })),
      closing: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: kindOf('miscount'),
      session,
      size,
      streamed,
      by: fc.constantFrom(-1, 1, 70_000),
      closing: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: kindOf('cut'), session, size, streamed, closing: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: kindOf('nonsense'), session, range: fc.constantFrom('x', '5', '7-', '-7') }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: kindOf('unnamed'), session, digest: fc.constantFrom('', 'sha256:1') }),
  },
  { weight: 1, arbitrary: fc.record({ kind: kindOf('elsewhere'), session, size }) },
  { weight: 1, arbitrary: fc.record({ kind: kindOf('restart') }) },
)

const end = fc.record({
  how: fc.constantFrom('close', 'close', 'close', 'close with the wrong digest', 'cancel'),
  algorithm: fc.constantFrom('sha256' as const, 'sha512' as const),
  last: fc.option(size, { nil: 0 }),
  streamed,
  ranged: fc.boolean(),
})

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never
type End = typeof end extends fc.Arbitrary<infer T> ? T : never

export const uploadHistory = fc.record({
  announced: fc.constantFrom('', '?digest-algorithm=sha512'),
  steps: fc.array(step, { maxLength: 14 }),
  ends: fc.tuple(end, end),
})

export type UploadHistory = typeof uploadHistory extends fc.Arbitrary<infer T> ? T : never

interface Model {
  readonly repository: string
  location: string
  /** What the session holds. */
  held: Buffer
  readonly seed: number
}

export async function expectUploadModel({ announced, steps, ends }: UploadHistory): Promise<void> {
  await using at = await pushScene()
  const models: Model[] = []
  for (const seed of [0, 1]) {
    const repository = `local/model/${seed}`
    models.push({ repository, location: await at.start(announced, repository), held: Buffer.alloc(0), seed })
  }
  for (const step of steps) {
    await take(at, models, step)
    for (const model of models) expect(await at.rangeOf(model.location)).toBe(rangeOf(model))
  }
  for (const [index, model] of models.entries()) await finish(at, model, ends[index] ?? ends[0])
  await at.untilNoSessions()
}

/** What comes next in a session: bytes that are nowhere else. */
function next({ held, seed }: Model, count: number): Buffer {
  return bytes(count, held.length * 2 + seed)
}

function rangeOf({ held }: Model): string {
  return `0-${Math.max(0, held.length - 1)}`
}

function payload(body: Buffer, streamed: boolean): Payload {
  const middle = Math.floor(body.length / 2)
  return streamed ? [body.subarray(0, middle), body.subarray(middle)] : body
}

const ranged = (first: number, count: number) => ({ 'content-range': `${first}-${first + count - 1}` })

/** Anything that is no digest of what the session holds. */
const anyDigest = digestOf(Buffer.from('something else'))

async function take(at: PushScene, models: readonly Model[], step: Step): Promise<void> {
  if (step.kind === 'restart') return at.layover.restart()
  const model = models[step.session]
  if (!model) return
  const { location, held } = model
  switch (step.kind) {
    case 'append': {
      const body = next(model, step.size)
      const headers = step.ranged ? ranged(held.length, body.length) : {}
      const answer = await at.patch(location, payload(body, step.streamed), headers)
      model.held = Buffer.concat([held, body])
      expect([answer.status, answer.headers.range]).toEqual([202, rangeOf(model)])
      model.location = locationOf(answer)
      return
    }
    case 'misplace': {
      const place = held.length + step.by
      if (place < 0) return
      const answer = await sendChunk(at, model, step, ranged(place, step.size))
      expectConflict(at, answer, model)
      return
    }
    case 'miscount': {
      const declared = step.size + step.by
      if (declared < 1) return
      const answer = await sendChunk(at, model, step, ranged(held.length, declared))
      expect(at.failure(answer)).toEqual([400, 'SIZE_INVALID'])
      return
    }
    case 'cut':
      return cut(at, model, step)
    case 'nonsense':
      return expectConflict(
        at,
        await at.patch(location, next(model, 10), { 'content-range': step.range }),
        model,
      )
    case 'unnamed': {
      const answer = await at.close(location, step.digest, next(model, 10))
      expect(at.failure(answer)).toEqual([400, 'DIGEST_INVALID'])
      return
    }
    case 'elsewhere': {
      const foreign = location.replace(model.repository, 'local/model/foreign')
      for (const answer of [
        await at.ask(foreign),
        await at.patch(foreign, next(model, step.size)),
        await at.close(foreign, anyDigest),
        await at.ask(foreign, { method: 'DELETE' }),
      ])
        expect(at.failure(answer)).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
    }
  }
}

function sendChunk(
  at: PushScene,
  model: Model,
  { size: count, streamed: inChunks, closing }: { size: number; streamed: boolean; closing: boolean },
  headers: Record<string, string>,
): Promise<Answered> {
  const body = payload(next(model, count), inChunks)
  return closing
    ? at.close(model.location, anyDigest, body, headers)
    : at.patch(model.location, body, headers)
}

function expectConflict(at: PushScene, answer: Answered, model: Model): void {
  expect(at.failure(answer)).toEqual([416, 'BLOB_UPLOAD_INVALID'])
  expect([answer.headers.range, locationOf(answer)]).toEqual([rangeOf(model), model.location])
}

/** The client dies with its body unfinished: what is kept is a beginning of what it sent. */
async function cut(
  at: PushScene,
  model: Model,
  { size: count, streamed: inChunks, closing }: { size: number; streamed: boolean; closing: boolean },
): Promise<void> {
  const sent = next(model, count)
  const framing: Record<string, string> = inChunks
    ? { 'transfer-encoding': 'chunked' }
    : { 'content-length': String(count + 1) }
  const path = closing ? `${model.location}?digest=${anyDigest}` : model.location
  const outgoing = at.begin(path, { method: closing ? 'PUT' : 'PATCH', headers: framing })
  outgoing.write(sent)
  await at.untilRange(model.location, `0-${model.held.length + count - 1}`)
  outgoing.cut()
  expect(await at.untilFree(model.location)).toBe(`0-${model.held.length + count - 1}`)
  model.held = Buffer.concat([model.held, sent])
}

async function finish(
  at: PushScene,
  model: Model,
  { how, algorithm, last, streamed: inChunks, ranged: placed }: End,
) {
  const { location, held, repository } = model
  const body = next(model, last)
  const content = Buffer.concat([held, body])
  const digest = digestOf(content, algorithm)
  const headers = placed && last > 0 ? ranged(held.length, last) : {}
  const sent = last > 0 || inChunks ? payload(body, inChunks) : undefined
  if (how === 'cancel') expect((await at.ask(location, { method: 'DELETE' })).status).toBe(204)
  else if (how === 'close') {
    const answer = await at.close(location, digest, sent, headers)
    expect([answer.status, answer.headers['docker-content-digest']]).toEqual([201, digest])
    const blob = await at.ask(locationOf(answer))
    expect([blob.status, blob.body.equals(content)]).toEqual([200, true])
  } else {
    const wrong = digestOf(Buffer.concat([content, Buffer.from('!')]), algorithm)
    expect(at.failure(await at.close(location, wrong, sent, headers))).toEqual([400, 'DIGEST_INVALID'])
    expect((await at.ask(`/v2/${repository}/blobs/${wrong}`)).status).toBe(404)
  }
  for (const answer of [
    await at.ask(location),
    await at.patch(location, body),
    await at.close(location, digest),
  ])
    expect(at.failure(answer)).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
}
