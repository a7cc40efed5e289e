/** One run for all who ask at the same time. */
import { describe, expect, test } from 'vitest'
import { Coalescer } from '../../../src/stream/coalesce.ts'

describe('coalescer', () => {
  test('those who ask during a run share it, the next one starts anew', async () => {
    const coalescer = new Coalescer<number>()
    let runs = 0
    const task = async () => ++runs
    const first = coalescer.run('a', task)
    const second = coalescer.run('a', task)
    const other = coalescer.run('b', task)
    expect([first.joined, second.joined, other.joined]).toEqual([false, true, false])
    expect(await Promise.all([first.result, second.result, other.result])).toEqual([1, 1, 2])
    const again = coalescer.run('a', task)
    expect(again.joined).toBe(false)
    expect(await again.result).toBe(3)
  })

  test('a failure reaches everybody who joined and nobody after', async () => {
    const coalescer = new Coalescer<number>()
    const { promise, reject } = Promise.withResolvers<number>()
    const runs = [coalescer.run('a', () => promise), coalescer.run('a', async () => 0)]
    reject(new Error('no'))
    for (const { result } of runs) await expect(result).rejects.toThrow('no')
    await expect(coalescer.run('a', async () => 7).result).resolves.toBe(7)
  })
})
