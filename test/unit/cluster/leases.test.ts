/** Answers from memory by the owner's leave, and changes that wait for those who have it. */
import { setImmediate } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { Lease, type Told } from '../../../src/cluster/owner/lease.ts'
import { Leaseholders, type Session } from '../../../src/cluster/owner/leaseholders.ts'
import { leaseGivenMs, leaseMs } from '../../../src/cluster/owner/ownership.ts'
import type { RepositoryName } from '../../../src/oci/name.ts'
import type { RepositoryKey } from '../../../src/store/layout.ts'
import { FakeClock } from '../../fake/clock.ts'
import { isSettled } from '../../support/is-settled.ts'

const key: RepositoryKey = { registry: '_local', repository: 'local/app' as RepositoryName }

function remembering() {
  const changing: string[] = []
  return {
    changing,
    remembered: {
      changing: ({ repository }: RepositoryKey) => void changing.push(repository),
      changed: ({ repository }: RepositoryKey) => void changing.splice(changing.indexOf(repository), 1),
    },
  }
}

/** An owner and a leaseholder with a wire between them that the test may hold. */
function scene() {
  const clock = new FakeClock()
  const term = { holds: true }
  const holders = new Leaseholders(clock)
  const wire: Told[] = []
  const { changing, remembered } = remembering()
  const lease = new Lease({ clock, remembered })
  let isOpen = true
  const holder = {
    id: 'one',
    turn: 2,
    tell: (told: Told) => void wire.push(told),
    close: () => {
      isOpen = false
    },
  }
  const session: Session = holders.add(holder, term)
  return {
    clock,
    term,
    holders,
    holder,
    session,
    lease,
    changing,
    wire,
    isOpen: () => isOpen,
    /** What is on its way arrives; its words go back. */
    arrive() {
      for (const told of wire.splice(0)) {
        const done = lease.take(told)
        if (done !== undefined) session.done(done)
      }
    },
    ask() {
      session.ask(lease.ask())
    },
  }
}

describe('a lease', () => {
  test('holds for its time from the moment it was asked for, whenever the answer comes', () => {
    const at = scene()
    expect(at.lease.holds).toBe(false)
    at.ask()
    at.clock.advance(500)
    at.arrive()
    expect(at.lease.holds).toBe(true)
    at.clock.advance(leaseMs - 501)
    expect(at.lease.holds).toBe(true)
    at.clock.advance(1)
    expect(at.lease.holds).toBe(false)
    at.ask()
    at.arrive()
    expect(at.lease.holds).toBe(true)
  })

  test('an answer to an older question does not lengthen it', () => {
    const at = scene()
    const first = at.lease.ask()
    at.clock.advance(1_500)
    at.session.ask(first)
    at.arrive()
    at.clock.advance(600)
    expect(at.lease.holds).toBe(false)
  })

  test('ends for good with its connection, and gives back what it held', () => {
    const at = scene()
    at.ask()
    void at.holders.begin(key)
    at.arrive()
    expect(at.changing).toEqual([key.repository])
    at.lease.end()
    expect(at.changing).toEqual([])
    expect(at.lease.holds).toBe(false)
  })
})

describe('a change', () => {
  test('waits for the word of who has a lease', async () => {
    const at = scene()
    at.ask()
    at.arrive()
    const begun = at.holders.begin(key)
    expect(await isSettled(begun)).toBe(false)
    at.arrive()
    expect(at.changing).toEqual([key.repository])
    await begun
    at.holders.end(key)
    at.arrive()
    expect(at.changing).toEqual([])
  })

  test('waits no longer than the lease lasts by the clock of the owner, which is longer than by the other', async () => {
    const at = scene()
    at.ask()
    at.arrive()
    at.clock.advance(1_000)
    const begun = at.holders.begin(key)
    at.clock.advance(leaseMs - 1_000)
    await setImmediate()
    expect(at.lease.holds).toBe(false)
    expect(await isSettled(begun)).toBe(false)
    at.clock.advance(leaseGivenMs - leaseMs)
    await begun
  })

  test('is told to who has no lease at the moment, and waits for nobody then', async () => {
    const at = scene()
    await at.holders.begin(key)
    at.ask() // while it owes a word it gets none
    expect(at.wire.map(({ kind }) => kind)).toEqual(['known', 'changing'])
    at.arrive()
    at.ask()
    at.arrive()
    expect(at.lease.holds).toBe(true)
    expect(at.changing).toEqual([key.repository])
  })

  test('waits for who is gone and may not know it', async () => {
    const at = scene()
    at.ask()
    at.arrive()
    at.session.close()
    expect(at.isOpen()).toBe(false)
    const begun = at.holders.begin(key)
    at.clock.advance(leaseGivenMs - 1)
    expect(await isSettled(begun)).toBe(false)
    at.clock.advance(1)
    await begun
  })

  test('does not wait for who has said that it leaves, or has come anew', async () => {
    const at = scene()
    at.ask()
    at.session.leave()
    await at.holders.begin(key)
    const again = scene()
    again.ask()
    again.session.close()
    again.holders.add({ ...again.holder, turn: 3 }, again.term)
    await again.holders.begin(key)
    again.arrive()
    expect(again.changing).toEqual([key.repository])
  })

  test.each([
    true,
    false,
  ])('waits for who has a lease, though a connection that it gave up before comes late (still connected: %s)', async isConnected => {
    const at = scene()
    at.ask()
    at.arrive()
    if (!isConnected) at.session.close()
    at.holders.add({ ...at.holder, turn: 1, tell: () => {} }, at.term)
    expect(at.isOpen()).toBe(isConnected)
    const begun = at.holders.begin(key)
    expect(await isSettled(begun)).toBe(false)
    expect(at.lease.holds).toBe(true)
    at.clock.advance(leaseGivenMs)
    await begun
  })

  test('that is under way is told to who comes', () => {
    const at = scene()
    void at.holders.begin(key)
    void at.holders.begin(key)
    at.wire.splice(0)
    at.holders.add({ ...at.holder, turn: 3 }, at.term)
    at.arrive()
    expect(at.changing).toHaveLength(2)
    at.holders.end(key)
    at.holders.end(key)
    at.arrive()
    expect(at.changing).toHaveLength(0)
  })
})

describe('an owner', () => {
  test('gives no leave when its term is over', () => {
    const at = scene()
    at.term.holds = false
    at.ask()
    expect(at.isOpen()).toBe(false)
    at.arrive()
    expect(at.lease.holds).toBe(false)
  })

  test('that leaves has every lease ended first', async () => {
    const at = scene()
    at.ask()
    at.arrive()
    const dismissed = at.holders.dismiss()
    expect(await isSettled(dismissed)).toBe(false)
    at.arrive()
    await dismissed
    expect(at.lease.holds).toBe(false)
    expect(at.isOpen()).toBe(false)
  })

  test('that leaves waits for the end of a lease where no word comes', async () => {
    const at = scene()
    at.ask()
    at.arrive()
    const dismissed = at.holders.dismiss()
    at.clock.advance(leaseGivenMs)
    await dismissed
    expect(at.lease.holds).toBe(false)
  })
})
