import { expect, test } from 'vitest'
import type { Standing } from '../../../../src/cluster/claims.ts'
import { Following } from '../../../../src/cluster/peers/following.ts'
import { PeerError, type PeerFailure } from '../../../../src/cluster/peers/peer-error.ts'

const first: Standing = { isOurs: false, holder: 'http://one', token: '1' }
const second: Standing = { isOurs: false, holder: 'http://two', token: '2' }

function followed({ patienceMs = 60_000 } = {}) {
  const following = new Following({ maxFailures: 3, patienceMs })
  following.follow(first)
  const fail = (failure: PeerFailure, times = 1, told = {}) => {
    for (let count = 0; count < times; count += 1) following.failed(new PeerError(failure, 'test'), told)
  }
  return { following, fail }
}

test('a claim whose holder fails too often may be taken over, once', () => {
  const { following, fail } = followed()
  fail('broken', 2)
  expect(following.takeDead()).toBeUndefined()
  fail('refused')
  expect(following.takeDead()).toBe(first)
  expect(following.takeDead()).toBeUndefined()
  expect(following.isOver).toBe(false)
})

test.each(['dead', 'absent'] as const)('a claim whose holder is %s may be taken over at once', failure => {
  const { following, fail } = followed()
  fail(failure)
  expect(following.takeDead()).toBe(first)
})

test('after a second holder that fails nobody is followed', () => {
  const { following, fail } = followed()
  fail('broken', 3)
  following.follow(second)
  fail('broken', 3)
  expect(following.isOver).toBe(true)
})

test('whoever gave something is counted anew', () => {
  const { following, fail } = followed()
  fail('broken', 5)
  following.takeDead()
  fail('broken', 1, { progressed: true })
  fail('broken', 5)
  expect(following.isOver).toBe(false)
})

test('silence takes no claim over, and ends with the patience', () => {
  const patient = followed()
  patient.fail('silent', 10)
  expect(patient.following.takeDead()).toBeUndefined()
  expect(patient.following.isOver).toBe(false)
  const impatient = followed({ patienceMs: 0 })
  impatient.fail('silent')
  expect(impatient.following.isOver).toBe(true)
})
