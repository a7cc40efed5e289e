import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { peekText } from '../../../src/upstream/body.ts'
import type { HttpAnswer } from '../../../src/upstream/transport.ts'

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
