import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseRepositoryName } from '../../../src/oci/name.ts'
import type { CredentialSource } from '../../../src/upstream/upstream.ts'
import { clientFor, failureOf, HeldClock, optionsFor, repository, serve, tag } from './support.ts'
import { sendManifest, serveTokens } from './token-registry.ts'

const maxBytes = 4 * 1024 * 1024
const robot: CredentialSource = { kind: 'basic', username: 'robot', password: 'correct:horse' }
const basic = `Basic ${Buffer.from('robot:correct:horse').toString('base64')}`
const withRobot = (url: string) => ({ urls: [{ url, credentials: robot }] })

test('the first request is unauthenticated, the token is fetched as challenged, and later requests bring it', async () => {
  await using site = await serveTokens()
  await using client = clientFor(optionsFor(site.url))
  await client.upstream.headManifest(repository, tag)
  const fetched = await client.upstream.getManifest(repository, tag, { maxBytes })
  expect(fetched.anonymous).toBe(true)
  expect(site.registry.asked.map(({ headers }) => headers.authorization)).toEqual([
    undefined,
    'Bearer token-1',
    'Bearer token-1',
  ])
  expect(site.realm.lines()).toEqual([
    'GET /token?service=registry.hub.test&scope=repository%3Alibrary%2Falpine%3Apull',
  ])
})

test('many requests at once fetch one token', async () => {
  await using site = await serveTokens()
  await using client = clientFor(optionsFor(site.url))
  await Promise.all(Array.from({ length: 20 }, () => client.upstream.headManifest(repository, tag)))
  expect(site.realm.asked).toHaveLength(1)
})

test('a challenge without a scope means the pull of this repository', async () => {
  await using site = await serveTokens({ challenge: realm => ['Basic realm="x"', `bearer realm=${realm}`] })
  await using client = clientFor(optionsFor(site.url))
  await client.upstream.headManifest(parseRepositoryName('team/app'), tag)
  expect(site.realm.lines()).toEqual(['GET /token?scope=repository%3Ateam%2Fapp%3Apull'])
})

test.each([
  ['401 with a fresh challenge', undefined],
  [
    '401 with another realm, as nvcr.io says it',
    (_: unknown, response: import('node:http').ServerResponse) =>
      response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://authn.hub.test:1/token"' }).end(),
  ],
  [
    '400 DENIED without a challenge, as ECR Public says it',
    (_: unknown, response: import('node:http').ServerResponse) =>
      response.writeHead(400).end('{"errors":[{"code":"DENIED"}]}'),
  ],
  [
    '403, as private ECR says it',
    (_: unknown, response: import('node:http').ServerResponse) => response.writeHead(403).end('expired'),
  ],
])('a token that is no longer good (%s) is replaced once, from an unauthenticated probe on', async (_how, expired) => {
  await using site = await serveTokens(expired ? { expired } : {})
  await using client = clientFor(optionsFor(site.url))
  await client.upstream.headManifest(repository, tag)
  site.valid.clear()
  await client.upstream.headManifest(repository, tag)
  expect(site.registry.asked.map(({ headers }) => headers.authorization).slice(2)).toEqual([
    'Bearer token-1',
    undefined,
    'Bearer token-2',
  ])
})

test('a token is not used past its life', async () => {
  const clock = new HeldClock()
  await using site = await serveTokens()
  await using client = clientFor(optionsFor(site.url), { clock })
  await client.upstream.headManifest(repository, tag)
  clock.advance(240_001)
  await client.upstream.headManifest(repository, tag)
  expect(site.registry.asked.at(-1)?.headers.authorization).toBe('Bearer token-2')
  expect(site.registry.asked).toHaveLength(3)
})

test.each([401, 403])('%i to a fresh anonymous token means that nothing is to be seen', async status => {
  await using site = await serveTokens({ granted: (_, response) => response.writeHead(status).end() })
  await using client = clientFor(optionsFor(site.url))
  const error = await failureOf(client.upstream.getManifest(repository, tag, { maxBytes }))
  expect(error).toMatchObject({
    failure: 'hidden',
    upstreamStatus: status,
    status: 404,
    code: 'MANIFEST_UNKNOWN',
  })
  expect(site.registry.asked).toHaveLength(2)
})

