import { setImmediate as settled } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { LoginFailures } from '../../../src/access/failures.ts'
import type { LoginLimits, RateOptions } from '../../../src/access/options.ts'
import { Rates } from '../../../src/access/rates.ts'
import { MemoryCounts, type SharedCounts } from '../../../src/cluster/counts.ts'
import { RegistryError } from '../../../src/oci/errors.ts'
import { FakeClock } from '../../fake/clock.ts'

const windowMs = 300_000
const limits: LoginLimits = { perAddress: 5, perUser: 12, windowMs }

/** Processes that share counts; `tell` moves time until they have told each other. */
function stand({
  of = limits,
  rates = { perAddress: 0, perUser: 0 },
  count = 1,
}: {
  of?: LoginLimits
  rates?: RateOptions
  count?: number
} = {}) {
  const clock = new FakeClock()
  const hub = new MemoryCounts(() => clock.monotonic())
  const exchanges: ReadonlyMap<string, number>[] = []
  const shared: SharedCounts = {
    exchange: (increments, lifeMs) => {
      exchanges.push(increments)
      return hub.exchange(increments, lifeMs)
    },
  }
  const deps = { clock, shared: count > 1 ? shared : undefined }
  const processes = Array.from({ length: count }, () => ({
    failures: new LoginFailures(of, deps),
    rates: new Rates(rates, deps),
  }))
  onTestFinished(() => {
    for (const each of processes) {
      each.failures.close()
      each.rates.close()
    }
  })
  const [first, second] = processes
  if (!first) throw new Error('at least one process')
  const tell = async () => {
    await settled()
    clock.advance(250)
    await settled()
  }
  return { ...first, other: second ?? first, clock, exchanges, tell }
}

function isRefused(failures: LoginFailures, client: string, user: string): boolean {
  return retryAfterMs(failures, client, user) !== undefined
}

function retryAfterMs(failures: LoginFailures, client: string, user: string): number | undefined {
  try {
    failures.assertMayTry({ client, user })
    return undefined
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    expect(error).toMatchObject({ code: 'TOOMANYREQUESTS', status: 429 })
    return error.retryAfterMs
  }
}

function fail(failures: LoginFailures, client: string, user: string, times = 1) {
  for (let nth = 0; nth < times; nth++) failures.failed({ client, user })
}

describe('failed logins', () => {
  test('of an address are limited, whoever it tries to be', () => {
    const { failures } = stand()
    for (let nth = 0; nth < 5; nth++) {
      expect(isRefused(failures, '192.0.2.1', 'anybody')).toBe(false)
      fail(failures, '192.0.2.1', `user${nth}`)
    }
    expect(isRefused(failures, '192.0.2.1', 'anybody')).toBe(true)
    expect(isRefused(failures, '::ffff:192.0.2.1', 'anybody')).toBe(true)
    expect(isRefused(failures, '192.0.2.2', 'anybody')).toBe(false)
  })

  test('of IPv6 are counted by the network of 64 bits', () => {
    const { failures } = stand()
    for (let nth = 1; nth <= 5; nth++) fail(failures, `2001:db8:1:2:${nth}::1`, 'alice')
    expect(isRefused(failures, '2001:db8:1:2:ffff::', 'alice')).toBe(true)
    expect(isRefused(failures, '2001:db8:1:3::1', 'alice')).toBe(false)
  })

  test('are forgotten little by little; the refusal says when the next is let in', () => {
    const { failures, clock } = stand()
    clock.advance(100_000)
    fail(failures, '192.0.2.1', 'alice', 5)
    const ms = retryAfterMs(failures, '192.0.2.1', 'alice') ?? 0
    expect(ms).toBeGreaterThan(0)
    expect(ms).toBeLessThanOrEqual(windowMs)
    clock.advance(ms - 2)
    expect(isRefused(failures, '192.0.2.1', 'alice')).toBe(true)
    clock.advance(2)
    expect(isRefused(failures, '192.0.2.1', 'alice')).toBe(false)
    fail(failures, '192.0.2.1', 'alice')
    const next = retryAfterMs(failures, '192.0.2.1', 'alice') ?? 0
    expect(next).toBeLessThanOrEqual(windowMs / 5 + 1)
    clock.advance(next)
    expect(isRefused(failures, '192.0.2.1', 'alice')).toBe(false)
    clock.advance(2 * windowMs)
    fail(failures, '192.0.2.1', 'alice', 4)
    expect(isRefused(failures, '192.0.2.1', 'alice')).toBe(false)
  })

  test('as one user from many addresses leave each address three, and lock nobody out', () => {
    const { failures } = stand()
    for (let nth = 0; nth < 4; nth++) fail(failures, `198.51.100.${nth}`, 'alice', 3)
    expect(isRefused(failures, '198.51.100.0', 'alice')).toBe(true)
    expect(isRefused(failures, '198.51.100.0', 'bob')).toBe(false)
    fail(failures, '203.0.113.1', 'alice', 2)
    expect(isRefused(failures, '203.0.113.1', 'alice')).toBe(false)
    fail(failures, '203.0.113.1', 'alice')
    expect(isRefused(failures, '203.0.113.1', 'alice')).toBe(true)
  })

  test('of neighbours do not count for who has logged in from there, whose own do', () => {
    const { failures, clock } = stand()
    failures.succeeded({ client: '192.0.2.1', user: 'alice' })
    fail(failures, '192.0.2.1', 'bob', 5)
    expect(isRefused(failures, '192.0.2.1', 'bob')).toBe(true)
    expect(isRefused(failures, '192.0.2.1', 'alice')).toBe(false)
    fail(failures, '192.0.2.1', 'alice', 5)
    expect(isRefused(failures, '192.0.2.1', 'alice')).toBe(true)
    clock.advance(2 * windowMs)
    expect(isRefused(failures, '192.0.2.1', 'alice')).toBe(false)
    expect(failures.isKnown({ client: '192.0.2.1', user: 'alice' })).toBe(true)
    clock.advance(2 * 86_400_000)
    expect(failures.isKnown({ client: '192.0.2.1', user: 'alice' })).toBe(false)
  })

  test('have no limit where it is 0', () => {
    const { failures } = stand({ of: { perAddress: 0, perUser: 0, windowMs } })
    fail(failures, '192.0.2.1', 'alice', 1000)
    expect(isRefused(failures, '192.0.2.1', 'alice')).toBe(false)
  })

  test('have the limit that is configured now', () => {
    const { failures } = stand()
    fail(failures, '192.0.2.1', 'alice', 3)
    failures.update({ ...limits, perAddress: 3 })
    expect(isRefused(failures, '192.0.2.1', 'alice')).toBe(true)
    failures.update({ ...limits, perAddress: 3, windowMs: 1000 })
    expect(isRefused(failures, '192.0.2.1', 'alice')).toBe(false)
  })

  test('of several processes are counted together, and nothing is said where nothing happens', async () => {
    const { failures, other, tell, exchanges, clock } = stand({ count: 2 })
    fail(failures, '192.0.2.1', 'alice', 4)
    await tell()
    fail(other.failures, '192.0.2.1', 'bob')
    expect(isRefused(other.failures, '192.0.2.1', 'bob')).toBe(false)
    await tell()
    expect(isRefused(other.failures, '192.0.2.1', 'bob')).toBe(true)
    const before = exchanges.length
    clock.advance(windowMs / 2)
    expect(clock.sleeping).toBe(0)
    expect(exchanges.length).toBe(before)
    const said = JSON.stringify(exchanges.map(each => [...each]))
    expect(said).not.toMatch(/alice|bob|192\.0\.2/)
  })

  test('let in who has logged in at another process', async () => {
    const { failures, other, tell } = stand({ count: 2 })
    failures.succeeded({ client: '192.0.2.1', user: 'alice' })
    fail(other.failures, '192.0.2.1', 'mallory', 5)
    await tell()
    expect(isRefused(other.failures, '192.0.2.1', 'alice')).toBe(true)
    await tell()
    expect(isRefused(other.failures, '192.0.2.1', 'alice')).toBe(false)
    expect(isRefused(other.failures, '192.0.2.1', 'mallory')).toBe(true)
  })
})

