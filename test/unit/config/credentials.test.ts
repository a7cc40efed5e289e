/** Credentials, which may be one or a list: what they mean, and each mistake with its place, as it is written. */
import { mkdir, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { loadConfig } from '../../../src/config/load.ts'
import { tempDir } from '../../support/temp-dir.ts'

const inUpstream = (lines: string) => `upstreams:\n  - registry: ghcr.io\n    ${lines}\n`
const share =
  'everybody who reaches Layover could pull what these can: list what may be pulled under `allow`, or write `shareWithEveryone: true`'

test.each<[string, string, string[]]>([
  [
    'a second form of credentials that is none',
    inUpstream('credentials: [{ecr: {}}, {token: a, gar: {}}]\n    allow: [a]'),
    [
      '3:30 upstreams[0].credentials[1]: expected one form: username and password, token, file, docker, exec, ecr, gar, or acr; found token, gar',
    ],
  ],
  [
    'a list of no credentials',
    inUpstream('credentials: []\n    allow: [a]'),
    ['3:18 upstreams[0].credentials: expected a list with a length of at least 1'],
  ],
  [
    'a program that is searched for',
    inUpstream('credentials: {exec: {command: ecr-login}}\n    allow: [a]'),
    [
      '3:35 upstreams[0].credentials.exec.command: expected an absolute path, such as /usr/local/bin/ecr-credential-provider',
    ],
  ],
  [
    'a region and a role that are none',
    inUpstream('credentials: {ecr: {region: evil.test/, roleArn: pull}}\n    allow: [a]'),
    [
      '3:33 upstreams[0].credentials.ecr.region: expected a region such as eu-central-1',
      '3:54 upstreams[0].credentials.ecr.roleArn: expected the ARN of a role, such as arn:aws:iam::123456789012:role/pull',
    ],
  ],
  [
    'a slip of the pen in credentials',
    inUpstream('credentials: {ecr: {regoin: a}}\n    allow: [a]'),
    [
      '3:25 upstreams[0].credentials.ecr.regoin: unknown key "regoin", did you mean region? (allowed: region, roleArn)',
    ],
  ],
  [
    'several credentials for everybody by accident',
    inUpstream('credentials: [{ecr: {}}, {token: a}]'),
    [`3:18 upstreams[0].credentials: ${share}`],
  ],
  [
    "a missing credential file of Google's, of several credentials",
    inUpstream('credentials: [{ecr: {}}, {gar: {file: none.json}}]\n    allow: [a]'),
    ['3:43 upstreams[0].credentials[1].gar.file: none.json cannot be read: there is no such file'],
  ],
])('%s', async (_, yaml, lines) => {
  await using dir = await tempDir()
  const path = dir.join('upstreams.yaml')
  await writeFile(path, yaml)
  const error = await loadConfig(path, {}).then(
    () => undefined,
    (reason: unknown) => reason as Error,
  )
  const told = error?.message.replaceAll(`${dir.path}/`, '').split('\n')
  expect(told).toEqual(lines.map(line => `upstreams.yaml:${line}`))
})

test('credentials of every kind, and none of their secrets is shown', async () => {
  await using dir = await tempDir()
  await mkdir(dir.join('secrets'))
  await writeFile(dir.join('secrets/google'), 's3cret')
  await writeFile(dir.join('secrets/login'), 'you:s3cret')
  await writeFile(
    dir.join('upstreams.yaml'),
    `upstreams:
- registry: a.test
  shareWithEveryone: true
  credentials:
    - ecr: {}
    - ecr: {region: eu-central-1, roleArn: "arn:aws:iam::123456789012:role/pull"}
    - gar: {file: secrets/google}
    - gar: {}
    - acr: {clientId: client}
    - exec: {command: /bin/provider, args: ["\${SECRET}"], env: {TOKEN: "\${SECRET}"}}
    - file: secrets/login
    - {username: me, password: "file:secrets/google"}`,
  )
  const { config, redacted } = await loadConfig(dir.join('upstreams.yaml'), { SECRET: 's3cret' })
  const { options } = config.upstreams[0] ?? {}
  expect(options).toMatchObject({ access: 'shared' })
  expect(options?.urls[0]?.credentials).toEqual([
    { kind: 'ecr', region: undefined, roleArn: undefined },
    { kind: 'ecr', region: 'eu-central-1', roleArn: 'arn:aws:iam::123456789012:role/pull' },
    { kind: 'gar', file: `${dir.path}/secrets/google` },
    { kind: 'gar', file: undefined },
    { kind: 'acr', clientId: 'client', tenant: undefined },
    {
      kind: 'exec',
      command: '/bin/provider',
      args: ['s3cret'],
      env: { TOKEN: 's3cret' },
      timeoutMs: 15_000,
      apiVersion: 'v1',
    },
    { kind: 'basic', username: 'you', password: 's3cret' },
    { kind: 'basic', username: 'me', password: 's3cret' },
  ])
  expect(stringify(redacted)).not.toContain('s3cret')
  const { upstreams } = parse(stringify(redacted)) as { upstreams: { urls: { credentials: unknown }[] }[] }
  expect(upstreams[0]?.urls[0]?.credentials).toEqual([
    { ecr: {} },
    { ecr: { region: 'eu-central-1', roleArn: 'arn:aws:iam::123456789012:role/pull' } },
    { gar: { file: `${dir.path}/secrets/google` } },
    { gar: {} },
    { acr: { clientId: 'client' } },
    {
      exec: {
        command: '/bin/provider',
        args: ['<redacted>'],
        env: { TOKEN: '<redacted>' },
        timeout: '15s',
        apiVersion: 'v1',
      },
    },
    { username: 'you', password: '<redacted>' },
    { username: 'me', password: '<redacted>' },
  ])
})
