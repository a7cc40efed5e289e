/**
 * Collections among pushes, mounts, HEADs, pulls and deletes that come between any two of their steps, and crashes at any of
 * them: what a client was promised is kept, what is listed is there, and in the end nothing is left that nothing needs.
 */
import { mkdir } from 'node:fs/promises'
import fc from 'fast-check'
import { expect } from 'vitest'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import { RegistryError } from '../../../src/oci/errors.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { localKey } from '../../../src/pull/target.ts'
import {
  bodyOf,
  complaints,
  graceMs,
  hourMs,
  imageOf,
  indexOf,
  listedIn,
  longMs,
  openCollected,
  type Pushed,
  pushedOf,
  putManifest,
  type Rig,
} from './collect-rig.ts'

const names = ['a', 'b'] as const
const tags = ['x', 'y'] as const
const layers = ['zero', 'one', 'two'].map(pushedOf)
const [zero, one, two] = layers as [Pushed, Pushed, Pushed]
const image = imageOf('image', [zero, one])
/** An image, one more, an index of the first, and a signature of it, with what they list. */
const manifests = [
  { of: image, lists: [zero, one] },
  { of: imageOf('more', [one, two]), lists: [one, two] },
  { of: indexOf([image]), lists: [] },
  { of: imageOf('signature', [two], image), lists: [two] },
] as const
const untaggedMs = 3 * graceMs

const action = fc.record({
  kind: fc.constantFrom(
    'push blob',
    'push session',
    'mount',
    'mount',
    'head blob',
    'head blob',
    'get blob',
    'push manifest',
    'push manifest',
    'push image',
    'push index',
    'delete tag',
    'delete manifest',
    'delete manifest',
    'delete blob',
    'pull',
    'wait',
  ),
  name: fc.constantFrom(...names),
  layer: fc.nat(layers.length - 1),
  manifest: fc.nat(manifests.length - 1),
  tag: fc.option(fc.constantFrom(...tags), { nil: undefined }),
  waitMs: fc.constantFrom(hourMs / 2, graceMs / 2, longMs),
})

type Action = typeof action extends fc.Arbitrary<infer T> ? T : never
type BlobKind = 'push blob' | 'push session' | 'mount' | 'head blob' | 'get blob' | 'delete blob'

/** One by its number, or the first of its name: those that matter most are few. */
const step = fc.oneof(
  fc.nat(40),
  fc.constantFrom(
    'after: look at bytes',
    'before: remove bytes',
    'before: remove bytes',
    'after: read a record',
    'before: take blobs',
    'after: take blobs',
    'before: take a manifest',
  ),
)

export const collectionHistory = fc.record({
  hasPolicy: fc.boolean(),
  rounds: fc.array(
    fc.record({
      beforehand: fc.array(action, { maxLength: 6 }),
      waitMs: fc.constantFrom(0, graceMs / 2, longMs, longMs, untaggedMs),
      /** At a step of the collection, which waits for it or goes on beside it. */
      meanwhile: fc.array(fc.record({ step, beside: fc.boolean(), action }), { maxLength: 8 }),
      crashAt: fc.option(step, { nil: undefined, freq: 4 }),
      afterwards: fc.constantFrom('nothing', 'nothing', 'restart', 'lose the index'),
    }),
    { minLength: 1, maxLength: 5 },
  ),
})

export type CollectionHistory = typeof collectionHistory extends fc.Arbitrary<infer T> ? T : never

class Crash extends Error {}

export async function expectCollectionModel({ hasPolicy, rounds }: CollectionHistory): Promise<void> {
  await using rig = await openCollected({
    missingReferences: 'refuse',
    ...(hasPolicy ? { untaggedMs } : {}),
  })
  await mkdir(rig.store.layout.localNames) // where nothing was ever held, nothing is collected
  const model = new Model(rig, hasPolicy)
  for (const round of rounds) {
    await Promise.all(round.beforehand.map(each => model.act(each)))
    rig.clock.advance(round.waitMs)
    await collectAmong(model, round)
    expect(await complaints(rig, names)).toEqual([])
    await model.expectKept()
    if (round.afterwards !== 'nothing') await model.restart(round.afterwards)
  }
  await expectClean(model)
}

