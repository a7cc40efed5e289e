/** Places: never more than there are, given in the order asked. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Semaphore } from '../../../src/stream/semaphore.ts'

describe('semaphore', () => {
  test('those who wait get their places in the order they came', async () => {
    const semaphore = new Semaphore(1)
    const release = await semaphore.acquire()
    const order: number[] = []
    const waiting = [1, 2, 3].map(async number => {
      const done = await semaphore.acquire()
      order.push(number)
      done()
    })
    release()
    await Promise.all(waiting)
    expect(order).toEqual([1, 2, 3])
    expect(semaphore.idle).toBe(true)
  })

  test('giving a place back twice gives back one', async () => {
    const semaphore = new Semaphore(1)
    const release = await semaphore.acquire()
    release()
    release()
    expect(semaphore.tryAcquire()).toBeDefined()
    expect(semaphore.tryAcquire()).toBeUndefined()
  })

  test('nobody slips in front of those who wait', async () => {
    const semaphore = new Semaphore(1)
    const release = await semaphore.acquire()
    const waiting = semaphore.acquire()
    release()
    expect(semaphore.tryAcquire()).toBeUndefined()
    ;(await waiting)()
    expect(semaphore.idle).toBe(true)
  })

  test('never are more places out than there are, and none is lost', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.nat({ max: 3 }), { maxLength: 30 }),
        async (count, turns) => {
          const semaphore = new Semaphore(count)
          let out = 0
          const work = async (turnsToWait: number) => {
            const release = await semaphore.acquire()
            out += 1
            expect(out).toBeLessThanOrEqual(count)
            for (let turn = 0; turn < turnsToWait; turn += 1) await Promise.resolve()
            out -= 1
            release()
          }
          await Promise.all(turns.map(work))
          expect(semaphore.idle).toBe(true)
        },
      ),
    )
  })
})
