/** Somebody else decides: what is asked, what is remembered, and that whatever is no answer lets nobody through. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { WebhookOptions } from '../../../src/access/options.ts'
import type { Verdict } from '../../../src/access/question.ts'
import { Webhook } from '../../../src/access/webhook.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { RegistryError } from '../../../src/oci/errors.ts'
import { systemLookup } from '../../../src/runtime/lookup.ts'
import { FakeClock } from '../../fake/clock.ts'
import { listenApart } from '../../support/free-port.ts'
import { alice, asking, node, pipeline } from './asked.ts'

type Answer = (response: ServerResponse, request: IncomingMessage) => void

interface Received {
  readonly input: Record<string, unknown>
  readonly request: IncomingMessage
}

const json =
  (value: unknown): Answer =>
  response =>
    response.end(JSON.stringify(value))

async function rig(first: Answer, options: Partial<WebhookOptions> = {}) {
  const received: Received[] = []
  const state = { answer: first }
  const server = createServer((request, response) => {
    void text(request).then(body => {
      received.push({ ...(JSON.parse(body) as Pick<Received, 'input'>), request })
      state.answer(response, request)
    })
  })
  const port = await listenApart(server)
  const lines: string[] = []
  const clock = new FakeClock()
  const webhook = new Webhook(
    {
      url: `http://127.0.0.1:${port}/v1/data/layover`,
      token: undefined,
      timeoutMs: 10_000,
      allowMs: 30_000,
      denyMs: 5_000,
      ca: undefined,
      ...options,
    },
    { clock, lookup: systemLookup, log: createLogger('info', { write: line => lines.push(line) }) },
  )
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
    await webhook.close()
  })
  return { webhook, received, state, server, port, clock, lines }
}

/** What was said, or the status of the error. */
async function outcome(decide: () => Verdict | Promise<Verdict>): Promise<unknown> {
  try {
    const verdict = await decide()
    return verdict.allowed || verdict.reason
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    return { code: error.code, status: error.status, retryAfterMs: error.retryAfterMs }
  }
}

const noAnswer = { code: 'UNAVAILABLE', status: 503, retryAfterMs: 5_000 }

