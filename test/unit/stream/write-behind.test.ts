/** Writing behind the receiving. */
import { expect, test } from 'vitest'
import { WriteBehind } from '../../../src/stream/write-behind.ts'
import { isSettled } from '../../support/is-settled.ts'

const chunk = (text: string) => Buffer.from(text)

/** Appends that end when the test says so. */
function heldAppends() {
  const batches: string[] = []
  const held: PromiseWithResolvers<void>[] = []
  return {
    batches,
    append: (batch: readonly Buffer[]) => {
      batches.push(Buffer.concat(batch).toString())
      const hold = Promise.withResolvers<void>()
      held.push(hold)
      return hold.promise
    },
    let: () => held.shift()?.resolve(),
    fail: (error: Error) => held.shift()?.reject(error),
  }
}

test('what comes while a batch is appended makes one batch, in order', async () => {
  const disk = heldAppends()
  const behind = new WriteBehind({ append: disk.append, maxPendingBytes: 100 })
  for (const text of ['a', 'b', 'c']) await behind.push(chunk(text))
  disk.let()
  const end = behind.end()
  expect(await isSettled(end)).toBe(false)
  disk.let()
  await end
  expect(disk.batches).toEqual(['a', 'bc'])
})

test('who pushes waits while too much is pending, and not for longer', async () => {
  const disk = heldAppends()
  const behind = new WriteBehind({ append: disk.append, maxPendingBytes: 4 })
  await behind.push(chunk('a'))
  await behind.push(chunk('bc'))
  const third = behind.push(chunk('de'))
  expect(await isSettled(third)).toBe(false)
  disk.let()
  expect(await isSettled(third)).toBe(true)
  expect(disk.batches).toEqual(['a', 'bcde'])
})

test('after a failure nothing is appended any more, and everybody hears of it', async () => {
  const disk = heldAppends()
  const behind = new WriteBehind({ append: disk.append, maxPendingBytes: 4 })
  await behind.push(chunk('a'))
  const waiting = behind.push(chunk('bcde'))
  disk.fail(new Error('full'))
  await expect(waiting).rejects.toThrow('full')
  await expect(behind.push(chunk('f'))).rejects.toThrow('full')
  await expect(behind.end()).rejects.toThrow('full')
  expect(disk.batches).toEqual(['a'])
})

test('an end after an end resolves, and without any bytes too', async () => {
  const behind = new WriteBehind({ append: async () => {}, maxPendingBytes: 4 })
  await behind.end()
  await behind.push(chunk('a'))
  await behind.end()
  await behind.end()
})
