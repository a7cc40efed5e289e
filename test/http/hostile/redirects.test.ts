/** Redirects of an upstream: to public hosts alone, without anything of ours, and not for ever. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { betrayals, everyKind, type Hostile, hostile, hostsAsked } from './scene.ts'

const refused: [string, string][] = [
  ['the metadata address', 'http://169.254.169.254/latest/meta-data/'],
  ['its decimal form', 'http://2852039166/'],
  ['its octal form', 'http://0251.0376.0251.0376/'],
  ['its hexadecimal form', 'http://0xa9fea9fe/'],
  ['its short form', 'http://169.254.43518/'],
  ['its IPv4-mapped form', 'http://[::ffff:169.254.169.254]/'],
  ['its 6to4 form', 'http://[2002:a9fe:a9fe::1]/'],
  ['an IPv6 metadata address', 'http://[fd00:ec2::254]/'],
  ['a link-local address', 'http://[fe80::1]/'],
  ['a private address', 'http://10.0.0.1/'],
  ['a private address of IPv6', 'http://[fc00::1]/'],
  ['loopback', 'http://127.0.0.1/'],
  ['loopback in decimal', 'http://2130706433/'],
  ['loopback of IPv6', 'http://[::1]/'],
  ['loopback in short', 'http://127.1/'],
  ['no address', 'http://0.0.0.0/'],
  ['a name of loopback', 'http://localhost/'],
  ['a name of the metadata address', 'http://metadata.test/'],
  ['a file', 'file:///etc/passwd'],
  ['another scheme', 'ftp://evil.test/'],
  ['data', 'data:application/json,{}'],
  ['script', 'javascript:alert(1)'],
  ['nothing', 'http://'],
]

describe('a redirect is not followed', () => {
  let at: Hostile
  beforeAll(async () => {
    at = await hostile({ allowPrivate: [] })
    at.net.names.set('localhost', [{ address: '127.0.0.1', family: 4 }])
    at.net.names.set('metadata.test', [{ address: '169.254.169.254', family: 4 }])
  })
  afterAll(() => at[Symbol.asyncDispose]())

  test.each(refused)('to %s, from whatever is asked for', async (_, location) => {
    const fault = at.answers({ kind: 'redirect', location })
    for (const kind of everyKind) {
      const { status, headers } = await at.get(kind)
      if (kind !== 'a HEAD of a blob') expect([kind, status]).toEqual([kind, 503]) // that it redirects says that it has it
      expect(headers.location).toBeUndefined()
    }
    await fault.off()
    expect(hostsAsked(at)).toEqual(['plain.test'])
  })

  test('in circles', async () => {
    const fault = at.answers({ kind: 'redirect', location: ({ path }) => path })
    for (const kind of everyKind) {
      at.net.clearRequests()
      await at.get(kind)
      expect(at.net.requests().length).toBeLessThan(60)
    }
    await fault.off()
  })
})

test('to another origin go no credential and no cookie, nor what the URL itself brings', async () => {
  await using at = await hostile()
  const cdn = at.net.url('cdn-a.test').replace('http://', 'http://user:planted@')
  at.challenges('Basic realm="plain"', { 'set-cookie': 'planted=1; Domain=test; Path=/' })
  at.answers({ kind: 'redirect', location: `${cdn}/signed` })
  for (const kind of everyKind) await at.get(kind)
  for (const { host, headers } of at.net.requests()) {
    expect(headers.cookie).toBeUndefined()
    if (host !== 'plain.test') expect(headers.authorization).toBeUndefined()
  }
  expect(hostsAsked(at)).toContain('cdn-a.test')
  expect(betrayals(at.net).filter(where => !where.startsWith('plain.test '))).toEqual([])
})

test('a CDN whose name leads to the metadata address the next time is not connected to (DNS rebinding)', async () => {
  await using at = await hostile()
  const body = { status: 200, body: 'no blob', headers: { connection: 'close' } }
  at.answers({ kind: 'redirect', location: `${at.net.url('cdn-a.test')}/blob` })
  at.net.fault({ host: 'cdn-a.test', kind: 'status', ...body })
  await at.get('a blob')
  const before = at.net.requests({ host: 'cdn-a.test' }).length
  expect(before).toBeGreaterThan(0)
  at.net.names.set('cdn-a.test', [{ address: '169.254.169.254', family: 4 }])
  expect((await at.get('a blob')).status).toBe(503)
  expect(at.net.requests({ host: 'cdn-a.test' })).toHaveLength(before)
  expect(at.net.names.asked.filter(name => name === 'cdn-a.test').length).toBeGreaterThan(1)
})

test('of the addresses of a name only those are connected to that may be', async () => {
  await using at = await hostile()
  at.net.names.set('cdn-a.test', [
    { address: '169.254.169.254', family: 4 },
    { address: '::ffff:10.0.0.1', family: 6 },
    { address: '127.0.0.1', family: 4 },
  ])
  at.answers({ kind: 'redirect', location: `${at.net.url('cdn-a.test')}/blob` })
  await at.get('a blob')
  expect(hostsAsked(at)).toContain('cdn-a.test')
})

test('a Location without a redirect means nothing', async () => {
  await using at = await hostile()
  const location = `${at.net.url('evil.test')}/elsewhere`
  at.answers({ kind: 'headers', set: { location } })
  for (const kind of everyKind) {
    const { status, headers } = await at.get(kind)
    expect([kind, status, headers.location]).toEqual([kind, 200, undefined])
  }
  expect(hostsAsked(at)).toEqual(['plain.test'])
})
