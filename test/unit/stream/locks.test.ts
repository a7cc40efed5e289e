/** Locks by key: who may go at the same time, in which order, and that nobody waits for ever. */
import { setImmediate } from 'node:timers/promises'
import { array, assert, asyncProperty, boolean, constantFrom, record, uniqueArray } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type LockKeys, Locks } from '../../../src/stream/locks.ts'
import { runs } from '../../support/runs.ts'

/** A task that says when it began and ends when it is told to. */
function held(locks: Locks, keys: LockKeys) {
  let end = () => {}
  let hasBegun = false
  const ended = new Promise<void>(resolve => {
    end = resolve
  })
  const done = locks.hold(keys, () => {
    hasBegun = true
    return ended
  })
  return { done, end: () => end(), begun: () => hasBegun }
}

describe('locks', () => {
  test('one key has one exclusive holder at a time, and first come is first served', async () => {
    const locks = new Locks()
    const all = [1, 2, 3].map(() => held(locks, { exclusive: ['a'] }))
    for (const at of [0, 1, 2]) {
      await setImmediate()
      expect(all.map(({ begun }) => begun())).toEqual([0, 1, 2].map(other => other <= at))
      all[at]?.end()
    }
    await Promise.all(all.map(({ done }) => done))
    expect(locks.idle).toBe(true)
  })

  test('are settled when those who hold and those who wait have ended', async () => {
    const locks = new Locks()
    await locks.settled()
    const all = [1, 2].map(() => held(locks, { exclusive: ['a'] }))
    let isSettled = false
    const settled = locks.settled().then(() => {
      isSettled = true
    })
    for (const { done, end } of all) {
      expect(isSettled).toBe(false)
      end()
      await done
    }
    await settled
    expect(locks.idle).toBe(true)
  })

  test('other keys are not waited for', async () => {
    const locks = new Locks()
    const a = held(locks, { exclusive: ['a'] })
    await locks.hold({ exclusive: ['b'] }, async () => {})
    a.end()
    await a.done
  })

  test('those who share go together, and nobody who comes later passes one who waits alone', async () => {
    const locks = new Locks()
    const one = held(locks, { shared: ['a'] })
    const two = held(locks, { shared: ['a'] })
    const alone = held(locks, { exclusive: ['a'] })
    const later = held(locks, { shared: ['a'] })
    await setImmediate()
    expect([one, two, alone, later].map(({ begun }) => begun())).toEqual([true, true, false, false])
    one.end()
    await setImmediate()
    expect(alone.begun()).toBe(false)
    two.end()
    await setImmediate()
    expect([alone, later].map(({ begun }) => begun())).toEqual([true, false])
    alone.end()
    later.end()
    await later.done
    expect(locks.idle).toBe(true)
  })

  test('a key that is wanted both ways is exclusive, and a key wanted twice is held once', async () => {
    const locks = new Locks()
    const one = held(locks, { exclusive: ['a', 'a'], shared: ['a'] })
    const two = held(locks, { shared: ['a'] })
    await setImmediate()
    expect([one, two].map(({ begun }) => begun())).toEqual([true, false])
    one.end()
    two.end()
    await two.done
    expect(locks.idle).toBe(true)
  })

  test('a failure reaches the caller and gives the keys back', async () => {
    const locks = new Locks()
    const failing = locks.hold({ exclusive: ['a', 'b'], shared: ['c'] }, () =>
      Promise.reject(new Error('no')),
    )
    await expect(failing).rejects.toThrow('no')
    expect(locks.idle).toBe(true)
  })

  test('more keys are held within only if they sort after all that are held', async () => {
    const locks = new Locks()
    await locks.hold({ exclusive: ['b'], shared: ['d'] }, async deeper => {
      for (const key of ['a', 'b', 'c', 'd'])
        await expect(deeper({ exclusive: [key] }, async () => {})).rejects.toThrow('has to be held before')
      await deeper({ exclusive: ['e', 'f'] }, async deepest => {
        await expect(deepest({ shared: ['f'] }, async () => {})).rejects.toThrow('has to be held before')
        await deepest({ shared: [] }, async last => last({ shared: ['g'] }, async () => {}))
      })
    })
    expect(locks.idle).toBe(true)
  })

  test('any crowd gets through, and never two at once where one has to be alone', async () => {
    const key = constantFrom('a', 'b', 'c', 'd')
    const keys = record({ exclusive: uniqueArray(key), shared: uniqueArray(key), deeper: boolean() })
    await assert(
      asyncProperty(array(keys, { maxLength: 20 }), async crowd => {
        const locks = new Locks()
        const inside = { exclusive: new Map<string, number>(), shared: new Map<string, number>() }
        const enter = async ({ exclusive, shared }: Required<LockKeys>) => {
          const alone = exclusive.map(name => ['exclusive', name] as const)
          const together = shared
            .filter(name => !exclusive.includes(name))
            .map(name => ['shared', name] as const)
          const count = (by: number) => {
            for (const [how, name] of [...alone, ...together])
              inside[how].set(name, (inside[how].get(name) ?? 0) + by)
          }
          count(1)
          await setImmediate()
          for (const [, name] of alone) {
            expect(inside.exclusive.get(name)).toBe(1)
            expect(inside.shared.get(name) ?? 0).toBe(0)
          }
          count(-1)
        }
        await Promise.all(
          crowd.map(wanted =>
            locks.hold(wanted, async deeper => {
              await enter(wanted)
              if (wanted.deeper)
                await deeper({ exclusive: ['z'] }, async () => enter({ exclusive: ['z'], shared: [] }))
            }),
          ),
        )
        expect(locks.idle).toBe(true)
      }),
      runs(100),
    )
  })
})
