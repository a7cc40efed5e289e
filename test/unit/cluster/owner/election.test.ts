/** One replica at a time owns the local names, whatever becomes of it and of its requests. */
import { setImmediate } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { Election } from '../../../../src/cluster/owner/election.ts'
import { configuredOwnership, leaseGivenMs } from '../../../../src/cluster/owner/ownership.ts'
import { createLogger } from '../../../../src/observe/log.ts'
import { FakeClock } from '../../../fake/clock.ts'
import { type Fate, MemoryObjects } from '../../../support/memory-objects.ts'

interface Replica {
  fate: Fate
  begun: number
  ended: number
  leaving: () => Promise<void>
  readonly election: Election
  readonly isOwner: boolean
}

function replica(objects: MemoryObjects, clock: FakeClock, name: string): Replica {
  const at: Replica = {
    fate: 'answered',
    begun: 0,
    ended: 0,
    leaving: async () => {},
    election: new Election({
      objects: objects.client(() => at.fate),
      advertise: `http://${name}`,
      clock,
      log: createLogger('silent'),
      begun: async () => {
        at.begun += 1
      },
      leaving: () => at.leaving(),
      ended: () => {
        at.ended += 1
      },
    }),
    get isOwner() {
      return at.election.owner.kind === 'self'
    },
  }
  return at
}

async function scene(names: readonly string[]) {
  const clock = new FakeClock()
  const objects = new MemoryObjects()
  const replicas: Replica[] = []
  const at = {
    clock,
    objects,
    replicas,
    add(name: string): Replica {
      const added = replica(objects, clock, name)
      replicas.push(added)
      return added
    },
    owners: () => replicas.filter(({ isOwner }) => isOwner),
    /** Time passes in small steps; there is never more than one owner. */
    async pass(ms: number, stepMs = 100) {
      for (let passed = 0; passed < ms; passed += stepMs) {
        clock.advance(stepMs)
        for (let turn = 0; turn < 12; turn += 1) await setImmediate()
        expect(at.owners().length).toBeLessThanOrEqual(1)
      }
    },
    async [Symbol.asyncDispose]() {
      const stopped = Promise.all(replicas.map(({ election }) => election.stop()))
      for (let step = 0; step < 40; step += 1) {
        clock.advance(500)
        for (let turn = 0; turn < 6; turn += 1) await setImmediate()
      }
      await stopped
    },
  }
  for (const name of names) at.add(name)
  await at.pass(1_000)
  return at
}

