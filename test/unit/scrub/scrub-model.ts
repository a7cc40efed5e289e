/**
 * Scrubs among pushes, mounts, deletes, fetches, collections and rot that come between any two of their steps, and stops at any of
 * them: what never rotted is left alone, and what did is gone in the end, so that it can be brought again.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect } from 'vitest'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import type { Clock } from '../../../src/runtime/clock.ts'
import { isSound } from '../../../src/scrub/run.ts'
import { bodyOf, longMs, type Pushed, pushedOf } from '../collect/collect-rig.ts'
import { flipBit, openScrubbed, type ScrubRig } from './scrub-rig.ts'

const names = ['a', 'b'] as const
const blobs = ['zero', 'one', 'two', 'three'].map(pushedOf)
/** Such a pause lets those who claim damaged bytes get to their end. */
const claimedMs = 1_000
const nothingHappens = () => {}

const action = fc.record({
  kind: fc.constantFrom(
    'push',
    'push',
    'mount',
    'mount cached',
    'delete',
    'collect',
    'fetch',
    'fetch',
    'evict',
    'rot pushed',
    'rot cached',
  ),
  name: fc.constantFrom(...names),
  blob: fc.nat(blobs.length - 1),
})

type Action = typeof action extends fc.Arbitrary<infer T> ? T : never

export const scrubHistory = fc.array(
  fc.record({
    beforehand: fc.array(action, { maxLength: 8 }),
    meanwhile: fc.array(fc.record({ action, step: fc.nat(20), beside: fc.boolean() }), { maxLength: 8 }),
    stopAt: fc.option(fc.nat(20), { nil: undefined }),
  }),
  { minLength: 1, maxLength: 3 },
)

export type ScrubHistory = typeof scrubHistory extends fc.Arbitrary<infer T> ? T : never

export async function expectScrubModel(rounds: ScrubHistory): Promise<void> {
  await using rig = await openScrubbed()
  const model = new Model(rig)
  for (const round of rounds) {
    for (const each of round.beforehand) await model.act(each)
    await scrubAmong(model, round)
    await model.expectUntouched()
  }
  await model.expectMended()
}

async function scrubAmong(model: Model, { meanwhile, stopAt }: ScrubHistory[number]): Promise<void> {
  const { rig } = model
  const beside: Promise<void>[] = []
  const stopping = new AbortController()
  let steps = 0
  /** Each pause of the scrub is a step. */
  const clock: Clock = {
    now: () => rig.clock.now(),
    monotonic: () => 0,
    sleep: async ms => {
      const due = meanwhile.filter(({ step }) => step === steps)
      if (stopAt === steps) stopping.abort(new Error('stopped'))
      steps += 1
      for (const each of due) {
        const acting = model.act(each.action)
        if (each.beside) beside.push(acting)
        else await acting
      }
      if (ms === claimedMs) await Promise.all(beside)
    },
  }
  const scrubbing = rig.scrub({ clock, bytesPerSecond: () => 1 }).run({ signal: stopping.signal })
  await scrubbing.then(nothingHappens, (error: Error) => expect(error.message).toBe('stopped'))
  await Promise.all(beside)
}

class Model {
  readonly rig: ScrubRig
  /** Whatever lay under the digest's name may have had other bytes at some time. */
  readonly #rotted = new Set<Digest>()
  /** Pushed or mounted, and not deleted. */
  readonly #held = new Set<string>()
  /** Fetched, and not evicted. */
  readonly #fetched = new Set<Digest>()
  /** How often taking away what is named was begun or has ended. */
  readonly #taken = new Map<string, number>()

  constructor(rig: ScrubRig) {
    this.rig = rig
  }

