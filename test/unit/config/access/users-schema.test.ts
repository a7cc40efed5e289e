import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  htpasswd,
  loginLimits,
  logins,
  rateOptions,
  rates,
  userOptions,
  users,
  usersOnce,
} from '../../../../src/config/access/users-schema.ts'
import { ConfigDocument } from '../../../../src/config/document.ts'
import { resolveReferences } from '../../../../src/config/references.ts'
import { Sources } from '../../../../src/config/sources.ts'
import { tempDir } from '../../../support/temp-dir.ts'

const access = z.strictObject({ users, htpasswd, logins, rates }).superRefine(usersOnce)
const hash = `$2b$10$${'a'.repeat(53)}`
const alice = { name: 'alice', password: hash }

function messagesOf(given: unknown): string[] {
  const parsed = access.safeParse(given)
  return parsed.error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? []
}

describe('users', () => {
  test('come from the configuration and from an htpasswd file', () => {
    const parsed = access.parse({ users: [alice], htpasswd: `bob:${hash}\n` })
    expect(userOptions(parsed)).toEqual([
      { name: 'alice', hash },
      { name: 'bob', hash },
    ])
    expect(userOptions(access.parse({}))).toEqual([])
  })

  test.each<[string, unknown, string]>([
    [
      'a password and no hash',
      { users: [{ name: 'alice', password: 'secret' }] },
      'users.0.password: expected a hash of argon2id or bcrypt, and never the password: `layover password` makes one',
    ],
    [
      'half a hash',
      { users: [{ name: 'alice', password: '$argon2id$v=19$m=19456,t=2,p=1$secret' }] },
      'users.0.password: expected $argon2id$v=19$m=…,t=…,p=…$salt$digest, whole: `layover password` makes one',
    ],
    [
      'a name with a colon',
      { users: [{ name: 'a:b', password: hash }] },
      'users.0.name: expected a user name of 1 to 255 characters, without `:`, control characters and spaces around it',
    ],
    [
      'a user twice',
      { users: [alice, alice] },
      'users.1.name: expected each user once, in `users` and `htpasswd` together',
    ],
    [
      'a user in both places',
      { users: [alice], htpasswd: `bob:${hash}\nalice:${hash}` },
      'users.0.name: expected each user once, in `users` and `htpasswd` together',
    ],
    [
      'an htpasswd file with MD5',
      { htpasswd: `bob:${hash}\nalice:$apr1$secret` },
      'htpasswd: expected bcrypt or argon2id in line 2, since other kinds are guessed too quickly: `htpasswd -B` writes bcrypt',
    ],
    [
      'a path without file:',
      { htpasswd: 'users.htpasswd' },
      'htpasswd: expected file: and the path of an htpasswd file, such as file:users.htpasswd',
    ],
  ])('with %s are refused, and no password is quoted', (_, given, message) => {
    expect(messagesOf(given)).toEqual([message])
    expect(messagesOf(given).join()).not.toContain('secret')
  })

  test('of a file are read from it whole, and the file is watched', async () => {
    await using dir = await tempDir()
    await writeFile(dir.join('users.htpasswd'), `# us\nalice:${hash}\nbob:${hash}\n`)
    const sources = new Sources(dir.join('upstreams.yaml'))
    const document = new ConfigDocument('htpasswd: file:users.htpasswd\n')
    expect((await resolveReferences(document, { sources, env: {} })).problems).toEqual([])
    expect(userOptions(access.parse(document.toJS())).map(({ name }) => name)).toEqual(['alice', 'bob'])
    expect(sources.files).toEqual([dir.join('users.htpasswd')])
  })
})

describe('limits', () => {
  test('are there for failed logins, and not for requests, unless it is said', () => {
    const { logins: given, rates: requests } = access.parse({})
    expect(loginLimits(given)).toEqual({ perAddress: 20, perUser: 100, windowMs: 300_000 })
    expect(rateOptions(requests)).toEqual({ perAddress: 0, perUser: 0 })
  })

  test('are what is configured', () => {
    const given = access.parse({
      logins: { perAddress: 5, perUser: 0, window: '1h' },
      rates: { perAddress: 600, perUser: 100 },
    })
    expect(loginLimits(given.logins)).toEqual({ perAddress: 5, perUser: 0, windowMs: 3_600_000 })
    expect(rateOptions(given.rates)).toEqual({ perAddress: 600, perUser: 100 })
    expect(messagesOf({ rates: { perAddress: -1 } })).toHaveLength(1)
    expect(messagesOf({ logins: { window: '0s' } })).toHaveLength(1)
  })
})