test('a realm that gives no anonymous token for a repository hides it', async () => {
  await using site = await serveTokens({ realm: (_, response) => response.writeHead(403).end() })
  await using client = clientFor(optionsFor(site.url))
  expect((await failureOf(client.upstream.headManifest(repository, tag))).failure).toBe('hidden')
})

test('403 to our own credential is a denial', async () => {
  await using site = await serveTokens({ granted: (_, response) => response.writeHead(403).end() })
  await using client = clientFor(
    optionsFor(site.url, { ...withRobot(site.url), authRealms: [site.realmHost] }),
  )
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  expect(error).toMatchObject({ failure: 'denied', status: 403 })
  expect(error.message).toBe('hub.test answered 403 to HEAD library/alpine manifests/3.20')
  expect(site.realm.asked[0]?.headers.authorization).toBe(basic)
})

test('a refused credential is told once in the log, and not tried again until its time is over', async () => {
  const clock = new HeldClock()
  await using site = await serveTokens({ realm: (_, response) => response.writeHead(401).end() })
  const options = optionsFor(site.url, { ...withRobot(site.url), authRealms: [site.realmHost] })
  await using client = clientFor(options, { clock })
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  expect(error).toMatchObject({ failure: 'credential-refused', status: 503 })
  await failureOf(client.upstream.headManifest(parseRepositoryName('library/other'), tag))
  expect(site.realm.asked).toHaveLength(1)
  expect(client.logged).toHaveLength(1)
  expect(client.logged[0]).toContain(site.realmHost)
  expect(client.logged[0]).toContain('robot')
  expect(client.logged.join() + error.message).not.toContain('horse')
  clock.advance(11 * 60_000)
  await failureOf(client.upstream.headManifest(repository, tag))
  expect(site.realm.asked).toHaveLength(2)
})

test('a realm that is not trusted gets no password: an anonymous token is tried, and the log says what would allow it', async () => {
  await using site = await serveTokens()
  await using client = clientFor(optionsFor(site.url, withRobot(site.url)))
  const { anonymous } = await client.upstream.getManifest(repository, tag, { maxBytes })
  await client.upstream.headManifest(parseRepositoryName('library/other'), tag)
  expect(anonymous).toBe(true)
  expect(site.realm.asked.map(({ headers }) => headers.authorization)).toEqual([undefined])
  expect(client.logged).toHaveLength(1)
  expect(client.logged[0]).toContain(`add ${site.realmHost} to authRealms`)
})

test('a private repository behind an untrusted realm is denied with the way to allow it, not absent', async () => {
  await using site = await serveTokens({ granted: (_, response) => response.writeHead(401).end() })
  await using client = clientFor(optionsFor(site.url, withRobot(site.url)))
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  expect(error.failure).toBe('denied')
  expect(error.message).toContain('authRealms')
})

test('a realm on an address that is not allowed is not asked', async () => {
  await using site = await serveTokens({ challenge: () => 'Bearer realm="http://169.254.169.254/token"' })
  await using client = clientFor(optionsFor(site.url))
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  expect(error.failure).toBe('unreachable')
})

test("Basic goes to the registry's own origin with every request, and no token is fetched", async () => {
  await using registry = await serve((request, response) => {
    if (request.headers.authorization === basic) return sendManifest(request, response)
    response.writeHead(401, { 'www-authenticate': 'Basic realm="registry"' }).end()
  })
  const url = `http://registry.hub.test:${registry.port}`
  await using client = clientFor(optionsFor(url, withRobot(url)))
  expect((await client.upstream.getManifest(repository, tag, { maxBytes })).anonymous).toBe(false)
  await client.upstream.headManifest(repository, tag)
  expect(registry.asked.map(({ headers }) => headers.authorization)).toEqual([undefined, basic, basic])
})

test('a registry that wants a password where there is none is a denial, and not an absence', async () => {
  await using registry = await serve((_, response) => {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="registry"' }).end()
  })
  await using client = clientFor(optionsFor(`http://registry.hub.test:${registry.port}`))
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  expect(error.failure).toBe('denied')
  expect(error.message).toContain('none is configured')
})

