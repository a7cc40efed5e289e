/** What a hostile upstream answers harms nobody: floods end in an error, and what it says of itself stays with us. */
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { everyKind, type Hostile, hostile, type Kind } from './scene.ts'

const bomb = gzipSync(Buffer.alloc(64 * 2 ** 20))
const flood = Object.fromEntries(
  Array.from({ length: 5_000 }, (_, nth) => [`x-flood-${nth}`, 'x'.repeat(20)]),
)

/** After it, all is as before. */
async function expectSound(at: Hostile, kind: Kind): Promise<void> {
  at.clock.advance(600_000) // a rest after failures, if there was one, is over
  expect([kind, (await at.get(kind)).status]).toEqual([kind, 200])
}

const bodies = everyKind.filter(kind => !kind.includes('HEAD'))

describe('an answer', () => {
  test.each([
    ['one header of a megabyte', { 'x-long': 'x'.repeat(2 ** 20) }],
    ['thousands of headers', flood],
  ])('with %s is an error', async (_, set) => {
    await using at = await hostile()
    for (const kind of everyKind) {
      const fault = at.answers({ kind: 'headers', set })
      expect([kind, (await at.get(kind)).status]).toEqual([kind, 503])
      await fault.off()
    }
    for (const kind of everyKind) await expectSound(at, kind)
  })

  test('that is refused at great length is an error of a few words', async () => {
    await using at = await hostile()
    const fault = at.answers({ kind: 'big-error', status: 500, bytes: 2 * 2 ** 20 })
    for (const kind of everyKind) {
      const { status, body } = await at.get(kind)
      expect([kind, status, body.length < 4_096]).toEqual([kind, 503, true])
    }
    await fault.off()
    for (const kind of everyKind) await expectSound(at, kind)
  })

  test('that is a compressed bomb is an error', async () => {
    await using at = await hostile()
    const headers = { 'content-encoding': 'gzip' }
    const fault = at.answers({ kind: 'status', status: 200, body: bomb, headers })
    for (const kind of bodies) {
      const answer = await at.get(kind).catch(() => ({ status: 503 })) // a blob may break off
      expect([kind, answer.status]).toEqual([kind, 503])
    }
    await fault.off()
    for (const kind of bodies) await expectSound(at, kind)
  })

  test('passes on no cookie, no challenge and no word of what the answer ran through', async () => {
    await using at = await hostile()
    const set = {
      'set-cookie': 'planted=1',
      'www-authenticate': 'Bearer realm="http://evil.test/token"',
      'x-amz-meta-planted': 'planted',
      server: 'planted',
      via: 'planted',
    }
    at.answers({ kind: 'headers', set })
    for (const kind of everyKind) {
      const { status, headers } = await at.get(kind)
      expect([kind, status]).toEqual([kind, 200])
      expect(JSON.stringify(headers)).not.toMatch(/planted|evil/)
    }
  })

  test('takes nothing of what the client brings to upstream', async () => {
    await using at = await hostile()
    const headers = { authorization: 'Basic planted', cookie: 'planted=1', 'x-planted': 'planted' }
    for (const kind of everyKind) await at.get(kind, headers)
    for (const request of at.net.requests()) expect(JSON.stringify(request.headers)).not.toContain('planted')
  })
})

test('a realm that answers with a compressed bomb gives no token', async () => {
  await using at = await hostile()
  at.challenges(`Bearer realm="${at.net.url('plain.test')}/token",service="plain.test"`)
  const headers = { 'content-encoding': 'gzip' }
  at.net.fault({ host: 'plain.test', path: /^\/token/, kind: 'status', status: 200, body: bomb, headers })
  expect((await at.get('a manifest by tag')).status).toBe(503)
})
