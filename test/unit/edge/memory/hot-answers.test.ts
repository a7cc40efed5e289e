/** Which answers are kept. */
import type { IncomingMessage } from 'node:http'
import { expect, test } from 'vitest'
import { HotAnswers, hotBytes, targetOf } from '../../../../src/edge/memory/hot-answers.ts'
import { Kept } from '../../../../src/edge/memory/kept.ts'
import { parseRepositoryName } from '../../../../src/oci/name.ts'

const key = { registry: 'docker.io', repository: parseRepositoryName('library/alpine') }
const other = { registry: 'docker.io', repository: parseRepositoryName('library/busybox') }
const hour = 3_600_000

function answer(bytes: number, until = Number.POSITIVE_INFINITY) {
  return { keys: [key], until, bytes }
}

test('a large answer is worth being read whole at the second time, and for nobody else then', () => {
  const answers = new HotAnswers(1_000_000)
  const worth = ['/a', '/a', '/b', '/a', '/b', '/a'].map(target => answers.worthBytes(target) > hotBytes)
  expect(worth).toEqual([false, true, false, false, true, false])
})

test('an answer ends with its freshness, with an hour, and with a change of its repository', () => {
  const kept = new Kept<ReturnType<typeof answer>>(1_000_000)
  const whole = answer(10)
  kept.keep('/fresh', answer(10, 100), 0)
  kept.keep('/whole', whole, 0)
  expect(kept.find('/fresh', 99)).toBeDefined()
  expect(kept.find('/fresh', 100)).toBeUndefined()
  expect(kept.find('/whole', hour - 1)).toBe(whole)
  expect(kept.find('/whole', hour)).toBeUndefined()
  kept.keep('/whole', whole, 0)
  kept.drop(other)
  expect(kept.find('/whole', 1)).toBe(whole)
  kept.drop(key)
  expect(kept.find('/whole', 1)).toBeUndefined()
})

test('the least recently used gives way, and what is larger than everything is not kept', () => {
  const kept = new Kept<ReturnType<typeof answer>>(10_000)
  kept.keep('/huge', answer(10_000), 0)
  expect(kept.find('/huge', 1)).toBeUndefined()
  for (const target of ['/1', '/2', '/3', '/4']) kept.keep(target, answer(1000), 0)
  expect(['/1', '/2', '/3', '/4'].map(target => kept.find(target, 1) !== undefined)).toEqual([
    false,
    true,
    true,
    true,
  ])
})

test('any number of bytes is a bound', () => {
  expect(() => new HotAnswers(20_001)).not.toThrow()
})

test('what a target takes counts, and one that no name needs is not kept', () => {
  const kept = new Kept<ReturnType<typeof answer>>(10_000)
  kept.keep(`/${'x'.repeat(9_000)}`, answer(1), 0)
  expect(kept.find(`/${'x'.repeat(9_000)}`, 1)).toBeUndefined()
  const request = (url: string) => ({ method: 'GET', url, headers: {} }) as IncomingMessage
  expect(targetOf(request('/v2/app/manifests/v1'))).toBe('/v2/app/manifests/v1')
  expect(targetOf(request(`/v2/app/manifests/v1?${'x'.repeat(2_000)}`))).toBeUndefined()
})
