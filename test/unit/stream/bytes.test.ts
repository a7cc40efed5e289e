/** Chunks given back before the collector would. */
import { expect, test } from 'vitest'
import { letGo } from '../../../src/stream/bytes.ts'

test('a chunk that has its memory alone gives it back', () => {
  const chunk = Buffer.from(new ArrayBuffer(65_536))
  letGo([chunk])
  expect(chunk.buffer.byteLength).toBe(0)
})

test('a chunk that shares its memory leaves it to the others', () => {
  const whole = Buffer.from(new ArrayBuffer(65_536)).fill(7)
  letGo([whole.subarray(0, 1000), Buffer.from(new SharedArrayBuffer(8)), Buffer.alloc(0)])
  expect(whole.every(byte => byte === 7)).toBe(true)
})
