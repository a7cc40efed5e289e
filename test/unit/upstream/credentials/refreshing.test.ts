/** When what expires is fetched, by whom it is waited for, and what happens when it cannot be had. */
import { expect, test, vi } from 'vitest'
import { CredentialUnavailable } from '../../../../src/upstream/credentials/credential.ts'
import { Refreshing } from '../../../../src/upstream/credentials/refreshing.ts'
import { FakeClock } from '../../../fake/clock.ts'
import { refusalOf } from './support.ts'

const minute = 60_000

function setting({ lifeMs = 60 * minute, aheadMs }: { lifeMs?: number; aheadMs?: number } = {}) {
  const clock = new FakeClock()
  const warned: string[] = []
  let fetches = 0
  const state: { failure: Error | undefined } = { failure: undefined }
  const fetch = async () => {
    fetches += 1
    if (state.failure) throw state.failure
    return { value: { number: fetches }, lifeMs, ...(aheadMs === undefined ? {} : { aheadMs }) }
  }
  const log = { warn: (_: object, message: string) => warned.push(message) }
  const held = new Refreshing(fetch, { clock, log, upstream: 'hub.test' })
  return { clock, warned, state, held, fetches: () => fetches, number: async () => (await held.get()).number }
}

test('all who wait share one fetch, and those who come later its result', async () => {
  const { held, fetches } = setting()
  const all = await Promise.all([held.get(), held.get(), held.get()])
  expect(new Set([...all, await held.get()]).size).toBe(1)
  expect(fetches()).toBe(1)
})

test.each([
  ['5 minutes before its end', {}, 55],
  ['not before half of its life', { lifeMs: 6 * minute }, 3],
  ['as long before its end as it says', { lifeMs: 12 * 60 * minute, aheadMs: 360 * minute }, 360],
])('it is renewed behind a use, %s', async (_, lease, minutes) => {
  const { clock, held, fetches, number } = setting(lease)
  await held.get()
  clock.advance(minutes * minute - 1)
  expect(await number()).toBe(1)
  expect(fetches()).toBe(1)
  clock.advance(1)
  expect(await number()).toBe(1)
  await vi.waitFor(async () => expect(await number()).toBe(2), { timeout: 5_000 })
})

test('the old one is used to its end while it cannot be renewed, which is told once', async () => {
  const { clock, held, state, warned, number, fetches } = setting()
  await held.get()
  state.failure = new CredentialUnavailable('sts.test answered 503')
  clock.advance(56 * minute)
  expect(await number()).toBe(1)
  await vi.waitFor(
    () =>
      expect(warned).toEqual([
        'the credential for hub.test could not be renewed, the present one is good for 4 min: sts.test answered 503',
      ]),
    { timeout: 5_000 },
  )
  expect(await number()).toBe(1)
  expect(fetches()).toBe(2)
  clock.advance(minute)
  expect(await number()).toBe(1)
  expect(fetches()).toBe(3)
  clock.advance(4 * minute)
  expect(await refusalOf(held.get())).toBe('sts.test answered 503')
  expect(warned).toHaveLength(1)
  state.failure = undefined
  clock.advance(minute)
  expect(await number()).toBe(5)
})

test('a failure is remembered, longer each time up to a minute', async () => {
  const { clock, held, state, fetches } = setting()
  state.failure = new CredentialUnavailable('no')
  for (const waitMs of [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
    const before = fetches()
    await refusalOf(held.get())
    expect(fetches()).toBe(before + 1)
    clock.advance(waitMs - 1)
    await refusalOf(held.get())
    expect(fetches()).toBe(before + 1)
    clock.advance(1)
  }
})

test('what was refused is fetched anew once, but not when it was fetched just now', async () => {
  const { clock, held, fetches } = setting()
  const first = await held.get()
  expect(held.isDue).toBe(false)
  expect(await held.renew(first)).toBeUndefined()
  clock.advance(minute)
  expect(held.isDue).toBe(true)
  const renewed = await Promise.all([held.renew(first), held.renew(first)])
  expect(renewed).toEqual([{ number: 2 }, { number: 2 }])
  expect(await held.renew(first)).toEqual({ number: 2 })
  expect(fetches()).toBe(2)
})

test('a life that a wrong clock made up does not have it fetched with each request', async () => {
  for (const lifeMs of [-5 * minute, 0, Number.NaN]) {
    const { clock, held, fetches } = setting({ lifeMs })
    await held.get()
    clock.advance(29_000)
    await held.get()
    expect(fetches()).toBe(1)
  }
})

test('the words of an error that is not ours are not passed on', async () => {
  const { held, state } = setting()
  state.failure = new SyntaxError('Unexpected token in "s3cret"')
  expect(await refusalOf(held.get())).toBe('unexpected answer')
})
