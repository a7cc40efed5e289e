/** Lent buffers. */
import { expect, test } from 'vitest'
import { BufferPool } from '../../../src/stream/buffer-pool.ts'

test('no buffer is lent twice at once, and one given back is lent again', () => {
  const pool = new BufferPool([[16, 2]])
  const first = pool.lend(16)
  const second = pool.lend(16)
  expect(first).not.toBe(second)
  if (first) pool.giveBack(first)
  expect(pool.lend(16)).toBe(first)
})

test('who needs little gets a small one, as long as there is one', () => {
  const pool = new BufferPool([
    [4, 1],
    [16, 2],
  ])
  expect([3, 3, 100].map(bytes => pool.lend(bytes)?.length)).toEqual([4, 16, 16])
})

test('who needs much gets the largest that is left, and nothing when all are lent', () => {
  const pool = new BufferPool([
    [4, 1],
    [16, 1],
  ])
  const lent = [pool.lend(100), pool.lend(100)]
  expect(lent.map(buffer => buffer?.length)).toEqual([16, 4])
  expect(pool.lend(1)).toBeUndefined()
  for (const buffer of lent) if (buffer) pool.giveBack(buffer)
  expect(pool.lend(1)).toBe(lent[1])
})