  async act({ kind, name, blob }: Action): Promise<void> {
    const { rig } = this
    const of = blobs[blob] ?? pushedOf('none')
    const { digest } = of
    const { layout } = rig.store
    const text = `${name} ${digest}`
    switch (kind) {
      case 'push':
        return this.#bring(this.#held, text, () => rig.push.uploads.push(rig.at(name), digest, bodyOf(of)))
      case 'mount':
        return this.#bring(this.#held, text, () =>
          rig.push.mounts.mount(rig.at(name), digest, async () => true),
        )
      case 'mount cached':
        await rig.store.pushed.claim(digest, () => rig.store.pushed.pin(digest))
        return
      case 'delete':
        return this.#take(this.#held, text, () =>
          rig.push.blobs.delete(rig.at(name), digest).catch(nothingHappens),
        )
      case 'collect':
        rig.clock.advance(longMs)
        await rig.collection().collect().catch(nothingHappens) // one is under way
        for (const each of names)
          for (const { digest: gone } of blobs)
            if (!(await rig.held(each)).blobs.includes(gone)) this.#held.delete(`${each} ${gone}`)
        return
      case 'fetch':
        return this.#bring(this.#fetched, digest, () => rig.store.put(digest, of.body))
      case 'evict':
        return this.#take(this.#fetched, digest, () => rig.store.drop(digest))
      case 'rot pushed':
        return this.#rot(layout.pushed(digest), of)
      case 'rot cached':
        return this.#rot(layout.cached(digest), of)
    }
  }

  /** Where something took it away meanwhile nobody knows which of them was last. */
  async #bring<T extends string>(there: Set<T>, what: T, task: () => Promise<unknown>): Promise<void> {
    const before = this.#taken.get(what)
    if ((await task()) === false) return
    if (this.#taken.get(what) === before) there.add(what)
  }

  async #take<T extends string>(there: Set<T>, what: T, task: () => Promise<unknown>): Promise<void> {
    const gone = () => {
      there.delete(what)
      this.#taken.set(what, (this.#taken.get(what) ?? 0) + 1)
    }
    gone()
    await task()
    gone()
  }

  /** What never rotted is where it was, and right; only what did is in quarantine. */
  async expectUntouched(): Promise<void> {
    const { rig } = this
    for (const text of this.#held) {
      const [name = '', digest = ''] = text.split(' ')
      expect((await rig.held(name)).blobs, `the blobs of ${name}`).toContain(digest)
      if (this.#rotted.has(digest as Digest)) continue
      const body = await rig.store.pushed.read(digest as Digest)
      expect(body && digestOf(body), `what ${name} holds`).toBe(digest)
    }
    for (const digest of this.#fetched)
      if (!this.#rotted.has(digest)) expect(await rig.isThere(rig.store.layout.cached(digest))).toBe(true)
    for (const name of await rig.quarantine()) expect([...this.#rotted]).toContain(name.replace('-', ':'))
  }

  /** One more, with nobody beside it, leaves nothing that is wrong; what it takes can be pushed again. */
  async expectMended(): Promise<void> {
    const { rig } = this
    await rig.scrub().run() // perhaps the rest of one that was stopped
    await rig.scrub().run()
    await this.expectUntouched()
    for (const area of [rig.store.layout.cachedBytes, rig.store.layout.pushedBytes]) {
      for (const path of await filesIn(area)) {
        const body = await readFile(path)
        expect(path.endsWith(digestOf(body).slice(7)), path).toBe(true)
      }
    }
    for (const name of names) {
      for (const digest of (await rig.held(name)).blobs) {
        const of = blobs.find(each => each.digest === digest) ?? pushedOf('none')
        if (!(await rig.pull.blobHead(rig.at(name), digest)))
          await rig.push.uploads.push(rig.at(name), digest, bodyOf(of))
      }
    }
    expect(isSound(await rig.scrub().run())).toBe(true)
  }

  async #rot(path: string, { digest }: Pushed): Promise<void> {
    this.#rotted.add(digest)
    await flipBit(path).catch(nothingHappens) // not there
  }
}

async function filesIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    return entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
  } catch {
    return [] // nothing was ever put there
  }
}
