/** Every mistake is told, with its place, what was found and what is allowed. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: that is how the configuration refers to the environment
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../../src/config/load.ts'
import { ConfigError } from '../../../src/config/problem.ts'
import { clientCertificate, serverCertificate, weakCertificate } from '../../fake/certificates.ts'
import { teamCa, teamCrl } from '../../fake/client-certificates.ts'
import { tempDir } from '../../support/temp-dir.ts'

/** Each problem as a line, without the file's path. */
async function problemsOf(
  yaml: string,
  { env = {}, files = {} }: { env?: Record<string, string>; files?: Record<string, string> } = {},
) {
  await using dir = await tempDir()
  for (const [name, content] of Object.entries(files)) await writeFile(dir.join(name), content)
  await writeFile(dir.join('upstreams.yaml'), yaml)
  const error: unknown = await loadConfig(dir.join('upstreams.yaml'), env).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof ConfigError)) throw new Error(`expected a ConfigError and not ${String(error)}`)
  return error.message.replaceAll(`${dir.path}/`, '').split('\n')
}

/** In an upstream that is otherwise right; the value begins in line 3. */
const inUpstream = (lines: string) => `upstreams:\n  - registry: ghcr.io\n    ${lines}\n`
const inListener = (tls: string) => `listeners: [{address: "0.0.0.0:443", tls: ${tls}}]`
const pair = ({ cert, key }: { cert: string; key: string }) =>
  `cert: ${JSON.stringify(cert)}, key: ${JSON.stringify(key)}`
const whole = 'upstreams: [{registry: ghcr.io}]\n'
const allowedAtTop =
  'listen, listeners, hosts, publicUrl, trustedProxies, admin, store, index, replica, limits, access, upstreams, local'
const share =
  'everybody who reaches Layover could pull what these can: list what may be pulled under `allow`, or write `shareWithEveryone: true`'

