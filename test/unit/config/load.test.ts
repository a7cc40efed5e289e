/** What a configuration means once it is loaded. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: that is how the configuration refers to the environment
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { runCheck } from '../../../src/cli/commands/check.ts'
import type { Config, UpstreamConfig } from '../../../src/config/config.ts'
import { effective } from '../../../src/config/effective.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { caCertificate, clientCertificate, serverCertificate } from '../../fake/certificates.ts'
import { teamCa, teamCrl } from '../../fake/client-certificates.ts'
import { tempDir } from '../../support/temp-dir.ts'

interface Given {
  env?: Record<string, string>
  files?: Record<string, string>
}

async function load(yaml: string, { env = {}, files = {} }: Given = {}) {
  await using dir = await tempDir()
  await mkdir(dir.join('secrets'))
  for (const [name, content] of Object.entries(files)) await writeFile(dir.join('secrets', name), content)
  await writeFile(dir.join('upstreams.yaml'), yaml)
  return { ...(await loadConfig(dir.join('upstreams.yaml'), env)), folder: dir.path }
}

async function loadUpstream(keys: string, given?: Given): Promise<UpstreamConfig> {
  const { config } = await load(`upstreams:\n  - registry: a.test\n    ${keys}\n`, given)
  return first(config)
}

function first({ upstreams: [upstream] }: Config): UpstreamConfig {
  if (!upstream) throw new Error('there is no upstream')
  return upstream
}

describe('the configuration in force', () => {
  test('needs only the registry of an upstream', async () => {
    const { config, folder } = await load('upstreams: [{registry: ghcr.io}]')
    expect(config).toEqual({
      listen: [{ host: '0.0.0.0', port: 8080, role: 'registry', tls: undefined }],
      hosts: [],
      publicUrl: undefined,
      trustedProxies: [],
      admin: { host: '127.0.0.1', port: 8081, isDefault: true },
      store: { path: `${folder}/data` },
      policies: { upstreams: {}, namespaces: {} },
      collection: { everyMs: 86_400_000, graceMs: 86_400_000 },
      capacity: { maxBytes: Number.POSITIVE_INFINITY, minFree: undefined },
      scrub: { everyMs: 30 * 86_400_000, bytesPerSecond: 32 * 2 ** 20 },
      limits: {
        manifest: 4 * 2 ** 20,
        connections: 10_000,
        connectionsPerClient: 0,
        drainMs: 25_000,
        partialMs: 86_400_000,
        stalledMs: 120_000,
        slowest: 256,
        headersMs: 65_000,
        pushMemory: 64 * 1024 * 1024,
        upload: 100 * 2 ** 30,
        uploadIdleMs: 86_400_000,
        uploads: 10_000,
        memory: 64 * 2 ** 20,
        page: 10_000,
      },
      upstreams: [
        {
          options: {
            registry: 'ghcr.io',
            urls: [{ url: 'https://ghcr.io', credentials: undefined }],
            access: 'public',
            allow: [],
            deny: [],
            authRealms: [],
            allowPrivate: [],
            timeouts: { connectMs: 5_000, headersMs: 25_000, revalidateMs: 3_000, idleMs: 60_000 },
            concurrency: { fills: 32, bandwidth: 0 },
            http2: false,
            tls: {},
            proxy: undefined,
          },
          aliases: [],
          isDefault: false,
          shareWithEveryone: false,
          policy: {
            tags: [{ match: '*', freshMs: 300_000 }],
            listingsFreshMs: 60_000,
            maxStaleMs: 604_800_000,
            onNotFound: { serveForMs: 3_600_000 },
            rateLimited: 'unavailable',
            notFoundForMs: 10_000,
            passthrough: { verdictMs: 60_000, outageMs: 600_000 },
          },
          keeping: {
            maxBytes: Number.POSITIVE_INFINITY,
            unusedMs: Number.POSITIVE_INFINITY,
            pins: [],
          },
        },
      ],
      local: [],
    })
  })

  test('Docker Hub has its address, its other names, and serves names without a registry', async () => {
    const { config } = await load(
      'upstreams: [{registry: ghcr.io}, {registry: docker.io, aliases: [hub, index.docker.io]}]',
    )
    const [, hub] = config.upstreams
    expect(hub?.options.urls).toEqual([{ url: 'https://registry-1.docker.io', credentials: undefined }])
    expect(hub?.aliases).toEqual([
      'hub',
      'index.docker.io',
      'registry-1.docker.io',
      'registry.hub.docker.com',
      'registry.docker.io',
    ])
    expect(config.upstreams.map(({ isDefault }) => isDefault)).toEqual([false, true])
  })

  test.each([
    [
      'another one says so',
      'upstreams: [{registry: docker.io}, {registry: a.test, default: true}]',
      [false, true],
    ],
    ['it says no', 'upstreams: [{registry: docker.io, default: false}]', [false]],
  ])('Docker Hub is not the default when %s', async (_, yaml, expected) => {
    const { config } = await load(yaml)
    expect(config.upstreams.map(({ isDefault }) => isDefault)).toEqual(expected)
  })

  test('what holds anyway may be written down', async () => {
    const yaml = 'listeners: []\nindex: sqlite\nupstreams: [{registry: a.test, access: shared}]\nlocal: []'
    await expect(load(yaml)).resolves.toBeDefined()
  })

  test('listeners have a role, and a certificate and a key from files or as text', async () => {
    const { config, files, folder } = await load(
      `upstreams: [{registry: a.test}]
listeners:
  - {address: "[::]:8443", tls: {cert: file:secrets/cert, key: file:secrets/key}}
  - {address: 127.0.0.1:8080, role: mirror}
`,
      { files: serverCertificate },
    )
    expect(config.listen).toEqual([
      { host: '::', port: 8443, role: 'registry', tls: serverCertificate },
      { host: '127.0.0.1', port: 8080, role: 'mirror', tls: undefined },
    ])
    expect(files).toContain(`${folder}/secrets/key`)
  })

  test.each([
    ['', true],
    [', clientAuth: required', true],
    [', clientAuth: optional', false],
  ])('listeners ask for the certificates of clients%s', async (clientAuth, isRequired) => {
    const yaml = (more: string) => `upstreams: [{registry: a.test}]
trustedProxies: [10.0.0.0/8]
listeners: [{address: "[::]:8443", tls: {cert: file:secrets/cert, key: file:secrets/key, ${more}}}]
`
    const files = { ...serverCertificate, ca: teamCa, crl: teamCrl }
    const ca = `clientCa: file:secrets/ca${clientAuth}`
    const { config } = await load(yaml(ca), { files })
    expect(config.listen[0]?.tls?.clients).toEqual({ ca: teamCa, crl: undefined, isRequired })
    const { config: withList, redacted } = await load(yaml(`${ca}, clientCrl: file:secrets/crl`), { files })
    expect(withList.listen[0]?.tls?.clients).toEqual({ ca: teamCa, crl: teamCrl, isRequired })
    expect(redacted).toMatchObject({
      trustedProxies: ['10.0.0.0/8'],
      listeners: [
        {
          tls: {
            clientCa: '<1 certificate>',
            clientAuth: isRequired ? 'required' : 'optional',
            clientCrl: '<1 list>',
          },
        },
      ],
    })
  })

  test('several URLs keep their order and their own credentials, and make the upstream shared', async () => {
    const { options } = await loadUpstream(
      'urls: [{url: https://near.test/}, {url: https://far.test/docker/, credentials: {username: bob, password: x}}]\n    allow: ["team/**"]',
    )
    expect(options.urls).toEqual([
      { url: 'https://near.test', credentials: undefined },
      { url: 'https://far.test/docker', credentials: { kind: 'basic', username: 'bob', password: 'x' } },
    ])
    expect(options.access).toBe('shared')
  })

  test.each<[string, string, unknown]>([
    [
      'user and password',
      '{username: "${BOB}", password: "a-${PART}-$${PART}"}',
      { kind: 'basic', username: 'bob', password: 'a-1-${PART}' },
    ],
    [
      'user and password from files',
      '{username: file:secrets/user, password: "file:${FOLDER}/password"}',
      { kind: 'basic', username: 'alice', password: 'p w' },
    ],
    ['one file for both', '{file: secrets/both}', { kind: 'basic', username: 'carol', password: 'x:y' }],
    ['a token', '{token: file:secrets/token}', { kind: 'token', token: 'ghp_1' }],
  ])('credentials: %s', async (_, credentials, expected) => {
    const { options } = await loadUpstream(`credentials: ${credentials}\n    shareWithEveryone: true`, {
      env: { BOB: 'bob', PART: '1', FOLDER: 'secrets' },
      files: { user: 'alice\n', password: 'p w\r\n', both: 'carol:x:y\n', token: 'ghp_1' },
    })
    expect(options.urls[0]?.credentials).toEqual(expected)
  })

  test("credentials: Docker's own file, which is read when it is needed", async () => {
    const { config, folder, files } = await load(
      'upstreams: [{registry: a.test, credentials: {docker: secrets/config.json}, shareWithEveryone: true}]',
      { files: { 'config.json': '{}' } },
    )
    expect(first(config).options.urls[0]?.credentials).toEqual({
      kind: 'docker',
      path: `${folder}/secrets/config.json`,
    })
    expect(files).toEqual([`${folder}/upstreams.yaml`])
  })

  test('certificates come from files or stand in the text', async () => {
    const { options } = await loadUpstream(
      `ca: file:secrets/ca.pem\n    cert: file:secrets/cert.pem\n    key: ${JSON.stringify(clientCertificate.key)}`,
      { files: { 'ca.pem': caCertificate, 'cert.pem': clientCertificate.cert } },
    )
    expect(options.tls).toEqual({
      ca: caCertificate,
      cert: clientCertificate.cert,
      key: clientCertificate.key,
    })
  })

  test('a namespace is named after its first component, and stands under the registry whose alias it names', async () => {
    const { config } = await load(
      'upstreams: [{registry: docker.io}]\nlocal: [{match: team/**}, {name: own, match: index.docker.io/own/*}]',
    )
    expect(config.local.map(({ name, match }) => [name, match])).toEqual([
      ['team', 'team/**'],
      ['own', 'docker.io/own/*'],
    ])
  })

  test('a namespace stays in the house and lets everything be changed, unless it says otherwise', async () => {
    const { config } = await load(
      `upstreams: [{registry: docker.io}]
local:
  - match: team/**
  - {match: own/**, overlay: true, immutableTags: ["v*", latest], delete: false, missingReferences: refuse}
`,
    )
    expect(config.local).toEqual([
      {
        name: 'team',
        match: 'team/**',
        overlay: false,
        immutableTags: [],
        delete: true,
        missingReferences: 'accept',
        untaggedMs: Number.POSITIVE_INFINITY,
        retention: [],
      },
      {
        name: 'own',
        match: 'own/**',
        overlay: true,
        immutableTags: ['v*', 'latest'],
        delete: false,
        missingReferences: 'refuse',
        untaggedMs: Number.POSITIVE_INFINITY,
        retention: [],
      },
    ])
  })

  test('quotas are told in sizes and numbers, and are in what is in force', async () => {
    const quotas =
      'local: [{match: a/**, quota: {bytes: 100GiB, tags: 10000}}, {match: b/**, quota: {tags: 1}}]'
    const { config } = await load(`upstreams: [{registry: docker.io}]\n${quotas}\n`)
    const told = [{ bytes: 100 * 2 ** 30, tags: 10_000 }, { tags: 1 }]
    expect(config.local.map(({ quota }) => quota)).toEqual(told)
    const shown = effective(config) as { local: { quota: unknown }[] }
    expect(shown.local.map(({ quota }) => quota)).toEqual([{ bytes: '100GiB', tags: 10_000 }, { tags: 1 }])
  })

  test('rules on tags are told in durations and numbers, and only told of unless they are enforced', async () => {
    const { config } = await load(
      `upstreams: [{registry: docker.io}]
store: {collectEvery: 6h, grace: 3d}
local:
  - match: team/**
    untagged: 30d
    retention:
      - {match: "pr-*", keep: {last: 5, newerThan: 30d, pulledWithin: 14d}, enforce: true}
      - {match: "*", keep: {last: 1}}
`,
    )
    const dayMs = 86_400_000
    expect(config.collection).toEqual({ everyMs: dayMs / 4, graceMs: 3 * dayMs })
    expect(config.local[0]).toMatchObject({
      untaggedMs: 30 * dayMs,
      retention: [
        {
          match: 'pr-*',
          keep: { last: 5, newerThanMs: 30 * dayMs, pulledWithinMs: 14 * dayMs },
          enforce: true,
        },
        { match: '*', keep: { last: 1, newerThanMs: undefined, pulledWithinMs: undefined }, enforce: false },
      ],
    })
  })

  test('the limits of pushes and of listings are told in sizes, durations and numbers', async () => {
    const { config } = await load(
      'upstreams: [{registry: a.test}]\nlimits: {upload: 1TiB, uploadIdle: forever, uploads: 5, page: 100}',
    )
    expect(config.limits).toMatchObject({
      upload: 2 ** 40,
      uploadIdleMs: Number.POSITIVE_INFINITY,
      uploads: 5,
      page: 100,
    })
  })

  test('freshness is told per pattern, in order', async () => {
    const { policy } = await loadUpstream(
      'tags: [{match: "v*", fresh: forever}, {match: latest, fresh: 0}, {match: "*", fresh: 90s}]',
    )
    expect(policy.tags).toEqual([
      { match: 'v*', freshMs: Number.POSITIVE_INFINITY },
      { match: 'latest', freshMs: 0 },
      { match: '*', freshMs: 90_000 },
    ])
  })

  test('the fingerprint changes with the file and with every secret, and with nothing else', async () => {
    await using dir = await tempDir()
    const path = dir.join('upstreams.yaml')
    const fingerprint = async () => (await loadConfig(path, {})).fingerprint
    await writeFile(
      path,
      'upstreams: [{registry: a.test, credentials: {token: file:token}, shareWithEveryone: true}]',
    )
    await writeFile(dir.join('token'), 'one')
    const before = await fingerprint()
    await writeFile(dir.join('token'), 'one')
    expect(await fingerprint()).toBe(before)
    await writeFile(dir.join('token'), 'two')
    expect(await fingerprint()).not.toBe(before)
  })
})

describe.skipIf(process.platform === 'win32')('a secret in a file', () => {
  const yaml = `upstreams:
  - {registry: a.test, credentials: {token: file:token}, shareWithEveryone: true}
  - {registry: b.test, credentials: {file: pair}, shareWithEveryone: true}
  - {registry: c.test, credentials: {docker: docker}, shareWithEveryone: true}
listeners: [{address: "[::]:443", tls: {cert: file:cert, key: file:key}}]
`
  const files = { ...serverCertificate, token: 'secret-word', pair: 'me:secret-word', docker: '{}' }

  async function warningsOf(mode: number) {
    await using dir = await tempDir()
    await writeFile(dir.join('upstreams.yaml'), yaml)
    for (const [name, content] of Object.entries(files)) {
      await writeFile(dir.join(name), content)
      await chmod(dir.join(name), mode)
    }
    const { warnings } = await loadConfig(dir.join('upstreams.yaml'), {})
    return { folder: dir.path, warnings }
  }

  test('that everybody may read is warned of, with its place', async () => {
    const { folder, warnings } = await warningsOf(0o644)
    expect(warnings.map(({ line, key }) => `${line} ${key}`)).toEqual([
      '2 upstreams[0].credentials.token',
      '3 upstreams[1].credentials.file',
      '4 upstreams[2].credentials.docker',
      '5 listeners[0].tls.key',
    ])
    expect(warnings[3]?.message).toBe(
      `${folder}/key holds a secret and is open to everybody on this machine (mode 0644): take that away with chmod o=`,
    )
    expect(JSON.stringify(warnings)).not.toContain('secret-word')
  })

  test.each([0o400, 0o440, 0o600, 0o660])('with the mode %o is not, as its group may read it', async mode => {
    expect((await warningsOf(mode)).warnings).toEqual([])
  })

  test('that everybody may change is warned of too', async () => {
    expect((await warningsOf(0o602)).warnings).toHaveLength(4)
  })
})

describe('layover check', () => {
  async function check(path: string) {
    let out = ''
    let err = ''
    const code = await runCheck(path, { write: text => (out += text) }, { write: text => (err += text) })
    return { code, out, err }
  }

  test('prints a configuration that means the same', async () => {
    await using dir = await tempDir()
    const { code, out } = await check('upstreams.yaml')
    expect(code).toBe(0)
    await writeFile(dir.join('again.yaml'), out)
    expect((await loadConfig(dir.join('again.yaml'))).config).toEqual(
      (await loadConfig('upstreams.yaml')).config,
    )
  })

  test('prints the rules of pushes so that they mean the same', async () => {
    await using dir = await tempDir()
    await writeFile(
      dir.join('upstreams.yaml'),
      `upstreams: [{registry: docker.io}]
limits: {upload: 1000, uploadIdle: 90m, uploads: 3, page: 7}
local: [{match: index.docker.io/own/**, overlay: true, immutableTags: ["*"], delete: false, missingReferences: refuse}]
`,
    )
    const { config, redacted } = await loadConfig(dir.join('upstreams.yaml'))
    await writeFile(dir.join('upstreams.yaml'), stringify(redacted))
    expect((await loadConfig(dir.join('upstreams.yaml'))).config).toEqual(config)
  })

  test.each([
    '5%',
    '20GiB',
    '0',
  ])('prints what is kept so that it means the same, with a floor of %s', async minFree => {
    await using dir = await tempDir()
    const path = dir.join('upstreams.yaml')
    await writeFile(
      path,
      `store: {maxSize: 50GiB, minFree: ${minFree}}
upstreams: [{registry: docker.io, maxSize: 10GiB, unused: 90d, pin: ["library/debian:bookworm*", "acme/**"]}]
`,
    )
    const { config, redacted } = await loadConfig(path)
    expect(config.capacity.maxBytes).toBe(50 * 2 ** 30)
    expect(config.upstreams[0]?.keeping).toEqual({
      maxBytes: 10 * 2 ** 30,
      unusedMs: 90 * 86_400_000,
      pins: [
        { match: 'library/debian', tags: 'bookworm*' },
        { match: 'acme/**', tags: undefined },
      ],
    })
    await writeFile(path, stringify(redacted))
    expect((await loadConfig(path)).config).toEqual(config)
  })

  test('prints roles of listeners so that they mean the same', async () => {
    await using dir = await tempDir()
    const path = dir.join('upstreams.yaml')
    await writeFile(
      path,
      'upstreams: [{registry: a.test}]\nlisteners: [{address: "[::]:80", role: mirror}, {address: "127.0.0.1:81"}]',
    )
    const { config, redacted } = await loadConfig(path)
    await writeFile(path, stringify(redacted))
    expect((await loadConfig(path)).config).toEqual(config)
  })

  test('shows that a listener has a certificate, and not its key', async () => {
    const { redacted } = await load(
      'upstreams: [{registry: a.test}]\nlisteners: [{address: "[::]:443", tls: {cert: file:secrets/cert, key: file:secrets/key}}]',
      { files: serverCertificate },
    )
    const { listeners, listen } = parse(stringify(redacted)) as Record<string, unknown>
    expect(listen).toBeUndefined()
    expect(listeners).toEqual([
      { address: '[::]:443', role: 'registry', tls: { cert: '<1 certificate>', key: '<redacted>' } },
    ])
  })

  test('a bucket: what follows from the rest, and no secret is shown', async () => {
    const { config, redacted } = await load(
      `store: {s3: {bucket: images, endpoint: "https://s3.corp.test/", prefix: /team/layover/, accessKeyId: key, secretAccessKey: file:secrets/s3}}
upstreams: [{registry: a.test}]`,
      { files: { s3: 's3cret\n' } },
    )
    expect(config.store.s3).toEqual({
      bucket: 'images',
      region: 'us-east-1',
      endpoint: 'https://s3.corp.test',
      prefix: 'team/layover',
      pathStyle: true,
      credentials: { accessKeyId: 'key', secretAccessKey: 's3cret' },
      ca: undefined,
      timeouts: { connectMs: 2_000, requestMs: 10_000, idleMs: 30_000 },
      connections: 128,
      cached: true,
      patienceMs: 1_000,
    })
    expect(stringify(redacted)).toContain('secretAccessKey: <redacted>')
    expect(stringify(redacted)).not.toContain('s3cret')
    expect(stringify(redacted)).toContain('redirect: false')
    const plain = await load('store: {s3: {bucket: images}}\nupstreams: [{registry: a.test}]')
    expect(plain.config.store.s3).toMatchObject({ pathStyle: false, credentials: undefined, prefix: '' })
  })

  test('redirects to a bucket: `true` stands for the defaults', async () => {
    const of = async (redirect: string) => {
      const { config, redacted } = await load(
        `store: {s3: {bucket: images, redirect: ${redirect}}}\nupstreams: [{registry: a.test}]`,
      )
      const { links, linkedFrom } = config.store.s3 ?? {}
      return { links, linkedFrom, shown: (redacted as { store: { s3: unknown } }).store.s3 }
    }
    expect(await of('false')).toMatchObject({ links: undefined, shown: { redirect: false } })
    expect(await of('true')).toMatchObject({
      links: { endpoint: undefined, validMs: 900_000 },
      linkedFrom: 1_048_576,
      shown: { redirect: { from: '1MiB', valid: '15m' } },
    })
    expect(await of('{from: 0, valid: 1h, endpoint: "https://s3.corp.test"}')).toMatchObject({
      links: { endpoint: 'https://s3.corp.test', validMs: 3_600_000 },
      linkedFrom: 0,
      shown: { redirect: { from: '0B', valid: '1h', endpoint: 'https://s3.corp.test' } },
    })
  })

  test('shows no secret', async () => {
    const { redacted } = await load(
      `upstreams:
  - {registry: a.test, credentials: {username: bob, password: "\${SECRET}"}, shareWithEveryone: true}
  - {registry: b.test, credentials: {token: file:secrets/token}, allow: [x], proxy: "http://me:s3cret@proxy.test:3128"}
  - {registry: c.test, ca: file:secrets/ca, cert: file:secrets/cert, key: file:secrets/key}
`,
      {
        env: { SECRET: 's3cret' },
        files: {
          token: 's3cret',
          ca: caCertificate,
          cert: clientCertificate.cert,
          key: clientCertificate.key,
        },
      },
    )
    const text = stringify(redacted)
    expect(text).not.toMatch(/s3cret|PRIVATE|BEGIN/)
    const { upstreams } = parse(text) as { upstreams: Record<string, unknown>[] }
    expect(upstreams[0]?.urls).toEqual([
      { url: 'https://a.test', credentials: { username: 'bob', password: '<redacted>' } },
    ])
    expect(upstreams[1]).toMatchObject({
      urls: [{ url: 'https://b.test', credentials: { token: '<redacted>' } }],
      proxy: 'http://<redacted>@proxy.test:3128/',
    })
    expect(upstreams[2]).toMatchObject({ ca: '<1 certificate>', cert: '<1 certificate>', key: '<redacted>' })
  })

  test('tells every mistake and exits with 2', async () => {
    await using dir = await tempDir()
    await writeFile(dir.join('bad.yaml'), 'upstreams: [{registry: A.test, default: 1}]')
    const { code, out, err } = await check(dir.join('bad.yaml'))
    expect({ code, out, lines: err.trimEnd().split('\n').length }).toEqual({ code: 2, out: '', lines: 2 })
  })
})
