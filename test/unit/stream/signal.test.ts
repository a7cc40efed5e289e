/** The broadcast. */
import { expect, test } from 'vitest'
import { Signal } from '../../../src/stream/signal.ts'

test('everybody who waits learns of the next change, and of that one only', async () => {
  const signal = new Signal()
  const heard: string[] = []
  const first = signal.next().then(() => heard.push('a'))
  const second = signal.next().then(() => heard.push('b'))
  signal.fire()
  const later = signal.next().then(() => heard.push('c'))
  await Promise.all([first, second])
  expect(heard).toEqual(['a', 'b'])
  signal.fire()
  await later
  expect(heard).toEqual(['a', 'b', 'c'])
})
