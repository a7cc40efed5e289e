/** Mistakes in `access` that the schema of one key does not see. */
import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../../../src/config/load.ts'
import { ConfigError } from '../../../../src/config/problem.ts'
import { serverCertificate } from '../../../fake/certificates.ts'
import { teamCa } from '../../../fake/client-certificates.ts'
import { usersNamed } from '../../../support/access.ts'
import { tempDir } from '../../../support/temp-dir.ts'

/** Each problem as a line, in the third line of the file at the earliest. */
async function problemsOf(access: string, listeners: object[] = []): Promise<string[]> {
  await using dir = await tempDir()
  const file = dir.join('upstreams.yaml')
  await writeFile(dir.join('users.htpasswd'), '')
  await writeFile(
    file,
    `upstreams: [{registry: ghcr.io}]\nlisteners: ${JSON.stringify(listeners)}\naccess: ${access}\n`,
  )
  const error: unknown = await loadConfig(file, {}).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  return error instanceof ConfigError ? error.message.replaceAll(`${file}:`, '').split('\n') : []
}

test('a hash without quotes in braces is not shown', async () => {
  const hash = '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$c2VjcmV0'
  expect(await problemsOf(`{users: [{name: alice, password: ${hash}}]}`)).toEqual([
    '3:42 access.users[0].password: expected $argon2id$v=19$m=…,t=…,p=…$salt$digest, whole: `layover password` makes one',
    '3:65 access.users[0]: expected a key and a value: a value with a comma in it belongs in quotes',
    '3:69 access.users[0]: expected a key and a value: a value with a comma in it belongs in quotes',
  ])
})

describe('a way in', () => {
  const alice = JSON.stringify(usersNamed('alice'))
  const issuer = '{name: ci, issuer: "https://ci.test", audience: layover}'
  const tls = { ...serverCertificate, clientCa: teamCa }

  test.each([
    '{}',
    '{challenge: basic}',
    '{users: [], oidc: [], policy: authenticated}',
  ])('is missing in %s', async access => {
    expect(await problemsOf(access)).toEqual([
      '3:9 access: expected a way to log in: `users`, `htpasswd`, `oidc`, or `clientCa` of a listener; without one nobody may do anything, but under a policy that lets people in without a login, such as anonymous-pull',
    ])
  })

  test.each<[string, string, object[]]>([
    ['a user', `{users: ${alice}}`, []],
    ['a file of users, which may come later', '{htpasswd: file:users.htpasswd}', []],
    ['an issuer', `{oidc: [${issuer}]}`, []],
    ['a certificate', '{}', [{ address: '127.0.0.1:443', tls }]],
    ['none, and a policy for everybody', '{policy: anonymous-pull}', []],
    ['none, and rules that may know addresses', '{policy: {rules: [action == "pull"]}}', []],
  ])('is %s', async (_, access, listeners) => {
    expect(await problemsOf(access, listeners)).toEqual([])
  })
})