async function collectAmong(
  model: Model,
  { meanwhile, crashAt }: CollectionHistory['rounds'][number],
): Promise<void> {
  const beside: Promise<void>[] = []
  const left = new Set(meanwhile)
  let steps = 0
  let hasCrashed = false
  const collection = model.parts.collection(async name => {
    const is = (wanted: number | string | undefined) => wanted === steps || wanted === name
    const due = [...left].filter(each => is(each.step))
    const crashes = !hasCrashed && is(crashAt)
    steps += 1
    for (const each of due) {
      left.delete(each)
      const acting = model.act(each.action)
      if (each.beside) beside.push(acting)
      else await acting
    }
    if (!crashes) return
    hasCrashed = true
    throw new Crash()
  })
  try {
    expect((await collection.collect()).skipped).toBe(hasCrashed ? 1 : 0)
  } catch (error) {
    if (!(error instanceof Crash)) throw error
  }
  await Promise.all(beside)
}

/** When nobody comes any more, what nothing needs goes, and nothing else does. */
async function expectClean(model: Model): Promise<void> {
  const { rig, hasPolicy } = model
  for (let times = 0; times < (hasPolicy ? 6 : 2); times += 1) {
    rig.clock.advance(hasPolicy ? untaggedMs + longMs : longMs)
    await model.parts.collection().collect()
  }
  await model.expectKept()
  expect(await complaints(rig, names)).toEqual([])
  const needed = new Set<Digest>()
  for (const name of names) {
    const held = await rig.held(name)
    expect(held.blobs, `the blobs of ${name}`).toEqual(await listedIn(rig, name))
    for (const digest of [...held.blobs, ...held.manifests]) needed.add(digest)
    if (hasPolicy) await model.expectReachable(name)
  }
  expect(await rig.stored()).toEqual([...needed].sort())
  expect(await rig.trash()).toEqual([])
}

/** Of one thing. */
interface Deletes {
  readonly begun: number
  readonly ended: number
}

/** What clients were told, and what may be expected of it. */
class Model {
  readonly rig: Rig
  readonly hasPolicy: boolean
  parts: ReturnType<Rig['assemble']>
  /** Until when a repository's blob is promised. */
  readonly #promised = new Map<string, number>()
  /** Manifests that were pushed and not deleted. */
  readonly #pushed = new Set<string>()
  readonly #deletes = new Map<string, Deletes>()

  constructor(rig: Rig, hasPolicy: boolean) {
    this.rig = rig
    this.parts = rig
    this.hasPolicy = hasPolicy
  }

  async restart(how: 'restart' | 'lose the index'): Promise<void> {
    await this.parts.holdings.stop()
    if (how === 'lose the index') await this.rig.loseIndex()
    else await this.rig.crash()
    this.parts = this.rig.assemble()
  }

  /** What was acknowledged is there, unless a policy may have taken it. */
  async expectKept(): Promise<void> {
    for (const text of this.#pushed) {
      const [name = '', digest = ''] = text.split(' ')
      const { tags: held, manifests: found } = await this.rig.held(name)
      const pointing = await Promise.all(
        held.map(tag => this.parts.holdings.tag(localKey(this.rig.at(name)), tag)),
      )
      const isTagged = pointing.some(entry => entry?.digest === digest)
      const isListed = digest === image.digest && found.includes(manifests[2].of.digest)
      if (!this.hasPolicy || isTagged || isListed) expect(found, `the manifests of ${name}`).toContain(digest)
    }
    for (const [text, until] of this.#promised) {
      if (this.rig.clock.now() >= until) continue
      const [name = '', digest = ''] = text.split(' ')
      expect((await this.rig.held(name)).blobs, `the blobs of ${name}, one promised`).toContain(digest)
    }
  }