test('a configured token is sent as it is', async () => {
  await using site = await serveTokens()
  site.valid.add('registry-token')
  const credentials: CredentialSource = { kind: 'token', token: 'registry-token' }
  await using client = clientFor(optionsFor(site.url, { urls: [{ url: site.url, credentials }] }))
  await client.upstream.headManifest(repository, tag)
  expect(site.realm.asked).toHaveLength(0)
})

test.each([429, 503])('a realm that answers %i is a temporary failure, and no absence', async status => {
  await using site = await serveTokens({ realm: (_, response) => response.writeHead(status).end('busy') })
  await using client = clientFor(optionsFor(site.url))
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  expect(error).toMatchObject({ failure: status === 429 ? 'rate-limited' : 'server-error', status: 503 })
  await failureOf(client.upstream.headManifest(repository, tag))
  expect(site.realm.asked).toHaveLength(status === 429 ? 1 : 2)
})

test('a realm that redirects is not followed', async () => {
  await using site = await serveTokens({
    realm: (_, response) => response.writeHead(302, { location: 'http://evil.hub.test/' }).end(),
  })
  const options = optionsFor(site.url, { ...withRobot(site.url), authRealms: [site.realmHost] })
  await using client = clientFor(options)
  expect((await failureOf(client.upstream.headManifest(repository, tag))).failure).toBe('server-error')
})

test('names kept off the upstream cause no request, by whatever way they are asked for', async () => {
  await using site = await serveTokens()
  await using client = clientFor(optionsFor(site.url, { deny: ['library/**'] }))
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  expect(error).toMatchObject({ failure: 'not-allowed', status: 403 })
  expect(() => client.upstream.assertAllowed(repository)).toThrow(/denied/)
  expect(site.registry.asked).toHaveLength(0)
})

test('the identity tells options and credentials apart', () => {
  const identity = (changes: object) => clientFor(optionsFor('http://a.test', changes)).upstream.identity
  expect(identity({})).toBe(identity({}))
  expect(identity(withRobot('http://a.test'))).not.toBe(identity({}))
})

test('an identity token is exchanged by POST, and never shown to the registry', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'layover-auth-'))
  await using site = await serveTokens()
  const path = join(folder.path, 'config.json')
  const host = new URL(site.url).host
  await writeFile(path, JSON.stringify({ auths: { [host]: { identitytoken: 'refresh-me' } } }))
  const urls = [{ url: site.url, credentials: { kind: 'docker' as const, path } }]
  await using client = clientFor(optionsFor(site.url, { urls, authRealms: [site.realmHost] }))
  expect((await client.upstream.getManifest(repository, tag, { maxBytes })).anonymous).toBe(false)
  expect(site.realm.lines()).toEqual(['POST /token'])
  expect(Object.fromEntries(new URLSearchParams(site.realm.asked[0]?.body))).toEqual({
    grant_type: 'refresh_token',
    client_id: 'layover',
    refresh_token: 'refresh-me',
    service: 'registry.hub.test',
    scope: 'repository:library/alpine:pull',
  })
  expect(JSON.stringify(site.registry.asked)).not.toContain('refresh-me')
})

test('a Docker configuration that cannot be read is an error for a person, told once', async () => {
  await using site = await serveTokens()
  const urls = [{ url: site.url, credentials: { kind: 'docker' as const, path: '/nowhere/config.json' } }]
  await using client = clientFor(optionsFor(site.url, { urls }))
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  await failureOf(client.upstream.headManifest(repository, tag))
  expect(error).toMatchObject({ failure: 'credential-refused', status: 503 })
  expect(client.logged).toHaveLength(1)
  expect(client.logged[0]).toContain('/nowhere/config.json')
})

test('a registry that moved its realm is asked anew', async () => {
  const clock = new HeldClock()
  await using old = await serveTokens()
  await using moved = await serveTokens()
  let realm = old.realmHost
  await using registry = await serve((request, response) => {
    if (request.headers.authorization !== undefined) return sendManifest(request, response)
    return response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${realm}/token"` }).end()
  })
  await using client = clientFor(optionsFor(`http://registry.hub.test:${registry.port}`), { clock })
  await client.upstream.headManifest(repository, tag)
  realm = moved.realmHost
  await old.realm.close()
  clock.advance(300_000)
  await failureOf(client.upstream.headManifest(repository, tag))
  await client.upstream.headManifest(repository, tag)
  expect(moved.realm.asked).toHaveLength(1)
})
