/** What a replica believes to come from another one. */
import { describe, expect, test } from 'vitest'
import { Signatures, toleranceMs } from '../../../../src/cluster/peers/signature.ts'
import { FakeClock } from '../../../fake/clock.ts'

const here = 'http://10.0.0.1:8080'
const there = 'http://10.0.0.2:8080'
const request = { method: 'GET', path: '/_replica/blobs/sha256:ab?scope=x', speaksFor: '' }

function pair({ secret = 'secret', clock = new FakeClock() } = {}) {
  return {
    clock,
    sender: new Signatures({ secret: 'secret', advertise: here, clock }),
    receiver: new Signatures({ secret, advertise: there, clock }),
  }
}

describe('signatures', () => {
  test('a request is genuine once', () => {
    const { sender, receiver } = pair()
    const signature = sender.sign(there, request)
    expect(receiver.isGenuine(signature, request)).toBe(true)
    expect(receiver.isGenuine(signature, request)).toBe(false)
    expect(receiver.isGenuine(sender.sign(there, request), request)).toBe(true)
    expect(signature).not.toContain('secret')
  })

  test.each([
    ['method', { ...request, method: 'PUT' }],
    ['path', { ...request, path: '/_replica/blobs/sha256:cd?scope=x' }],
    ['query', { ...request, path: '/_replica/blobs/sha256:ab?scope=y' }],
    ['client', { ...request, speaksFor: '{"client":"127.0.0.1"}' }],
  ])('it speaks for no other %s', (_, other) => {
    const { sender, receiver } = pair()
    expect(receiver.isGenuine(sender.sign(there, request), other)).toBe(false)
  })

  test('one for another replica is not for us', () => {
    const { sender, receiver } = pair()
    expect(receiver.isGenuine(sender.sign('http://10.0.0.3:8080', request), request)).toBe(false)
  })

  test('who knows another secret is nobody', () => {
    const { sender, receiver } = pair({ secret: 'other' })
    expect(receiver.isGenuine(sender.sign(there, request), request)).toBe(false)
  })

  test.each([
    undefined,
    '',
    'v1',
    'v1 1 2 3',
    ['v1 x', 'v1 y'],
    `v1 1 ${'a'.repeat(16)} ${'b'.repeat(43)}`,
  ])('%j is no signature', header => {
    const { receiver } = pair()
    expect(receiver.isGenuine(header, request)).toBe(false)
  })

  test('one is good for a minute, and clocks may be a minute apart', () => {
    const { clock, sender, receiver } = pair()
    const inTime = sender.sign(there, request)
    const late = sender.sign(there, request)
    clock.advance(toleranceMs)
    expect(receiver.isGenuine(inTime, request)).toBe(true)
    clock.advance(1)
    expect(receiver.isGenuine(late, request)).toBe(false)
  })

  test.each([
    1,
    toleranceMs,
    2 * toleranceMs,
  ])('one of a clock that is ahead is not genuine again %i ms later', laterMs => {
    const clock = new FakeClock()
    const ahead = new FakeClock(clock.now() + toleranceMs)
    const sender = new Signatures({ secret: 'secret', advertise: here, clock: ahead })
    const receiver = new Signatures({ secret: 'secret', advertise: there, clock })
    clock.advance(1)
    const signature = sender.sign(there, request)
    expect(receiver.isGenuine(signature, request)).toBe(true)
    clock.advance(laterMs)
    expect(receiver.isGenuine(signature, request)).toBe(false)
  })
})