describe('a mistake in the configuration', () => {
  test.each<[string, string, string[]]>([
    [
      'an unknown key',
      `${whole}nonsense: 1\n`,
      [`2:1 nonsense: unknown key "nonsense" (allowed: ${allowedAtTop})`],
    ],
    [
      'a slip of the pen',
      `${whole}lisen: x\n`,
      [`2:1 lisen: unknown key "lisen", did you mean listen? (allowed: ${allowedAtTop})`],
    ],
    [
      'an admin API for everybody',
      `${whole}admin: {listen: "0.0.0.0:8081"}\n`,
      [
        '2:17 admin.listen: expected a loopback address such as 127.0.0.1:8081 or [::1]:8081, or off: whoever reaches the admin API may do everything, since access control is not built yet, found "0.0.0.0:8081"',
      ],
    ],
    [
      'a bucket that is none',
      `${whole}store: {s3: {bucket: A}}\n`,
      [
        '2:22 store.s3.bucket: expected the name of a bucket: 3 to 63 lower-case letters, digits and . _ -, found "A"',
      ],
    ],
    [
      'half a credential',
      `${whole}store: {s3: {bucket: images, secretAccessKey: x}}\n`,
      ['2:47 store.s3.secretAccessKey: expected `accessKeyId` beside it'],
    ],
    [
      'redirects to a bucket that nobody could use',
      `${whole}store: {s3: {bucket: images, redirect: {valid: 30s, endpoint: s3.test, to: x}}}\n`,
      [
        '2:48 store.s3.redirect.valid: expected a duration such as 15m or 1h, from 1m to 1d, found "30s"',
        '2:63 store.s3.redirect.endpoint: expected a URL such as https://registry.corp.example, found "s3.test"',
        '2:72 store.s3.redirect.to: unknown key "to" (allowed: from, valid, endpoint)',
      ],
    ],
    [
      'redirects that are no keys',
      `${whole}store: {s3: {bucket: images, redirect: 15m}}\n`,
      ['2:40 store.s3.redirect: expected keys (from, valid, endpoint), found "15m"'],
    ],
    [
      'a replica that is at no address, with a secret that is none',
      `${whole}replica: {advertise: "10.0.0.3:8080/x", secret: short}\n`,
      [
        '2:22 replica.advertise: expected a URL such as http://10.0.0.3:8080, found "10.0.0.3:8080/x"',
        '2:49 replica.secret: expected a secret of at least 16 characters, such as `openssl rand -hex 32` gives',
      ],
    ],
    ['no upstream', 'hosts: []\n', ['1:1 upstreams: expected a list, found nothing']],
    [
      'an empty list of upstreams',
      'upstreams: []\n',
      ['1:12 upstreams: expected a list with a length of at least 1, found a list'],
    ],
    [
      'an upstream without a registry',
      'upstreams:\n  - url: https://x.test\n',
      ['2:5 upstreams[0].registry: expected host or host:port, found nothing'],
    ],
    [
      'a number instead of an address',
      `listen: 8080\n${whole}`,
      ['1:9 listen: expected address:port, found 8080'],
    ],
    [
      'a bad address in a list',
      `listen: ["0.0.0.0:80", nowhere]\n${whole}`,
      ['1:24 listen[1]: expected an address and a port, such as 0.0.0.0:8080 or [::]:8080, found "nowhere"'],
    ],
    [
      'a text instead of keys',
      `store: ./data\n${whole}`,
      [
        '1:8 store: expected keys (path, maxSize, minFree, collectEvery, grace, scrubEvery, scrubRate, s3), found "./data"',
      ],
    ],
    ['keys instead of a text', `publicUrl: {a: b}\n${whole}`, ['1:12 publicUrl: expected URL, found keys']],
    [
      'nothing where there should be keys',
      `store:\n${whole}`,
      [
        '1:7 store: expected keys (path, maxSize, minFree, collectEvery, grace, scrubEvery, scrubRate, s3), found nothing',
      ],
    ],
    [
      'a floor of free disk that is none',
      `store: {minFree: half}\n${whole}`,
      ['1:18 store.minFree: expected a size such as 10GiB or a share such as 5%, found "half"'],
    ],
    [
      'a pin with two tags',
      'upstreams: [{registry: a.test, pin: ["app:v1:v2"]}]',
      [
        '1:38 upstreams[0].pin[0]: expected a pattern such as library/* or library/debian:bookworm*, found "app:v1:v2"',
      ],
    ],
    [
      'a limit of nothing',
      `limits: {manifest: 0}\n${whole}`,
      ['1:20 limits.manifest: expected a size such as 64KiB, 4MiB, 50GiB or 1000, more than 0, found 0'],
    ],
    [
      'a timer that never ends',
      `limits: {drain: forever}\n${whole}`,
      ['1:17 limits.drain: expected a duration such as 250ms, 5s or 5m, at most 1d, found "forever"'],
    ],
    [
      'a fraction',
      `limits: {connections: 1.5}\n${whole}`,
      ['1:23 limits.connections: expected a whole number, found 1.5'],
    ],
    [
      'too large a number',
      inUpstream('concurrency: {fills: 99999}'),
      ['3:26 upstreams[0].concurrency.fills: expected a whole number of at most 10000, found 99999'],
    ],
    [
      'a choice that is none',
      inUpstream('rateLimited: never'),
      ['3:18 upstreams[0].rateLimited: expected unavailable or propagate, found "never"'],
    ],
    [
      'a bad duration',
      inUpstream('maxStale: 5 min'),
      [
        '3:15 upstreams[0].maxStale: expected a duration such as 250ms, 5s, 5m, 1h, 7d or forever, found "5 min"',
      ],
    ],
    [
      'a URL with a password',
      inUpstream('url: "https://bob:s3/cret@ghcr.io"'),
      [
        '3:10 upstreams[0].url: expected a URL such as https://registry.corp.example, found "https://<redacted>@ghcr.io"',
      ],
    ],
    [
      'a URL with a user',
      inUpstream('url: https://bob:secret@ghcr.io'),
      [
        '3:10 upstreams[0].url: expected a URL without a user and password; put them under `credentials`, found "https://<redacted>@ghcr.io"',
      ],
    ],
    [
      'a single address',
      inUpstream('allowPrivate: [10.0.0.1]'),
      [
        '3:20 upstreams[0].allowPrivate[0]: expected an address range; for this one address write 10.0.0.1/32, found "10.0.0.1"',
      ],
    ],
    [
      'a pattern with the registry',
      inUpstream('deny: [ghcr.io/corp/**]'),
      ['3:12 upstreams[0].deny[0]: expected a pattern without the registry: leave out ghcr.io/'],
    ],
    [
      'no credentials in credentials',
      inUpstream('credentials: {}\n    shareWithEveryone: true'),
      [
        '3:18 upstreams[0].credentials: expected one form: username and password, token, file, docker, exec, ecr, gar, or acr; found none',
      ],
    ],
    [
      'two forms of credentials',
      inUpstream('credentials: {token: a, docker: upstreams.yaml}\n    allow: [a]'),
      [
        '3:18 upstreams[0].credentials: expected one form: username and password, token, file, docker, exec, ecr, gar, or acr; found token, docker',
      ],
    ],
    [
      'credentials for everybody by accident',
      inUpstream('credentials: {token: a}'),
      [`3:18 upstreams[0].credentials: ${share}`],
    ],
    [
      'the same in the long form',
      inUpstream('urls: [{url: https://a.test}, {url: https://b.test, credentials: {token: a}}]'),
      [`3:70 upstreams[0].urls[1].credentials: ${share}`],
    ],
    [
      'both forms of URL',
      inUpstream('urls: [{url: https://a.test}]\n    url: https://b.test'),
      [
        '4:10 upstreams[0].url: expected either `url` and `credentials`, or `urls` with credentials of their own',
      ],
    ],
    [
      'two defaults',
      'upstreams: [{registry: a.test, default: true}, {registry: b.test, default: true}]',
      ['1:76 upstreams[1].default: upstreams[0] is the default already; there is one at most'],
    ],
    [
      'one registry twice',
      'upstreams: [{registry: a.test}, {registry: a.test}]',
      ['1:44 upstreams[1].registry: a.test is taken by upstreams[0].registry'],
    ],
    [
      'a pattern that no name on Docker Hub matches',
      'upstreams: [{registry: docker.io, allow: ["**", library/*], deny: [alpine]}]',
      [
        '1:68 upstreams[0].deny[0]: expected a pattern with a slash, as every name on Docker Hub has one: library/alpine',
      ],
    ],
    [
      "another's name as alias",
      'upstreams: [{registry: docker.io}, {registry: a.test, aliases: [index.docker.io]}]',
      ['1:65 upstreams[1].aliases[0]: index.docker.io is taken by upstreams[0].registry'],
    ],
    [
      'a host of ours that is a registry',
      `hosts: [ghcr.io]\n${whole}`,
      ['1:9 hosts[0]: ghcr.io is taken by upstreams[0].registry'],
    ],
    [
      "Docker Hub's other name",
      'upstreams: [{registry: index.docker.io}]',
      [
        '1:24 upstreams[0].registry: expected docker.io: Docker Hub goes by that name here, index.docker.io is known as another',
      ],
    ],
    [
      'a namespace without a name',
      `${whole}local: [{match: "*/x"}]\n`,
      ['2:9 local[0]: expected `name`, since `match` does not begin with a name of its own'],
    ],
    [
      'two namespaces of one name',
      `${whole}local: [{match: a/x}, {match: a/y}]\n`,
      ['2:23 local[1]: expected another `name`: a is local[0]'],
    ],
    [
      'a namespace that another one leaves no name',
      `${whole}local: [{match: a/**}, {match: a/b/**, name: b}]\n`,
      ['2:32 local[1].match: expected it in front of local[0], which takes all of its names'],
    ],
    [
      'the same, once by the name of the registry and once as the default',
      'upstreams: [{registry: docker.io}]\nlocal: [{match: "**", name: all, overlay: true}, {match: index.docker.io/team/*}]\n',
      ['2:58 local[1].match: expected it in front of local[0], which takes all of its names'],
    ],
    [
      'an overlay over nothing',
      `${whole}local: [{match: a/**, overlay: true}]\n`,
      [
        '2:32 local[0].overlay: expected an upstream behind it: `match` names none of them, and none is the default; leave it out, or name one as in docker.io/team/**',
      ],
    ],
    [
      'an overlay that is neither true nor false',
      `${whole}local: [{match: a/**, overlay: "yes"}]\n`,
      ['2:32 local[0].overlay: expected true or false, found "yes"'],
    ],
    [
      'a pattern that no tag can match',
      `${whole}local: [{match: a/**, immutableTags: [v1/*]}]\n`,
      ['2:39 local[0].immutableTags[0]: expected a pattern of tags such as latest, v* or *, found "v1/*"'],
    ],
    [
      'one pattern of tags instead of a list',
      `${whole}local: [{match: a/**, immutableTags: v*}]\n`,
      ['2:38 local[0].immutableTags: expected a list, found "v*"'],
    ],
    [
      'another word for missing references',
      `${whole}local: [{match: a/**, missingReferences: deny}]\n`,
      ['2:42 local[0].missingReferences: expected accept or refuse, found "deny"'],
    ],
    [
      'a rule that would keep nothing',
      `${whole}local: [{match: a/**, retention: [{match: v*, keep: {}}]}]\n`,
      [
        '2:53 local[0].retention[0].keep: expected at least one of last, newerThan and pulledWithin, found keys',
      ],
    ],
    [
      'a quota that limits nothing',
      `${whole}local: [{match: a/**, quota: {}}]\n`,
      ['2:30 local[0].quota: expected at least one of bytes and tags, found keys'],
    ],
    [
      'uploads that may not wait',
      `limits: {uploadIdle: 0s}\n${whole}`,
      [
        '1:22 limits.uploadIdle: expected a duration such as 250ms, 5s, 5m, 1h, 7d or forever, more than 0, found "0s"',
      ],
    ],
    [
      'pages without an entry',
      `limits: {page: 0}\n${whole}`,
      ['1:16 limits.page: expected a whole number of at least 1, found 0'],
    ],
    [
      'a certificate alone',
      inUpstream(`cert: ${JSON.stringify(serverCertificate.cert)}`),
      ['3:11 upstreams[0].cert: expected `key` beside it: a client certificate needs both'],
    ],
    [
      'a certificate of another key',
      inUpstream(
        `cert: ${JSON.stringify(serverCertificate.cert)}\n    key: ${JSON.stringify(clientCertificate.key)}`,
      ),
      ['3:11 upstreams[0].cert: expected the certificate of `key`, found one of another key'],
    ],
    [
      'listeners beside listen',
      `${whole}listen: 0.0.0.0:80\nlisteners: [{address: "0.0.0.0:443"}]\n`,
      ['3:12 listeners: expected either `listen` or `listeners`: leave `listen` out'],
    ],
    [
      'a listener with a certificate alone',
      `${inListener(`{cert: ${JSON.stringify(serverCertificate.cert)}}`)}\n${whole}`,
      ['1:43 listeners[0].tls.key: expected PEM or `file:`'],
    ],
    [
      'a listener with a certificate of another key',
      `${inListener(`{${pair({ ...serverCertificate, key: clientCertificate.key })}}`)}\n${whole}`,
      [
        '1:50 listeners[0].tls.cert: expected the certificate of `key`, in front of those between it and its root; found one of another key',
      ],
    ],
    [
      'a listener whose key TLS does not take',
      `${inListener(`{${pair(weakCertificate)}}`)}\n${whole}`,
      ['1:50 listeners[0].tls.cert: TLS does not take it with this key: ee key too small'],
    ],
  ])('%s', async (_, yaml, lines) => {
    expect(await problemsOf(yaml)).toEqual(lines.map(line => `upstreams.yaml:${line}`))
  })

  test.each([
    ['index: mysql://db.test', '1:8 index: expected sqlite, redis://host:6379'],
    ['index: redis://a.test,b.test', '1:8 index: expected one host'],
    ['index: redis+sentinel://a.test', "1:8 index: expected the master's name behind the Sentinels"],
    ['index: redis+cluster://a.test/1', '1:8 index: expected no database'],
    ['index: {password: x}', '1:8 index.url: expected `sqlite` or URL'],
    ['index: {url: redis://a.test, prefix: "{a}"}', '1:38 index.prefix: expected at most 64 characters'],
    ['index: {url: redis://a.test, ca: none}', '1:34 index.ca: expected'],
    [
      'index: {url: redis://a.test, pasword: x}',
      '1:30 index.pasword: unknown key "pasword", did you mean password?',
    ],
  ])('an index that is none: %s', async (line, problem) => {
    const [first = ''] = await problemsOf(`${line}\n${whole}`)
    expect(first).toContain(`upstreams.yaml:${problem}`)
  })

  test('a password that stands in the address of Redis is not told', async () => {
    const problems = await problemsOf(`index: redis://user:secret@a.test:99999\n${whole}`)
    expect(problems).toHaveLength(1)
    expect(problems[0]).not.toContain('secret')
  })

  test.each([
    ['clientCa: none', 'clientCa: expected certificates as PEM text'],
    [
      `clientCa: ${JSON.stringify(serverCertificate.cert)}`,
      'clientCa: expected each certificate with the one that signed it',
    ],
    ['clientAuth: optional', 'clientAuth: expected `clientCa` beside it'],
    [`clientCrl: ${JSON.stringify(teamCrl)}`, 'clientCrl: expected `clientCa` beside it'],
    [
      `clientCa: ${JSON.stringify(teamCa)}, clientCrl: ${JSON.stringify(teamCa)}`,
      'clientCrl: expected lists of revoked certificates as PEM text',
    ],
    [
      `clientCa: ${JSON.stringify(teamCa)}, clientCrl: ${JSON.stringify(teamCrl.replace('\nM', '\nA'))}`,
      'clientCrl: expected lists of revoked certificates as PEM text',
    ],
    ['clientCa: file:missing', 'missing cannot be read: there is no such file'],
  ])('certificates of clients that cannot be checked: %#', async (keys, problem) => {
    const problems = await problemsOf(`${inListener(`{${pair(serverCertificate)}, ${keys}}`)}\n${whole}`)
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain('listeners[0].tls.client')
    expect(problems[0]).toContain(problem)
    expect(problems[0]).not.toContain('BEGIN')
  })

  test('a proxy that is no range of addresses', async () => {
    expect(await problemsOf(`trustedProxies: [10.0.0.1]\n${whole}`)).toEqual([
      'upstreams.yaml:1:18 trustedProxies[0]: expected an address range; for this one address write 10.0.0.1/32, found "10.0.0.1"',
    ])
  })

  test.each([
    ['a/b/**', 'a/**'],
    ['a/*', 'a/**'],
    ['a/*/*', 'a/**'],
    ['a/**/c', 'a/**'],
    ['a/*/**/b', 'a/**/b'],
    ['a*', '*'],
    ['ghcr.io/a/**', 'a/**'],
    ['a/**', 'ghcr.io/a/**'],
    ['docker.io/a/b', 'a/**'],
  ])('a namespace %s leaves names for %s', async (first, second) => {
    const local = `local: [{name: one, match: "${first}"}, {name: two, match: "${second}"}]`
    const [line, ...more] = await problemsOf(
      `upstreams: [{registry: docker.io}, {registry: ghcr.io}]\n${local}\nnonsense: 1\n`,
    )
    expect([line?.split(': ')[0], ...more]).toEqual(['upstreams.yaml:3:1 nonsense'])
  })

  test('all of them are told at once, in the order of the file', async () => {
    const lines = await problemsOf(`
lisen: x
limits: {drain: soon}
upstreams:
  - registry: docker.io
    urll: https://x.test
    credentials: {username: "\${NOBODY}", password: "file:missing"}
  - registry: docker.io
`)
    expect(lines.map(line => line.split(': ')[0])).toEqual([
      'upstreams.yaml:2:1 lisen',
      'upstreams.yaml:3:17 limits.drain',
      'upstreams.yaml:6:5 upstreams[0].urll',
      'upstreams.yaml:7:18 upstreams[0].credentials',
      'upstreams.yaml:7:29 upstreams[0].credentials.username',
      'upstreams.yaml:7:52 upstreams[0].credentials.password',
      'upstreams.yaml:8:15 upstreams[1].registry',
    ])
  })

  test('a value behind an alias is told where it is written', async () => {
    const lines = await problemsOf(
      `upstreams:\n  - {registry: a.test, maxStale: &age never}\n  - {registry: b.test, maxStale: *age}\n`,
    )
    expect(lines.map(line => line.split(': ')[0])).toEqual([
      'upstreams.yaml:2:39 upstreams[0].maxStale',
      'upstreams.yaml:2:39 upstreams[1].maxStale',
    ])
  })
})

