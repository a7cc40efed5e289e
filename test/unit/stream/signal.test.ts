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

test('who waits no longer hears why, and is forgotten', async () => {
  const signal = new Signal()
  const over = new AbortController()
  const waiting = signal.until(over.signal)
  expect(signal.awaited).toBe(1)
  over.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  expect(signal.awaited).toBe(0)
  await expect(signal.until(over.signal)).rejects.toThrow('enough')
  const heard = signal.until(new AbortController().signal)
  signal.fire()
  await heard
  expect(signal.awaited).toBe(0)
})
