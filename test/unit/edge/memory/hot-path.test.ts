/** How much may leave memory at once. */
import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import type { Exchange } from '../../../../src/edge/exchange.ts'
import { HotAnswers, hotBytes } from '../../../../src/edge/memory/hot-answers.ts'
import { HotPath } from '../../../../src/edge/memory/hot-path.ts'
import { Lines } from '../../../../src/observe/lines.ts'
import { createLogger } from '../../../../src/observe/log.ts'
import { createMetrics } from '../../../../src/observe/metrics.ts'
import { hit } from '../../../../src/pull/provenance.ts'
import { systemClock as clock } from '../../../../src/runtime/clock.ts'

function rig() {
  const lines = new Lines(createLogger('silent'))
  const gate = { lets: () => ({ user: undefined }), ended: () => {} }
  const path = new HotPath({
    answers: new HotAnswers(64 * 2 ** 20),
    clock,
    metrics: createMetrics(),
    lines,
    gate,
  })
  const asks = (url: string, { inward = false } = {}) => {
    const response = new EventEmitter()
    const request = { method: 'GET', url, headers: {} }
    const facts = { sentBytes: 0, provenance: hit }
    return { request, response, inward, facts, path: url } as unknown as Exchange
  }
  const isWorthIt = (exchange: Exchange) => path.worthBytes(exchange, path.begin(exchange)) > hotBytes
  return { path, asks, isWorthIt }
}

test('slow clients of large answers hold only so many of them in memory', () => {
  const { path, asks, isWorthIt } = rig()
  const [, second] = [isWorthIt(asks('/blob')), asks('/blob')]
  expect(isWorthIt(second)).toBe(true)
  const content = { kind: 'buffer', buffer: Buffer.alloc(hotBytes + 1) } as const
  path.keep(second, { status: 200, headers: {}, content }, { ...path.begin(second), keys: [] })
  const slow = Array.from({ length: 100 }, () => asks('/blob'))
  const given = slow.filter(exchange => path.recall(exchange) !== undefined)
  expect(given.length).toBeLessThan(100)
  expect([isWorthIt(asks('/other')), isWorthIt(asks('/other'))]).toEqual([false, false])
  given[0]?.response.emit('close')
  expect(path.recall(asks('/blob'))).toBeDefined()
})

test('what another process passes on is kept there and not here', () => {
  const { asks, isWorthIt } = rig()
  const passedOn = () => isWorthIt(asks('/blob', { inward: true }))
  expect([passedOn(), passedOn(), passedOn()]).toEqual([false, false, false])
})
