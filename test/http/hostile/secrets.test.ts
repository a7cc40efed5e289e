/**
 * Secrets planted wherever the configuration, clients and upstreams have them, and everything that comes out looked
 * through for them. A new kind of secret is one line in `planted`, and its place in the configuration.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { effective } from '../../../src/config/effective.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { ConfigError } from '../../../src/config/problem.ts'
import { FakeClock } from '../../fake/clock.ts'
import { image } from '../../fake/content.ts'
import type { Internet } from '../../fake/internet.ts'
import { startInternet } from '../../fake/internet.ts'
import { startTestLayover, upstream } from '../../support/layover.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { askSocket } from '../admin/client.ts'
import { type Answered, ask } from '../scene.ts'
import { filesIn, formsOf, leaksOf } from './leaks.ts'

const planted = {
  password: 'planted/upstream+password',
  otherPassword: 'planted/other+password',
  token: 'planted/static+token',
  realmToken: 'planted.realm.token',
  proxyPassword: 'planted-proxy-password',
  replicaSecret: 'planted-secret-of-replicas',
  s3Secret: 'planted/s3+secret+key',
  redisPassword: 'planted-redis-password',
  sentinelPassword: 'planted-sentinel-password',
  tlsKey: 'planted-private-key',
  clientAuthorization: 'planted-client-authorization',
  clientCookie: 'planted-client-cookie',
  urlUser: 'planted-user-in-a-url',
  signature: 'planted-signature-of-a-url',
  userHash: '$2b$04$plantedplantedplantedpuabcdefghijklmnopqrstuvwxyzabcd',
  webhookToken: 'planted-webhook-token',
  execArgument: 'planted-argument-of-a-program',
  execVariable: 'planted-variable-of-a-program',
} as const

const leaksIn = (text: string) => leaksOf(planted, text)

test('what is planted would be found', () => {
  for (const [name, secret] of Object.entries(planted))
    for (const form of formsOf(secret)) expect(leaksIn(`x${form}x`).join()).toContain(name)
})

const bundle = image('secrets')
const registries = [
  'basic.example',
  'token.example',
  'refused.example',
  'open.example',
  'proxied.example',
] as const

function upstreams(net: Internet) {
  const url = net.url('plain.test')
  const basic = (password: string) => ({ kind: 'basic', username: 'bob', password }) as const
  const shared = { access: 'shared', allow: ['**'] } as const
  return [
    upstream({
      registry: 'basic.example',
      options: { ...shared, urls: [{ url, credentials: basic(planted.password) }] },
    }),
    upstream({
      registry: 'token.example',
      options: { ...shared, urls: [{ url, credentials: { kind: 'token', token: planted.token } }] },
    }),
    upstream({
      registry: 'refused.example',
      options: {
        ...shared,
        authRealms: ['auth.hub.test'],
        urls: [{ url: net.url('registry.hub.test'), credentials: basic(planted.otherPassword) }],
      },
    }),
    upstream({ registry: 'open.example', url, isDefault: true }),
    upstream({
      registry: 'proxied.example',
      url,
      options: { proxy: `http://bob:${planted.proxyPassword}@127.0.0.1:9`, tls: { key: planted.tlsKey } },
    }),
  ]
}

/** Each has something go wrong upstream; undefined: nothing does. */
const troubles = (net: Internet): Record<string, Parameters<Internet['fault']>[0] | undefined> => {
  const host = 'plain.test'
  const signed = `${net.url('cdn-a.test').replace('http://', `http://${planted.urlUser}:x@`)}/blob?X-Amz-Signature=${planted.signature}`
  const realm = `Bearer realm="${net.url(host)}/token",service="plain"`
  return {
    none: undefined,
    'a refused credential': {
      host,
      path: /^\/v2/,
      kind: 'status',
      status: 401,
      headers: { 'www-authenticate': realm },
    },
    'Basic refused': {
      host,
      kind: 'status',
      status: 401,
      headers: { 'www-authenticate': 'Basic realm="x"' },
    },
    denied: { host, kind: 'status', status: 403, body: `no ${planted.signature}` },
    'a CDN that refuses': { host, path: /^\/v2/, kind: 'redirect', location: signed },
    'a realm with a password in it': {
      host,
      path: /^\/v2/,
      kind: 'status',
      status: 401,
      headers: { 'www-authenticate': `Bearer realm="http://${planted.urlUser}:x@evil.test/token"` },
    },
    'a broken redirect': {
      host,
      path: /^\/v2/,
      kind: 'redirect',
      location: `ftp://${planted.urlUser}@x/?sig=${planted.signature}`,
    },
    corrupt: { host, path: /^\/v2/, kind: 'corrupt' },
    'cut off': { host, path: /^\/v2/, kind: 'rst', at: 3 },
    down: { host, kind: 'refuse' },
  }
}

