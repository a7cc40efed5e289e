/** Lent buffers. */
import { expect, test } from 'vitest'
import { BufferPool } from '../../../src/stream/buffer-pool.ts'

test('no buffer is lent twice at once, and one given back is lent again', () => {
  const pool = new BufferPool({ size: 16, count: 2, smallSize: 4 })
  const first = pool.lend()
  const second = pool.lend()
  expect(first).not.toBe(second)
  pool.giveBack(first)
  expect(pool.lend()).toBe(first)
})

test('an empty pool answers with a small private buffer that it does not keep', () => {
  const pool = new BufferPool({ size: 16, count: 1, smallSize: 4 })
  const lent = pool.lend()
  const small = pool.lend()
  expect([lent.length, small.length]).toEqual([16, 4])
  pool.giveBack(small)
  expect(pool.lend()).not.toBe(small)
  pool.giveBack(lent)
  expect(pool.lend()).toBe(lent)
})