describe('requests', () => {
  test('of an address are limited over a minute', () => {
    const { rates, clock } = stand({ rates: { perAddress: 60, perUser: 0 } })
    const take = (client = '192.0.2.1') => rates.take({ client, user: '' })
    for (let nth = 0; nth < 60; nth++) expect(take()).toBeUndefined()
    const wait = take() ?? 0
    expect(wait).toBeGreaterThan(0)
    expect(take('192.0.2.2')).toBeUndefined()
    clock.advance(wait - 2)
    expect(take()).toBeGreaterThan(0)
    clock.advance(2)
    expect(take()).toBeUndefined()
    expect(take()).toBeLessThanOrEqual(1001)
  })

  test('of a user are limited wherever it is', () => {
    const { rates } = stand({ rates: { perAddress: 0, perUser: 10 } })
    const take = (nth: number, user: string) => rates.take({ client: `192.0.2.${nth}`, user })
    for (let nth = 0; nth < 10; nth++) expect(take(nth, 'alice')).toBeUndefined()
    expect(take(10, 'alice')).toBeGreaterThan(0)
    expect(take(10, 'bob')).toBeUndefined()
    expect(take(10, '')).toBeUndefined()
    rates.update({ perAddress: 0, perUser: 0 })
    expect(take(10, 'alice')).toBeUndefined()
  })

  test('that are refused count for nobody', () => {
    const { rates } = stand({ rates: { perAddress: 2, perUser: 1 } })
    expect(rates.take({ client: '192.0.2.1', user: 'alice' })).toBeUndefined()
    expect(rates.take({ client: '192.0.2.1', user: 'alice' })).toBeGreaterThan(0)
    expect(rates.take({ client: '192.0.2.1', user: 'bob' })).toBeUndefined()
  })

  test('of several processes are counted together', async () => {
    const { rates, other, tell } = stand({ rates: { perAddress: 10, perUser: 0 }, count: 2 })
    const who = { client: '192.0.2.1', user: '' }
    for (let nth = 0; nth < 6; nth++) rates.take(who)
    for (let nth = 0; nth < 4; nth++) other.rates.take(who)
    await tell()
    other.rates.take(who)
    await tell()
    expect(other.rates.take(who)).toBeGreaterThan(0)
  })

  test('are counted here alone while the others do not answer', async () => {
    const clock = new FakeClock()
    const shared: SharedCounts = { exchange: () => Promise.reject(new Error('down')) }
    const rates = new Rates({ perAddress: 2, perUser: 0 }, { clock, shared })
    onTestFinished(() => rates.close())
    const who = { client: '192.0.2.1', user: '' }
    expect(rates.take(who)).toBeUndefined()
    await settled()
    clock.advance(250)
    await settled()
    expect(rates.take(who)).toBeUndefined()
    expect(rates.take(who)).toBeGreaterThan(0)
  })
})
