/** The checker of histories, on some that are known to be right and some that are known to be wrong. */
import { describe, expect, test } from 'vitest'
import { History, type Operation, unexplained } from '../../support/linearizable.ts'

const read = (value: string | undefined, calledAt: number, returnedAt: number): Operation => ({
  kind: 'read',
  value,
  calledAt,
  returnedAt,
})
const write = (value: string | undefined, calledAt: number, returnedAt?: number): Operation => ({
  kind: 'write',
  value,
  calledAt,
  returnedAt,
})

describe('a history that could have happened', () => {
  test.each<[string, Operation[]]>([
    ['nothing', []],
    ['a register that is empty', [read(undefined, 1, 2)]],
    ['one after the other', [write('a', 1, 2), read('a', 3, 4), write('b', 5, 6), read('b', 7, 8)]],
    ['a read beside a write sees the old', [write('a', 1, 2), write('b', 3, 6), read('a', 4, 5)]],
    ['a read beside a write sees the new', [write('a', 1, 2), write('b', 3, 6), read('b', 4, 5)]],
    ['two writes at once, in either order', [write('a', 1, 4), write('b', 2, 3), read('a', 5, 6)]],
    ['an unknown write that took effect late', [write('a', 1), read(undefined, 2, 3), read('a', 4, 5)]],
    ['an unknown write that never did', [write('a', 1), read(undefined, 2, 3), read(undefined, 4, 5)]],
    ['a delete', [write('a', 1, 2), write(undefined, 3, 4), read(undefined, 5, 6)]],
    ['an unknown delete', [write('a', 1, 2), write(undefined, 3), read('a', 4, 5), read(undefined, 6, 7)]],
  ])('%s', (_, operations) => {
    expect(unexplained(operations)).toBeUndefined()
  })
})

describe('a history that could not', () => {
  test.each<[string, Operation[]]>([
    ['an old value after an acknowledged write', [write('a', 1, 2), write('b', 3, 4), read('a', 5, 6)]],
    ['an acknowledged write that vanished', [write('a', 1, 2), read(undefined, 3, 4)]],
    ['what nobody wrote', [read('a', 1, 2)]],
    ['a value before anybody wrote it', [read('a', 1, 2), write('a', 3, 4)]],
    ['the new and then the old', [write('a', 1, 2), write('b', 3, 10), read('b', 4, 5), read('a', 6, 7)]],
    [
      'two readers that disagree about the order',
      [write('a', 1, 10), write('b', 2, 9), read('a', 11, 12), read('b', 13, 14)],
    ],
    ['a deleted value that comes back', [write('a', 1, 2), write(undefined, 3, 4), read('a', 5, 6)]],
    [
      'an unknown write that came and went',
      [write('a', 1, 2), write('b', 3), read('b', 4, 5), read('a', 6, 7)],
    ],
  ])('%s', (_, operations) => {
    expect(unexplained(operations)).toBeDefined()
  })
})

test('a long history of many clients is told in time, also when it is wrong', () => {
  const history = new History()
  let value: string | undefined
  let state = 1
  const dice = (sides: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * sides)
  }
  const open: { end: () => void }[] = []
  for (let step = 0; step < 1_000; step += 1) {
    if (open.length >= 6) open.splice(dice(open.length), 1)[0]?.end()
    const calledAt = history.call()
    if (dice(3) === 0) {
      const next = `v${step}`
      const isUnknown = dice(10) === 0
      value = next
      open.push({
        end: () =>
          isUnknown ? history.recordUnknown(next, calledAt) : history.record('write', next, calledAt),
      })
    } else {
      const found = value
      open.push({ end: () => history.record('read', found, calledAt) })
    }
  }
  for (const { end } of open) end()
  expect(unexplained(history.operations)).toBeUndefined()
  const last = history.operations.findLast(({ kind }) => kind === 'write')
  history.record('read', 'v0', history.call())
  expect(last).toBeDefined()
  expect(unexplained(history.operations)).toBeDefined()
})