const inQuotes = 'a text that begins so has to stand in quotes'

describe('a file that is no configuration', () => {
  test.each<[string, string, string]>([
    ['an empty file', '', '1:1 is empty; it needs `upstreams`'],
    ['only comments', '# nothing yet\n', '1:1 is empty; it needs `upstreams`'],
    ['a list', '- a\n', '1:1 expected keys such as `upstreams:`'],
    ['a sentence', 'hello there\n', '1:1 expected keys such as `upstreams:`'],
    ['a key that stands twice', 'hosts: []\nhosts: []\n', '2:1 this key stands here twice'],
    ['an unknown alias', 'hosts: *mine\n', `1:8 there is no &name before this *name; ${inQuotes}`],
    ['an unknown tag', 'hosts: !env X\n', `1:8 there is no such !tag; ${inQuotes}`],
  ])('%s', async (_, yaml, line) => expect(await problemsOf(yaml)).toEqual([`upstreams.yaml:${line}`]))

  test('a syntax error is told with its place and without quoting the line, which may hold a secret', async () => {
    const [line, ...more] = await problemsOf('upstreams: [{registry: a.test, credentials: {token: s3cret}\n')
    expect(line).toMatch(/^upstreams\.yaml:\d+:\d+ /)
    expect([line, ...more].join()).not.toContain('s3cret')
  })

  test.each([
    'password: *s3cret',
    'password: !s3cret',
    'password: &s3cret',
    'password:s3cret: x',
    'password: "a\\s3cret"',
    'password: "a" s3cret',
    'password: `s3cret',
    'password: ${s3cret',
    'password:\n      s3cret',
  ])('a password that YAML takes for something else is not quoted: %j', async line => {
    const lines = await problemsOf(inUpstream(`credentials:\n      username: u\n      ${line}`))
    expect(lines.join('\n')).not.toContain('s3cret')
  })

  test('aliases that multiply are refused', async () => {
    const bomb = Array.from(
      { length: 12 },
      (_, at) => `a${at}: &a${at} [${at === 0 ? 'x' : `*a${at - 1}, *a${at - 1}, *a${at - 1}`}]`,
    )
    expect(await problemsOf(`${bomb.join('\n')}\n`)).toEqual([
      'upstreams.yaml has more aliases (*name) than a configuration needs',
    ])
  })

  test('a missing file and a folder are told as such', async () => {
    await using dir = await tempDir()
    await mkdir(dir.join('folder'))
    await expect(loadConfig(dir.join('none.yaml'))).rejects.toThrow(
      'none.yaml cannot be read: there is no such file',
    )
    await expect(loadConfig(dir.join('folder'))).rejects.toThrow('folder cannot be read: it is a folder')
  })
})

