/** Small bodies that come slowly. */
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { peekText, readBody } from '../../../../src/upstream/objects/body.ts'
import type { HttpAnswer } from '../../../../src/upstream/transport/transport.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
afterEach(() => void vi.useRealTimers())

test('the text of an error that only trickles is waited for no longer than two seconds', async () => {
  const body = new PassThrough()
  body.write('toomanyrequests')
  const answer = { status: 429, headers: {}, body, url: new URL('http://hub.test') } as unknown as HttpAnswer
  const text = peekText(answer)
  await vi.advanceTimersByTimeAsync(2_000)
  expect(await text).toBe('toomanyrequests')
  expect(body.destroyed).toBe(true)
})

test('a manifest that only trickles, however lively, is given up after five minutes', async () => {
  const body = new PassThrough()
  const answer = { status: 200, headers: {}, body, url: new URL('http://hub.test') } as unknown as HttpAnswer
  const subject = { upstream: 'hub.test', kind: 'manifest', text: 'GET app manifests/v1' } as const
  const reading = readBody(answer, subject, { maxBytes: 1_000, signal: undefined })
  reading.catch(() => {}) // looked at below
  for (let second = 0; second < 300; second += 1) {
    expect(body.destroyed).toBe(false)
    body.write('x')
    await vi.advanceTimersByTimeAsync(1_000)
  }
  await expect(reading).rejects.toMatchObject({ failure: 'timeout', status: 504 })
})
