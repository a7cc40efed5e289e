import { expect, test } from 'vitest'
import { type Attempt, Breaker } from '../../../../src/upstream/transport/breaker.ts'
import { HeldClock } from '../support.ts'

const origin = 'https://registry.test'

function enter(breaker: Breaker, at = origin): Attempt {
  const attempt = breaker.enter(at)
  if ('restingMs' in attempt) throw new Error(`resting for ${attempt.restingMs} ms`)
  return attempt
}

function slowFailure(breaker: Breaker, clock: HeldClock): void {
  const attempt = enter(breaker)
  clock.advance(1_000)
  attempt.failed('it is down')
}

test('a failure that took a second opens it at once, with the reason', () => {
  const clock = new HeldClock()
  const breaker = new Breaker(clock)
  slowFailure(breaker, clock)
  expect(breaker.enter(origin)).toEqual({ restingMs: 5_000, reason: 'it is down' })
  expect(breaker.enter('https://cdn.test')).not.toHaveProperty('restingMs')
})

test('quick failures open it after five in a row, and a success begins the count anew', () => {
  const breaker = new Breaker(new HeldClock())
  for (let at = 0; at < 4; at++) enter(breaker).failed('refused')
  enter(breaker).succeeded()
  for (let at = 0; at < 5; at++) enter(breaker).failed('refused')
  expect(breaker.enter(origin)).toHaveProperty('restingMs')
})

test('after the rest one attempt at a time may probe, and its success closes the breaker', () => {
  const clock = new HeldClock()
  const breaker = new Breaker(clock)
  slowFailure(breaker, clock)
  clock.advance(5_000)
  const probe = enter(breaker)
  expect(breaker.enter(origin)).toHaveProperty('restingMs')
  probe.succeeded()
  enter(breaker)
  enter(breaker)
})

test('a probe that was given up lets the next one in', () => {
  const clock = new HeldClock()
  const breaker = new Breaker(clock)
  slowFailure(breaker, clock)
  clock.advance(5_000)
  enter(breaker).abandoned()
  enter(breaker)
})

test('the rest doubles with each failed probe, up to thirty seconds', () => {
  const clock = new HeldClock()
  const breaker = new Breaker(clock)
  slowFailure(breaker, clock)
  const rests = [10_000, 20_000, 30_000, 30_000].map(() => {
    clock.advance(30_000)
    enter(breaker).failed('still down')
    const resting = breaker.enter(origin)
    return 'restingMs' in resting ? resting.restingMs : 0
  })
  expect(rests).toEqual([10_000, 20_000, 30_000, 30_000])
})

test('many failures at once count as one opening', () => {
  const clock = new HeldClock()
  const breaker = new Breaker(clock)
  const attempts = [enter(breaker), enter(breaker), enter(breaker)]
  clock.advance(2_000)
  for (const attempt of attempts) attempt.failed('down')
  expect(breaker.enter(origin)).toMatchObject({ restingMs: 5_000 })
})

test('tells which origins it leaves alone, until one of them answers', () => {
  const clock = new HeldClock()
  const breaker = new Breaker(clock)
  enter(breaker, 'https://cdn.test').failed('refused') // once is not enough
  slowFailure(breaker, clock)
  clock.advance(4_000)
  expect(breaker.resting()).toEqual([{ origin, reason: 'it is down', restingMs: 1_000 }])
  clock.advance(4_000)
  expect(breaker.resting()).toMatchObject([{ restingMs: 0 }])
  enter(breaker).succeeded()
  expect(breaker.resting()).toEqual([])
})
