/** Passwords that callers bring: which of them are tried. */
import { describe, expect, test } from 'vitest'
import { applicantOf } from '../../../../src/upstream/auth/callers.ts'
import { Logins } from '../../../../src/upstream/auth/logins.ts'
import { failureOf as failed } from '../../../../src/upstream/transport/failure.ts'
import { FakeClock } from '../../../fake/clock.ts'
import { failureOf } from '../support.ts'

const subject = { upstream: 'a.test', kind: 'manifest', text: 'GET a' } as const
const login = (password: string, { username = 'ann', client = '192.0.2.1' } = {}) =>
  applicantOf({ username, password, client })

function rig() {
  const clock = new FakeClock()
  const logins = new Logins(clock)
  const tried: string[] = []
  return {
    clock,
    logins,
    tried,
    ask(password: string, who = {}, answer: Promise<unknown> = Promise.resolve('given')) {
      return logins.try(login(password, who), subject, () => {
        tried.push(password)
        return answer
      })
    },
    refuse(password: string, who = {}) {
      const answer = Promise.reject(failed(subject, 'credential-refused', 'no', { upstreamStatus: 401 }))
      answer.catch(() => {}) // it may not be asked for
      return failureOf(this.ask(password, who, answer))
    },
  }
}

describe('a password', () => {
  test('that was refused is not tried again for ten minutes, from wherever it comes', async () => {
    const at = rig()
    await at.refuse('wrong')
    await at.refuse('wrong')
    await at.refuse('wrong', { client: '192.0.2.2' })
    expect(at.tried).toEqual(['wrong'])
    at.clock.advance(600_000)
    await at.refuse('wrong')
    expect(at.tried).toEqual(['wrong', 'wrong'])
  })

  test('that is refused for another reason is tried each time', async () => {
    const at = rig()
    const denied = () => Promise.reject(failed(subject, 'denied', 'not for you', { upstreamStatus: 403 }))
    for (let times = 0; times < 5; times += 1) await failureOf(at.ask('right', {}, denied()))
    expect(at.tried).toHaveLength(5)
  })

  test('is the fourth of a user from one address: it is not tried, unless it was right before', async () => {
    const at = rig()
    await at.ask('right')
    at.logins.took(login('right'))
    for (const password of ['one', 'two', 'three', 'four']) await at.refuse(password)
    expect(at.tried).toEqual(['right', 'one', 'two', 'three'])
    expect(await at.ask('right')).toBe('given')
    expect(await at.ask('another', { username: 'ben' })).toBe('given')
    expect(await at.ask('another', { client: '192.0.2.2' })).toBe('given')
    expect((await at.refuse('new')).failure).toBe('credential-refused')
  })

  test('waits while three others of the user are being tried', async () => {
    const at = rig()
    const { promise, resolve } = Promise.withResolvers<unknown>()
    const trying = ['one', 'one', 'two', 'three'].map(password => at.ask(password, {}, promise))
    expect((await failureOf(at.ask('four'))).failure).toBe('rate-limited')
    resolve('given')
    await Promise.all(trying)
    expect(await at.ask('four')).toBe('given')
  })
})

test('what is remembered of a login tells neither its user nor its password', () => {
  const { fingerprint, user } = login('secret')
  expect(fingerprint).toMatch(/^[0-9a-f]{32}$/)
  expect(user).toMatch(/^[0-9a-f]{32}$/)
  expect(login('secret', { client: '192.0.2.2' }).fingerprint).toBe(fingerprint)
  expect(login('other').fingerprint).not.toBe(fingerprint)
})
