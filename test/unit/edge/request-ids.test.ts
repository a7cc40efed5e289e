/** Names of requests. */
import { expect, test } from 'vitest'
import { nextRequestId } from '../../../src/edge/request-ids.ts'

test('every request has a UUID of its own', () => {
  const ids = Array.from({ length: 1000 }, nextRequestId)
  expect(new Set(ids).size).toBe(1000)
  for (const id of ids) expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
})