describe('a reference that leads nowhere', () => {
  test.each<[string, string, string]>([
    [
      'an unset variable',
      'url: "https://${NOWHERE}"',
      '3:10 upstreams[0].url: the environment variable NOWHERE is not set',
    ],
    [
      'no variable name',
      'url: "https://${A B}"',
      '3:10 upstreams[0].url: `${` begins a variable, as in `${HUB_USER}`; for the characters write `$${`',
    ],
    [
      'a missing file',
      'ca: file:none.pem',
      '3:9 upstreams[0].ca: none.pem cannot be read: there is no such file',
    ],
    [
      'a missing config.json',
      'credentials: {docker: none.json}\n    allow: [a]',
      '3:27 upstreams[0].credentials.docker: none.json cannot be read: there is no such file',
    ],
    [
      'an empty secret',
      'credentials: {token: file:empty}\n    allow: [a]',
      '3:26 upstreams[0].credentials.token: file:empty is empty',
    ],
    [
      'a secret of several lines',
      'credentials: {token: file:lines}\n    allow: [a]',
      '3:26 upstreams[0].credentials.token: file:lines has more than one line',
    ],
  ])('%s', async (_, lines, problem) => {
    const files = { empty: '\n', lines: 'a\nb\n' }
    expect(await problemsOf(inUpstream(lines), { files })).toEqual([`upstreams.yaml:${problem}`])
  })

  test('the values of variables and files are never quoted', async () => {
    const lines = await problemsOf(
      `upstreams:
  - registry: a.test
    url: "\${SECRET}"
    maxStale: "\${SECRET}"
    proxy: "\${SECRET}"
    credentials: {username: file:secret, password: x, file: secret}
    key: file:secret
    allow: [a]
`,
      { env: { SECRET: 's3cret' }, files: { secret: 's3cret:\n' } },
    )
    expect(lines.length).toBeGreaterThanOrEqual(6)
    expect(lines.join('\n')).not.toContain('s3cret')
  })

  test.skipIf(process.getuid?.() === 0)('a secret that this user may not read is told as such', async () => {
    await using dir = await tempDir()
    await writeFile(dir.join('secret'), 'x')
    await chmod(dir.join('secret'), 0)
    await writeFile(
      dir.join('upstreams.yaml'),
      inUpstream('credentials: {token: file:secret}\n    allow: [a]'),
    )
    await expect(loadConfig(dir.join('upstreams.yaml'))).rejects.toThrow('this user may not read it')
  })
})
