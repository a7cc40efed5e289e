/** A token realm gets our password where we trust it, and nowhere else (CVE-2026-33540), whenever and however it is named. */
import { describe, expect, test } from 'vitest'
import { betrayals, everyKind, type Hostile, hostile, hostsAsked } from './scene.ts'

const bearer = (realm: string) =>
  `Bearer realm="${realm}",service="plain.test",scope="repository:team/app:pull"`
const evil = ({ net }: Hostile) => bearer(`${net.url('evil.test')}/token`)

/** Right tokens, from the registry's own host. */
function ownRealm({ net }: Hostile) {
  net.fault({ host: 'plain.test', path: /^\/token/, kind: 'status', status: 200, body: { token: 'good' } })
  return bearer(`${net.url('plain.test')}/token`)
}

test("the registry's own host gets it, so that the others are worth testing", async () => {
  await using at = await hostile()
  at.challenges(ownRealm(at))
  expect((await at.get('a manifest by tag')).status).toBe(200)
  expect(betrayals(at.net)).toEqual(['plain.test /token'])
})

test('the first token request, for whatever it is, brings a foreign realm no password', async () => {
  await using at = await hostile()
  at.challenges(evil(at))
  for (const kind of everyKind) await at.get(kind)
  expect(hostsAsked(at)).toContain('evil.test')
  expect(betrayals(at.net)).toEqual([])
})

test.each([
  'a HEAD of a tag',
  'a blob',
  'tags',
  'referrers',
] as const)('a realm that changes after it was learnt, for %s, is judged anew', async kind => {
  await using at = await hostile()
  const first = at.challenges(ownRealm(at))
  expect((await at.get('a manifest by tag')).status).toBe(200)
  await first.off()
  at.net.clearRequests()
  at.clock.advance(3_600_000) // tags are asked for again, tokens are not good any more
  const headers = { 'www-authenticate': evil(at) }
  at.answers({ kind: 'status', status: 401, headers })
  await at.get(kind)
  expect(betrayals(at.net).filter(where => !where.startsWith('plain.test '))).toEqual([])
})

test('a CDN that answers 401 gets no credential, and nobody that it names', async () => {
  await using at = await hostile()
  at.answers({ kind: 'redirect', location: `${at.net.url('cdn-a.test')}/blob` })
  for (const challenge of [evil(at), 'Basic realm="cdn"']) {
    at.net.fault({
      host: 'cdn-a.test',
      kind: 'status',
      status: 401,
      headers: { 'www-authenticate': challenge },
    })
    for (const kind of everyKind) await at.get(kind)
  }
  expect(hostsAsked(at).toSorted()).toEqual(['cdn-a.test', 'plain.test'])
  expect(betrayals(at.net)).toEqual([])
  for (const { headers } of at.net.requests({ host: 'cdn-a.test' }))
    expect(headers.authorization).toBeUndefined()
})

describe('a realm is not asked at all', () => {
  const realms: [string, string][] = [
    ['at the metadata address', 'http://169.254.169.254/latest/meta-data/iam'],
    ['at its decimal form', 'http://2852039166/token'],
    ['at its octal form', 'http://0251.0376.0251.0376/token'],
    ['at its hexadecimal form', 'http://0xa9fea9fe/token'],
    ['at its IPv4-mapped form', 'http://[::ffff:169.254.169.254]/token'],
    ['behind NAT64', 'http://[64:ff9b::a9fe:a9fe]/token'],
    ['at an IPv6 metadata address', 'http://[fd00:ec2::254]/token'],
    ['at a private address', 'http://10.0.0.1/token'],
    ['at a name of a metadata address', 'http://metadata.test/token'],
    ['with a user name', 'http://bob@evil.test/token'],
    ['of another scheme', 'file:///etc/passwd'],
    ['that is no URL', 'not a realm'],
  ]

  test.each(realms)('%s', async (_, realm) => {
    await using at = await hostile()
    at.net.names.set('metadata.test', [{ address: '169.254.169.254', family: 4 }])
    at.challenges(bearer(realm))
    for (const kind of ['a manifest by tag', 'referrers', 'tags'] as const)
      expect([kind, (await at.get(kind)).status]).not.toEqual([kind, 200])
    expect(hostsAsked(at)).toEqual(['plain.test'])
    expect(betrayals(at.net)).toEqual([])
  })
})

test.each([
  ['with a line break', 'good\r\nx-planted: yes'],
  ['with a null', 'good\0'],
  ['of no text', { not: 'text' }],
  ['beyond what a header takes', 'x'.repeat(300 * 1024)],
])('a token %s is sent to nobody', async (_, token) => {
  await using at = await hostile()
  at.challenges(bearer(`${at.net.url('plain.test')}/token`))
  at.net.fault({ host: 'plain.test', path: /^\/token/, kind: 'status', status: 200, body: { token } })
  for (const kind of everyKind) expect([kind, (await at.get(kind)).status]).toEqual([kind, 503])
  for (const { path, headers } of at.net.requests({ host: 'plain.test' })) {
    expect(headers['x-planted']).toBeUndefined()
    if (!path.startsWith('/token')) expect(headers.authorization).toBeUndefined()
  }
})
