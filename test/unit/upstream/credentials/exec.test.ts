/** Programs that speak the kubelet's protocol for credentials. */
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { ExecCredentials, type ExecOptions } from '../../../../src/upstream/credentials/exec.ts'
import { FakeClock } from '../../../fake/clock.ts'
import { tempDir } from '../../../support/temp-dir.ts'
import { refusalOf } from './support.ts'

const host = 'registry.test:5000'
const group = 'credentialprovider.kubelet.k8s.io'

const response = (more: object) =>
  JSON.stringify({
    kind: 'CredentialProviderResponse',
    apiVersion: `${group}/v1`,
    cacheKeyType: 'Registry',
    cacheDuration: '6h0m0s',
    auth: { '*.test:5000': { username: 'robot', password: 'p1' } },
    ...more,
  })

/** A program that notes what it is asked, and answers with a text. */
async function program(
  answer: string,
  { script = '', ...changes }: Partial<ExecOptions> & { script?: string } = {},
) {
  const dir = await tempDir()
  const clock = new FakeClock()
  const command = dir.join('provider')
  const say = (text: string) => writeFile(dir.join('answer'), text)
  await say(answer)
  const lines = `#!/bin/sh\ncat >> ${dir.join('asked')}; echo >> ${dir.join('asked')}\n${script}\ncat ${dir.join('answer')}\n`
  await writeFile(command, lines)
  await chmod(command, 0o755)
  const options = { command, args: [], env: {}, timeoutMs: 15_000, apiVersion: 'v1', ...changes } as const
  const deps = {
    clock,
    log: { warn: () => {} },
    upstream: 'registry.test',
    env: { ...process.env, LAYOVER_TEST_PASSWORD: 'ours' },
  }
  return {
    dir,
    clock,
    say,
    command,
    provider: new ExecCredentials(host, options, deps),
    asked: async () => (await readFile(dir.join('asked'), 'utf8')).trim().split('\n'),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  }
}

test('a program is asked for an image, and its answer is for the whole registry', async () => {
  await using scene = await program(response({}))
  const all = await Promise.all([scene.provider.get('team/app'), scene.provider.get('team/other')])
  const credential = { kind: 'basic', username: 'robot', password: 'p1' }
  expect(all).toEqual([credential, credential])
  const [first = '', ...more] = await scene.asked()
  expect(JSON.parse(first)).toEqual({
    kind: 'CredentialProviderRequest',
    apiVersion: `${group}/v1`,
    image: 'registry.test:5000/team/app',
  })
  expect(more).toEqual([])
})

test('an answer for an image is for no other', async () => {
  await using scene = await program(response({ cacheKeyType: 'Image' }))
  for (const repository of ['a', 'b', 'a', 'b']) await scene.provider.get(repository)
  expect((await scene.asked()).map(line => (JSON.parse(line) as { image: string }).image)).toEqual([
    `${host}/a`,
    `${host}/b`,
  ])
})

test('a failure for one image is none of the others', async () => {
  const script = 'if tail -n 1 "$(dirname "$0")/asked" | grep -q /broken; then exit 1; fi'
  await using scene = await program(response({ cacheKeyType: 'Image', cacheDuration: '10m' }), { script })
  await scene.provider.get('a')
  scene.clock.advance(11 * 60_000)
  await expect(scene.provider.get('broken')).rejects.toThrow('failed: exit code 1')
  expect(await scene.provider.get('b')).toMatchObject({ username: 'robot' })
  expect(await scene.provider.get('a')).toMatchObject({ username: 'robot' })
})

test('an answer without anything for the image means that it is asked for anonymously', async () => {
  await using scene = await program(response({ auth: { 'other.test': { username: 'a', password: 'b' } } }))
  expect(await scene.provider.get('a')).toBeUndefined()
})

test('an answer is kept as long as it says, and fetched anew where it was refused', async () => {
  await using scene = await program(response({ cacheDuration: '10m' }))
  const refused = await scene.provider.get('a')
  scene.clock.advance(9 * 60_000)
  if (!refused) throw new Error('there is none')
  await scene.say(response({ auth: { '*.test:5000': { username: 'robot', password: 'p2' } } }))
  expect(scene.provider.renewal.isDue('a')).toBe(true)
  expect(await scene.provider.renewal.renew('a', refused)).toMatchObject({ password: 'p2' })
  expect(await scene.provider.get('a')).toMatchObject({ password: 'p2' })
  expect(await scene.asked()).toHaveLength(2)
})

test('it sees the arguments and the environment of the configuration, and none of our secrets', async () => {
  await using scene = await program(response({}), {
    args: ['get', '$HOME; echo no'],
    env: { REGION: 'eu' },
    script: 'printf \'%s|%s|\' "$1" "$2" > "$0.seen"; env >> "$0.seen"',
  })
  await scene.provider.get('a')
  const seen = await readFile(`${scene.command}.seen`, 'utf8')
  expect(seen).toMatch(/^get\|\$HOME; echo no\|/)
  expect(seen).toContain('REGION=eu')
  expect(seen).toContain('PATH=')
  expect(seen).not.toContain('LAYOVER_TEST_PASSWORD')
})

test.each<[string, string, Parameters<typeof program>[1], string]>([
  ['no JSON', 's3cret', {}, 'did not answer with a CredentialProviderResponse'],
  ['another kind', '{"kind": "s3cret"}', {}, 'did not answer with a CredentialProviderResponse'],
  [
    'another version',
    response({ apiVersion: `${group}/v9` }),
    {},
    'did not answer with a CredentialProviderResponse',
  ],
  ['an exit code', 's3cret', { script: 'echo s3cret >&2; exit 3' }, 'failed: exit code 3'],
  ['too much', 's3cret'.repeat(100_000), {}, 'failed: it printed more than 262144 bytes'],
  ['nothing in time', '', { script: 'exec sleep 60', timeoutMs: 50 }, 'failed: no answer within 0.05 s'],
  ['a program that is not there', '', { command: '/none/provider' }, 'failed: ENOENT'],
])('a failure is told, and nothing that was printed: %s', async (_, answer, changes, message) => {
  await using scene = await program(answer, changes)
  const command = changes?.command ?? scene.command
  expect(await refusalOf(scene.provider.get('a'))).toBe(`${command} ${message}`)
})
