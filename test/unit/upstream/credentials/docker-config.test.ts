import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { systemClock } from '../../../../src/runtime/clock.ts'
import {
  DockerConfigCredentials,
  DockerConfigUnreadable,
} from '../../../../src/upstream/credentials/docker-config.ts'
import { CredentialHelperFailed, CredentialHelpers } from '../../../../src/upstream/credentials/helper.ts'
import { HeldClock } from '../support.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layover-docker-'))
  vi.stubEnv('PATH', `${folder}${delimiter}${process.env.PATH}`)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true })
})

const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') })

async function configure(config: object, host: string): Promise<DockerConfigCredentials> {
  const path = join(folder, 'config.json')
  await writeFile(path, JSON.stringify(config))
  return new DockerConfigCredentials(path, host, systemClock)
}

/** A credential helper that counts its runs and answers with a text. */
async function helper(name: string, answer: string, exitCode = 0): Promise<void> {
  const path = join(folder, `docker-credential-${name}`)
  await writeFile(
    path,
    `#!/bin/sh\nread server\necho "$server" >> "${folder}/runs"\nprintf '%s' '${answer}'\nexit ${exitCode}\n`,
  )
  await chmod(path, 0o755)
}

test.each([
  [
    'auth, with colons in the password',
    { 'quay.io': auth('me:pa:ss') },
    { kind: 'basic', username: 'me', password: 'pa:ss' },
  ],
  [
    'user name and password',
    { 'quay.io': { username: 'me', password: 'pw' } },
    { kind: 'basic', username: 'me', password: 'pw' },
  ],
  [
    'an identity token',
    { 'https://quay.io': { identitytoken: 'refresh' } },
    { kind: 'identity', token: 'refresh' },
  ],
  [
    'a registry token',
    { 'https://quay.io/v1/': { registrytoken: 'bearer' } },
    { kind: 'bearer', token: 'bearer' },
  ],
  ['an empty entry', { 'quay.io': {} }, undefined],
  ['an entry of another host', { 'ghcr.io': auth('me:pw') }, undefined],
])('%s is read', async (_what, auths, expected) => {
  const credentials = await configure({ auths }, 'quay.io')
  expect(await credentials.get('org/app')).toEqual(expected)
})

test("the longest of podman's prefixes wins", async () => {
  const auths = { 'quay.io': auth('host:1'), 'quay.io/org': auth('org:1'), 'quay.io/org/app': auth('app:1') }
  const credentials = await configure({ auths }, 'quay.io')
  expect(await credentials.get('org/app')).toMatchObject({ username: 'app' })
  expect(await credentials.get('org/application')).toMatchObject({ username: 'org' })
  expect(await credentials.get('other/app')).toMatchObject({ username: 'host' })
})

test("Docker Hub goes by Docker's old key and by podman's", async () => {
  const hub = 'registry-1.docker.io'
  const docker = await configure({ auths: { 'https://index.docker.io/v1/': auth('docker:1') } }, hub)
  expect(await docker.get('library/alpine')).toMatchObject({ username: 'docker' })
  const podman = await configure({ auths: { 'docker.io': auth('podman:1') } }, hub)
  expect(await podman.get('library/alpine')).toMatchObject({ username: 'podman' })
})

test('a changed file is read again, and its version says so', async () => {
  const credentials = await configure({ auths: { 'quay.io': auth('old:1') } }, 'quay.io')
  await credentials.get('app')
  const before = credentials.version
  await configure({ auths: { 'quay.io': auth('newer:1') } }, 'quay.io')
  expect(await credentials.get('app')).toMatchObject({ username: 'newer' })
  expect(credentials.version).not.toBe(before)
})

test('a missing or broken file is an error that quotes nothing of it', async () => {
  const credentials = new DockerConfigCredentials(join(folder, 'none.json'), 'quay.io', systemClock)
  await expect(credentials.get('app')).rejects.toThrow(/ENOENT/)
  await writeFile(join(folder, 'none.json'), '{"auths": secret')
  await expect(credentials.get('app')).rejects.toThrow(DockerConfigUnreadable)
  await expect(credentials.get('app')).rejects.not.toThrow(/secret/)
})

test('a helper is asked for its host, and the store for the others', async () => {
  await helper('own', '{"Username":"own","Secret":"1"}')
  await helper('store', '{"Username":"<token>","Secret":"refresh"}')
  const config = { credHelpers: { 'quay.io': 'own' }, credsStore: 'store' }
  expect(await (await configure(config, 'quay.io')).get('app')).toMatchObject({ username: 'own' })
  expect(await (await configure(config, 'ghcr.io')).get('app')).toEqual({
    kind: 'identity',
    token: 'refresh',
  })
})

test('a helper runs once for many, and again after five minutes', async () => {
  await helper('counted', '{"Username":"a","Secret":"1"}')
  const clock = new HeldClock()
  const helpers = new CredentialHelpers(clock)
  const runs = async () => (await import('node:fs/promises')).readFile(join(folder, 'runs'), 'utf8')
  await Promise.all([helpers.get('counted', 'quay.io'), helpers.get('counted', 'quay.io')])
  await helpers.get('counted', 'quay.io')
  expect(await runs()).toBe('quay.io\n')
  clock.advance(5 * 60_000)
  await helpers.get('counted', 'quay.io')
  expect(await runs()).toBe('quay.io\nquay.io\n')
})

test('a helper that knows nothing gives nothing; other failures are told without its output', async () => {
  const helpers = new CredentialHelpers(systemClock)
  await helper('empty', 'credentials not found in native keychain', 1)
  expect(await helpers.get('empty', 'quay.io')).toBeUndefined()
  await helper('broken', 'secret', 3)
  await expect(helpers.get('broken', 'quay.io')).rejects.toThrow(
    /^docker-credential-broken failed: exit code 3$/,
  )
  await helper('chatty', 'secret')
  await expect(helpers.get('chatty', 'quay.io')).rejects.toThrow('did not answer with JSON')
  await expect(helpers.get('missing', 'quay.io')).rejects.toThrow('ENOENT')
})

test.each(['../evil', '-flag', 'a;b', ''])('%j is no name of a helper', async name => {
  await expect(new CredentialHelpers(systemClock).get(name, 'quay.io')).rejects.toThrow(
    CredentialHelperFailed,
  )
})