  /** Each manifest has a tag, or is listed or about one that is held. */
  async expectReachable(name: string): Promise<void> {
    const held = await this.rig.held(name)
    const key = localKey(this.rig.at(name))
    const named = await Promise.all(held.tags.map(tag => this.parts.holdings.tag(key, tag)))
    for (const digest of held.manifests) {
      const isTagged = named.some(entry => entry?.digest === digest)
      const isListed = digest === image.digest && held.manifests.includes(manifests[2].of.digest)
      const isAbout = digest === manifests[3].of.digest && held.manifests.includes(image.digest)
      expect(isTagged || isListed || isAbout, `${name}: ${digest} is needed`).toBe(true)
    }
  }

  async act(given: Action): Promise<void> {
    const { kind, name, manifest, tag, waitMs } = given
    const { rig, parts } = this
    const at = rig.at(name)
    const { of, lists } = manifests[manifest] ?? manifests[0]
    switch (kind) {
      case 'push manifest':
        return this.#putManifest(name, { of, lists, tag })
      case 'push image':
        for (const blob of lists) await this.#bring(name, blob)
        return this.#putManifest(name, { of, lists, tag })
      case 'push index':
        return this.#pushIndex(name, tag)
      case 'delete tag':
        await refusal(parts.push.manifests.delete(at, { kind: 'tag', tag: (tag ?? 'x') as Tag }))
        return
      case 'delete manifest':
        return this.#delete(name, of, () =>
          parts.push.manifests.delete(at, { kind: 'digest', digest: of.digest }),
        )
      case 'pull':
        return this.#pull(name, of, tag)
      case 'wait':
        return rig.clock.advance(waitMs)
      case 'push blob':
      case 'push session':
      case 'mount':
      case 'head blob':
      case 'get blob':
      case 'delete blob':
        return this.#actOnBlob({ ...given, kind })
    }
  }

  async #actOnBlob({ kind, name, layer, tag }: Action & { kind: BlobKind }): Promise<void> {
    const { rig, parts } = this
    const at = rig.at(name)
    const blob = layers[layer] ?? zero
    const promise = this.#promising(name, blob)
    switch (kind) {
      case 'push blob':
        await parts.push.uploads.push(at, blob.digest, bodyOf(blob))
        return promise()
      case 'push session':
        await this.#pushInSession(name, blob)
        return promise()
      case 'mount': {
        const from = names.find(each => each !== name && tag !== undefined)
        const source = from === undefined ? async () => true : { local: rig.at(from) }
        if (await parts.push.mounts.mount(at, blob.digest, source)) promise()
        return
      }
      case 'head blob': {
        const before = this.#isPromised(name, blob)
        const found = await parts.pull.blobHead(at, blob.digest)
        if (before() && !found) throw new Error(`${name} promised ${blob.digest} and has it no more`)
        if (found) promise()
        return
      }
      case 'get blob':
        return this.#get(name, blob)
      case 'delete blob':
        return this.#delete(name, blob, () => parts.push.blobs.delete(at, blob.digest))
    }
  }

  /** As a client does: pushed where a HEAD does not find it. */
  async #bring(name: string, blob: Pushed): Promise<void> {
    const { rig, parts } = this
    const at = rig.at(name)
    const promise = this.#promising(name, blob)
    if (!(await parts.pull.blobHead(at, blob.digest)))
      await parts.push.uploads.push(at, blob.digest, bodyOf(blob))
    promise()
  }

  async #pushIndex(name: string, tag: string | undefined): Promise<void> {
    const { rig, parts } = this
    const start = rig.clock.now()
    const unchanged = this.#watch(`${name} ${image.digest}`)
    const reference = { kind: 'digest', digest: image.digest } as const
    const child = await parts.pull.manifest(rig.at(name), reference, { head: true })
    const pushing = putManifest({ ...rig, ...parts }, name, manifests[2].of, ...(tag ? [tag] : []))
    const refused = await refusal(pushing)
    if (child && refused && unchanged() && rig.clock.now() - start < untaggedMs)
      throw new Error(`${name} has lost a manifest that it promised`)
  }

  async #pull(name: string, { digest }: Pushed, tag: string | undefined): Promise<void> {
    const reference = tag
      ? ({ kind: 'tag', tag: tag as Tag } as const)
      : ({ kind: 'digest', digest } as const)
    const found = await this.parts.pull.manifest(this.rig.at(name), reference, { head: false })
    if (found?.body) expect(digestOf(found.body)).toBe(found.digest)
  }

  async #pushInSession(name: string, blob: Pushed): Promise<void> {
    const { uploads } = this.parts.push
    const at = this.rig.at(name)
    const { id } = await uploads.start(at)
    await uploads.append(at, id, { ...bodyOf(blob), range: undefined })
    const nothing = { ...bodyOf({ ...blob, body: Buffer.alloc(0) }), range: undefined }
    await uploads.complete(at, id, { digest: blob.digest, chunk: nothing })
  }

  async #get(name: string, blob: Pushed): Promise<void> {
    const before = this.#isPromised(name, blob)
    const found = await this.parts.pull.blob(this.rig.at(name), blob.digest)
    if (!found) {
      if (before()) throw new Error(`${name} promised ${blob.digest} and has it no more`)
      return
    }
    if (found.kind !== 'bytes') throw new Error(`${blob.digest} is somewhere else`)
    const read = Buffer.concat(await found.bytes.read(Buffer.alloc(blob.body.length), 0))
    found.bytes.close()
    expect(read).toEqual(blob.body)
  }

  async #putManifest(
    name: string,
    { of, lists, tag }: { of: Pushed; lists: readonly Pushed[]; tag: string | undefined },
  ): Promise<void> {
    const promised = lists.map(each => this.#isPromised(name, each))
    const unchanged = this.#watch(`${name} ${of.digest}`)
    const refused = await refusal(
      putManifest({ ...this.rig, ...this.parts }, name, of, ...(tag ? [tag] : [])),
    )
    if (refused && lists.length > 0 && promised.every(still => still()))
      throw new Error(`${name} promised every layer and refused the manifest: ${refused.message}`)
    if (!refused && unchanged()) this.#pushed.add(`${name} ${of.digest}`)
  }

  async #delete(name: string, { digest }: Pushed, run: () => Promise<void>): Promise<void> {
    const text = `${name} ${digest}`
    const note = (what: keyof Deletes) => {
      const deletes = this.#deletesOf(text)
      this.#deletes.set(text, { ...deletes, [what]: deletes[what] + 1 })
      this.#pushed.delete(text)
      this.#promised.delete(text)
    }
    note('begun')
    await refusal(run())
    note('ended')
  }

  /** To be called when it is known to be there: promised from now on, unless a delete meanwhile may have been later. */
  #promising(name: string, { digest }: Pushed): () => void {
    const text = `${name} ${digest}`
    const until = this.rig.clock.now() + graceMs
    const unchanged = this.#watch(text)
    return () => {
      if (unchanged()) this.#promised.set(text, Math.max(until, this.#promised.get(text) ?? 0))
    }
  }

  /** Whether it is promised now; to be asked again whether it has been so all the time. */
  #isPromised(name: string, { digest }: Pushed): () => boolean {
    const text = `${name} ${digest}`
    const unchanged = this.#watch(text)
    const is = () => this.rig.clock.now() < (this.#promised.get(text) ?? 0)
    const was = is()
    return () => was && is() && unchanged()
  }

  /** False once a delete has begun, or while one is under way. */
  #watch(text: string): () => boolean {
    const { begun, ended } = this.#deletesOf(text)
    return () => begun === ended && this.#deletesOf(text).begun === begun
  }

  #deletesOf(text: string): Deletes {
    return this.#deletes.get(text) ?? { begun: 0, ended: 0 }
  }
}

/** What a client may be told; everything else is a failure. */
async function refusal(asked: Promise<unknown>): Promise<RegistryError | undefined> {
  try {
    await asked
    return undefined
  } catch (error) {
    if (error instanceof RegistryError && error.code !== 'UNKNOWN' && error.code !== 'UNAVAILABLE')
      return error
    throw error
  }
}