describe('the webhook', () => {
  test('is asked with everything that policies see, and the token', async () => {
    const { webhook, received } = await rig(json({ result: true }), { token: 'hunter2' })
    const caller = { ...pipeline({ groups: ['a'] }), ...node({ dns: ['a.test'] }), method: 'oidc' as const }
    expect(await outcome(() => webhook.decide(asking({ caller })))).toBe(true)
    expect(received[0]?.input).toEqual({
      action: 'pull',
      repository: 'docker.io/library/alpine',
      upstream: 'docker.io',
      namespace: '',
      object: 'manifest',
      tag: '3.20',
      digest: '',
      client: '10.1.2.3',
      user: 'ci:job-1',
      provider: 'ci',
      method: 'oidc',
      claims: { groups: ['a'] },
      certificate: { commonNames: [], organizations: [], dns: ['a.test'], emails: [], uris: [] },
    })
    const { method, url, headers } = received[0]?.request ?? {}
    expect([method, url, headers?.authorization]).toEqual(['POST', '/v1/data/layover', 'Bearer hunter2'])
  })

  test.each<[unknown, unknown]>([
    [{ result: true }, true],
    [{ result: { allow: true } }, true],
    [{ result: { allow: true, reason: 'x' }, decision_id: '1' }, true],
    [{ result: false }, 'the webhook denies it'],
    [{ result: { allow: false, reason: 'not\non Fridays' } }, 'the webhook denies it: not on Fridays'],
    [{ result: {} }, 'the webhook denies it'],
    [{}, 'the webhook denies it'],
  ])('says %j', async (answer, expected) => {
    const { webhook } = await rig(json(answer))
    expect(await outcome(() => webhook.decide(asking()))).toBe(expected)
  })

  test.each<[string, Answer]>([
    ['500', response => response.writeHead(500).end('{"result": true}')],
    ['a redirect', response => response.writeHead(307, { location: '/other' }).end('{"result": true}')],
    ['204', response => response.writeHead(204).end()],
    ['no JSON', response => response.end('yes')],
    ['a list', json([true])],
    ['a word', json({ result: 'true' })],
    ['a word for a flag', json({ result: { allow: 'true' } })],
    ['a null', json({ result: null })],
    ['more than anybody has to say', json({ result: true, padding: 'x'.repeat(64 * 1024) })],
    [
      'less than it announced',
      response =>
        response
          .writeHead(200, { 'content-length': 100 })
          .write('{"result": true}', () => response.destroy()),
    ],
    ['nothing', response => response.destroy()],
  ])('lets nobody through when it answers %s', async (_, answer) => {
    const { webhook, received } = await rig(answer)
    expect(await outcome(() => webhook.decide(asking()))).toEqual(noAnswer)
    expect(received).toHaveLength(1)
  })

  test('lets nobody through when it stalls', async () => {
    const { webhook } = await rig(() => {}, { timeoutMs: 50 })
    expect(await outcome(() => webhook.decide(asking()))).toEqual(noAnswer)
    const half = await rig(response => response.writeHead(200).write('{"result":'), { timeoutMs: 50 })
    expect(await outcome(() => half.webhook.decide(asking()))).toEqual(noAnswer)
  })

  test('is asked once by all who ask the same at the same time', async () => {
    const waiting: ServerResponse[] = []
    const { webhook, received } = await rig(response => waiting.push(response))
    const same = Array.from({ length: 5 }, () => outcome(() => webhook.decide(asking({ caller: alice }))))
    const other = outcome(() => webhook.decide(asking({ caller: { ...alice, user: 'bob' } })))
    await vi.waitFor(() => expect(waiting).toHaveLength(2), { timeout: 5_000 })
    for (const { input } of received) waiting.shift()?.end(JSON.stringify({ result: input.user === 'alice' }))
    expect(await Promise.all(same)).toEqual([true, true, true, true, true])
    expect(await other).toBe('the webhook denies it')
  })

  test('is remembered, an allowance longer than a denial', async () => {
    const { webhook, received, state, clock } = await rig(json({ result: true }))
    const ask = (tag: string) => outcome(() => webhook.decide(asking({ tag })))
    expect(webhook.peek(asking({ tag: 'a' }))).toBeUndefined()
    await ask('a')
    state.answer = json({ result: false })
    await ask('b')
    expect(webhook.peek(asking({ tag: 'a' }))).toEqual({ allowed: true })
    expect(webhook.peek(asking({ tag: 'b' }))).toEqual({ allowed: false, reason: 'the webhook denies it' })
    clock.advance(4_999)
    expect([await ask('a'), await ask('b'), received.length]).toEqual([true, 'the webhook denies it', 2])
    clock.advance(1)
    expect([await ask('a'), await ask('b'), received.length]).toEqual([true, 'the webhook denies it', 3])
    clock.advance(25_000)
    expect([await ask('a'), received.length]).toEqual(['the webhook denies it', 4])
  })

  test('is not asked again at once for what it failed at, and others are not kept from it', async () => {
    const { webhook, received, state, clock, lines } = await rig(response => response.writeHead(500).end())
    const ask = (tag: string) => outcome(() => webhook.decide(asking({ tag })))
    await ask('a')
    state.answer = json({ result: true })
    expect([await ask('a'), await ask('b'), received.length]).toEqual([noAnswer, true, 2])
    clock.advance(1_000)
    expect([await ask('a'), received.length]).toEqual([true, 3])
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'error', failure: 'it answered 500' })
  })

  test('is left alone by all for a second where nobody listens', async () => {
    const { webhook, received, server, port, clock, lines } = await rig(json({ result: true }))
    await outcome(() => webhook.decide(asking({ tag: 'known' })))
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
    const ask = (tag: string) => outcome(() => webhook.decide(asking({ tag })))
    await vi.waitFor(
      async () => {
        clock.advance(1_000)
        expect(await ask('a')).toEqual(noAnswer)
        expect(lines.join('')).toContain('ECONNREFUSED')
      },
      { timeout: 5_000 },
    )
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    expect([await ask('b'), await ask('known'), received.length]).toEqual([noAnswer, true, 1])
    clock.advance(1_000)
    expect(await ask('b')).toBe(true)
  })
})