describe('an election', () => {
  test('makes the first one that comes the owner, and tells the others where it is', async () => {
    await using at = await scene(['a', 'b', 'c'])
    const [owner] = at.owners()
    expect(owner?.begun).toBe(1)
    await at.pass(2_000)
    const { url } = at.objects.told('cluster/owner.json') as { url: string }
    for (const { election, isOwner } of at.replicas)
      expect(election.owner).toEqual(isOwner ? owner?.election.owner : { kind: 'other', url })
    await at.pass(60_000)
    expect(at.owners()).toEqual([owner])
    expect(owner?.begun).toBe(1)
  })

  test('follows an owner that is gone, and not before its term and its leases have ended', async () => {
    await using at = await scene(['a'])
    const [first] = at.owners()
    const second = at.add('b')
    await at.pass(2_000)
    if (first) first.fate = 'lost'
    await at.pass(7_000)
    expect(second.isOwner).toBe(false)
    await at.pass(5_000)
    expect(first?.isOwner).toBe(false)
    expect(first?.ended).toBe(1)
    expect(second.isOwner).toBe(true)
  })

  test('ends a term by itself when the bucket does not answer, and goes on when it does', async () => {
    await using at = await scene(['a'])
    const [only] = at.replicas
    if (only) only.fate = 'lost'
    await at.pass(9_000)
    expect(only?.isOwner).toBe(false)
    if (only) only.fate = 'answered'
    await at.pass(5_000)
    expect(only?.isOwner).toBe(true)
    expect(only?.begun).toBe(2)
  })

  test('a renewal of which nobody heard is found again, and no term is lost', async () => {
    await using at = await scene(['a', 'b'])
    const [owner] = at.owners()
    if (owner) owner.fate = 'unheard'
    await at.pass(2_500)
    if (owner) owner.fate = 'answered'
    await at.pass(20_000)
    expect(at.owners()).toEqual([owner])
    expect(owner?.begun).toBe(1)
  })

  test('an owner that slept is none when it wakes, whatever its timers have come to', async () => {
    await using at = await scene(['a'])
    const [only] = at.replicas
    const { owner } = only?.election ?? {}
    const term = owner?.kind === 'self' ? owner.term : undefined
    expect(term?.holds).toBe(true)
    at.clock.advance(8_000) // and nothing of ours has run
    expect(term?.holds).toBe(false)
    expect(only?.isOwner).toBe(false)
    await at.pass(3_000)
    expect(only?.isOwner).toBe(true)
    expect(term?.holds).toBe(false)
  })

  test('hands over at once: who stops is followed when what it did has ended', async () => {
    await using at = await scene(['a', 'b'])
    const [first] = at.owners()
    const left = Promise.withResolvers<void>()
    if (first) first.leaving = () => left.promise
    const { owner } = first?.election ?? {}
    const handedOver = first?.election.handOver()
    await at.pass(3_000)
    expect(at.owners()).toEqual([])
    expect(owner?.kind === 'self' && owner.term.holds).toBe(true)
    left.resolve()
    await handedOver
    expect(owner?.kind === 'self' && owner.term.holds).toBe(false)
    await at.pass(1_500)
    const [second] = at.owners()
    expect(second).toBeDefined()
    expect(second).not.toBe(first)
    await at.pass(3_000)
    expect(first?.election.owner).toMatchObject({ kind: 'other' })
  })

  test('a hand-over that does not reach the bucket is tried again', async () => {
    await using at = await scene(['a', 'b'])
    const [first] = at.owners()
    if (first) first.fate = 'lost'
    const handedOver = first?.election.handOver()
    await at.pass(3_000)
    await handedOver
    if (first) first.fate = 'answered'
    await at.pass(3_000)
    expect(at.owners().filter(one => one !== first)).toHaveLength(1)
  })

  test('whoever waits hears of another owner', async () => {
    await using at = await scene(['a', 'b'])
    const [first] = at.owners()
    const other = at.replicas.find(one => one !== first)
    await at.pass(2_000)
    const changed = other?.election.changed(AbortSignal.timeout(10_000))
    void first?.election.handOver()
    await at.pass(3_000)
    await changed
    await expect(other?.election.changed(AbortSignal.abort(new Error('left')))).rejects.toThrow('left')
  })

  test('there is never more than one owner, whatever is lost', async () => {
    await using at = await scene(['a', 'b', 'c'])
    let state = 7
    const dice = (sides: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return Math.floor((state / 2 ** 32) * sides)
    }
    const fates: readonly Fate[] = ['answered', 'answered', 'unheard', 'lost']
    for (let round = 0; round < 60; round += 1) {
      const one = at.replicas[dice(3)]
      if (one) one.fate = fates[dice(4)] ?? 'answered'
      await at.pass(dice(6_000), 250)
    }
    for (const one of at.replicas) one.fate = 'answered'
    await at.pass(13_000)
    expect(at.owners()).toHaveLength(1)
  })
})

describe('a configured owner', () => {
  test('is the one that it says, and waits for leases that it gave before it started', async () => {
    const clock = new FakeClock()
    const ours = configuredOwnership('http://a', 'http://a', { clock, leaving: async () => {} })
    expect(ours.owner.kind).toBe('self')
    let isOver = false
    void ours.leasesEnded().then(() => {
      isOver = true
    })
    await setImmediate()
    expect(isOver).toBe(false)
    clock.advance(leaseGivenMs)
    await ours.leasesEnded()
    expect(isOver).toBe(true)
    expect(configuredOwnership('http://a', 'http://b', { clock, leaving: async () => {} }).owner).toEqual({
      kind: 'other',
      url: 'http://a',
    })
  })

  test('is none once it stops', async () => {
    const ours = configuredOwnership('http://a', 'http://a', {
      clock: new FakeClock(),
      leaving: async () => {},
    })
    const { owner } = ours
    await ours.handOver()
    expect(ours.owner.kind).toBe('none')
    expect(owner.kind === 'self' && owner.term.holds).toBe(false)
  })
})
