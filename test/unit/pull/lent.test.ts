/** What other replicas are given. */
import { expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import type { PullDeps } from '../../../src/pull/deps.ts'
import { Flights } from '../../../src/pull/flights/flights.ts'
import { Lent } from '../../../src/pull/lent.ts'

test('a manifest that is on its way to the disk is given: the index tells of it already', async () => {
  const body = Buffer.from('{"schemaVersion":2}')
  const digest = digestOf(body)
  const nothing = async () => undefined
  const deps = { store: { open: nothing, size: nothing } } as unknown as PullDeps
  const fail = () => Promise.reject(new Error('nobody asks upstream'))
  const questions = { lend: fail, lendHead: fail, arriving: () => body }
  const lent = new Lent(deps, new Flights(deps), questions)
  expect(await lent.size(digest)).toBe(body.length)
  const found = await lent.whole(digest)
  const chunks = await found?.bytes.read(Buffer.alloc(100), 5)
  expect([found?.size, found?.isEntitled, Buffer.concat(chunks ?? [])]).toEqual([
    body.length,
    false,
    body.subarray(5),
  ])
  expect(await found?.bytes.read(Buffer.alloc(100), body.length)).toEqual([])
})