test('none comes out: not in answers, headers, logs, metrics, the admin API, the configuration in force or the store', {
  timeout: 60_000,
}, async () => {
  const clock = new FakeClock()
  await using net = await startInternet({ clock })
  for (const registry of [net.plain, net.hub]) registry.put('team/app', 'v1', bundle)
  const said: string[] = []
  const hear = ({ status, headers, body }: Answered) =>
    said.push(`${status} ${JSON.stringify(headers)} ${body.toString('latin1')}`)
  const refusal = new Error('upstreams.yaml:1:1 refused')
  await using layover = await startTestLayover({
    clock: net.clock,
    lookup: net.lookup,
    upstreams: upstreams(net),
    reload: () => Promise.resolve(refusal),
  })
  const client = {
    authorization: `Bearer ${planted.clientAuthorization}`,
    cookie: `a=${planted.clientCookie}`,
  }
  const paths = [
    'manifests/v1',
    `blobs/${bundle.blobs[0]?.digest}`,
    'tags/list',
    `referrers/${bundle.root.digest}`,
  ]
  const passing = setInterval(() => clock.advance(1_000), 2) // between tries there are pauses
  net.fault({
    host: 'plain.test',
    path: /^\/token/,
    kind: 'status',
    status: 200,
    body: { token: planted.realmToken },
  })
  net.fault({ host: 'cdn-a.test', kind: 'status', status: 403, body: `<Error>${planted.signature}</Error>` })
  for (const trouble of Object.values(troubles(net))) {
    const fault = trouble && net.fault(trouble)
    for (const registry of registries)
      for (const path of paths)
        await ask(layover.url, `/v2/${registry}/team/app/${path}`, { headers: client }).then(
          hear,
          (error: unknown) => said.push(String(error)),
        )
    await fault?.off()
    clock.advance(600_000) // a rest after failures is over
  }
  clearInterval(passing)
  hear(await ask(layover.url, '/v2/local/app/blobs/uploads/', { method: 'POST', headers: client }))
  for (const page of ['/metrics', '/healthz', '/v2/', '/v2/_catalog'])
    hear(await ask(layover.url, page, { headers: client }))
  for (const path of ['/config', '/upstreams', '/status', '/flights', '/uploads', '/openapi.json'])
    said.push(JSON.stringify(await askSocket(layover, path)))
  said.push(JSON.stringify(await askSocket(layover, '/reload', { method: 'POST' })))
  await layover.stop()
  said.push(JSON.stringify(layover.lines))
  for (const path of await filesIn(layover.storePath)) said.push(`${path} ${await readFile(path, 'latin1')}`)
  expect(said.length).toBeGreaterThan(200)
  expect(net.requests().some(({ headers }) => String(headers.authorization).includes(planted.token))).toBe(
    true,
  )
  expect([...new Set(said.flatMap(leaksIn))]).toEqual([])
})

/** Every place of the configuration that takes a secret, each with one of its own. */
const configuration = `
index: {url: "redis+sentinel://layover:${encodeURIComponent(planted.redisPassword)}@redis.test:26379/main", sentinelPassword: "${planted.sentinelPassword}"}
replica: {advertise: "http://10.0.0.3:8080", secret: "${planted.replicaSecret}"}
store: {s3: {bucket: layover, region: eu-west-1, accessKeyId: AKID, secretAccessKey: "${planted.s3Secret}"}}
access:
  users: [{name: alice, password: "${planted.userHash}"}]
  webhook: {url: "https://opa.test/v1/data/layover", token: "${planted.webhookToken}"}
upstreams:
  - registry: exec.example
    credentials: {exec: {command: /usr/bin/provider, args: ["${planted.execArgument}"], env: {KEY: "${planted.execVariable}"}}}
    shareWithEveryone: true
  - registry: basic.example
    credentials: {username: bob, password: "${planted.password}"}
    shareWithEveryone: true
    proxy: "http://bob:${planted.proxyPassword}@proxy.test:3128"
  - registry: token.example
    credentials: {token: "${planted.token}"}
    shareWithEveryone: true
`

async function load(yaml: string) {
  await using dir = await tempDir()
  await writeFile(dir.join('upstreams.yaml'), yaml)
  return await loadConfig(dir.join('upstreams.yaml'), {})
}

test('the configuration in force is shown without any', async () => {
  const { config } = await load(configuration)
  expect(leaksIn(JSON.stringify(config)).length).toBeGreaterThan(5)
  expect(leaksIn(JSON.stringify(effective(config)))).toEqual([])
})

test.each([
  ['an unknown key beside one', configuration.replaceAll('credentials: {', 'credentials: {nothing: 1, ')],
  ['a line break within one', configuration.replaceAll(/planted[-/]/g, '$&\\n')],
  ['a list instead of one', configuration.replaceAll(/"(planted[^"]*)"/g, '["$1"]')],
  [
    'a URL that cannot be read',
    configuration
      .replaceAll('proxy.test:3128', 'proxy.test:99999')
      .replaceAll('redis.test:26379', 'redis.test:x'),
  ],
  [
    'one in the URL of an upstream',
    configuration.replace(
      'registry: basic.example',
      `registry: basic.example\n    url: "https://bob:${planted.urlUser}@basic.example"`,
    ),
  ],
  ['no end of the text', configuration.replace(`${planted.token}"`, planted.token)],
])('a configuration with %s is refused without telling it', async (_, yaml) => {
  const error = await load(yaml).then(
    () => undefined,
    (refused: unknown) => refused,
  )
  expect(error).toBeInstanceOf(ConfigError)
  expect(leaksIn(`${String(error)} ${JSON.stringify((error as ConfigError).problems)}`)).toEqual([])
})
