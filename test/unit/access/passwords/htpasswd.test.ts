import { assert, constantFrom, property, string, uniqueArray } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HtpasswdInvalid, isUserName, parseHtpasswd } from '../../../../src/access/passwords/htpasswd.ts'
import { decoyOf, HashInvalid, parsePasswordHash } from '../../../../src/access/passwords/password-hash.ts'
import { anyText } from '../../../support/any-text.ts'

const bcrypt = `$2y$05$${'a'.repeat(53)}`
const salt = 'c2FsdHNhbHRzYWx0c2FsdA'
const digest = Buffer.alloc(32, 7).toString('base64').replaceAll('=', '')
const argon2 = (parameters = 'm=19456,t=2,p=1') => `$argon2id$v=19$${parameters}$${salt}$${digest}`

describe('an htpasswd file', () => {
  test.each([
    ['is empty', '', []],
    ['has comments and blank lines', `# users\n\n  \nalice:${bcrypt}\n`, ['alice']],
    [
      'has line ends of Windows, and a byte order mark',
      `\uFEFFalice:${bcrypt}\r\nbob:${argon2()}\r\n`,
      ['alice', 'bob'],
    ],
    ['does not end its last line', `alice:${bcrypt}`, ['alice']],
    [
      'has names of any language, with spaces in them',
      `Anna Müller:${bcrypt}\n用户:${bcrypt}`,
      ['Anna Müller', '用户'],
    ],
  ])('that %s is read', (_, text, names) => {
    expect(parseHtpasswd(text).map(({ name }) => name)).toEqual(names)
  })

  test.each([
    ['MD5', 'alice:$apr1$abcdefgh$abcdefghijklmnopqrstuv', /bcrypt or argon2id in line 1.*`htpasswd -B`/],
    ['SHA-1', '\nalice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=', /bcrypt or argon2id in line 2.*`htpasswd -B`/],
    ['crypt', 'alice:rl.3StKT.4T8M', /bcrypt or argon2id in line 1/],
    ['SHA-512 crypt', 'alice:$6$abc$def', /bcrypt or argon2id in line 1/],
    ['plain text', 'alice:secret', /bcrypt or argon2id in line 1/],
    ['no hash', `alice:${bcrypt}\nbob:`, /bcrypt or argon2id in line 2/],
    ['no colon', `alice:${bcrypt}\nsecret`, /user:hash in line 2/],
    ['a path', 'users.htpasswd', /user:hash in line 1/],
    ['no name', `:${bcrypt}`, /a user name of 1 to 255 characters.*in line 1/],
    ['a user twice', `alice:${bcrypt}\nbob:${bcrypt}\nalice:${bcrypt}`, /each user once: line 3/],
    ['half a hash', `alice:${bcrypt.slice(0, -1)}`, /in line 1 \$2b\$, \$2y\$ or \$2a\$/],
    [
      'bcrypt that costs too much',
      `alice:${bcrypt.replace('05', '17')}`,
      /in line 1 bcrypt with a cost from 4 to 16/,
    ],
  ])('with %s is refused, by its line and without quoting it', (_, text, message) => {
    expect(() => parseHtpasswd(text)).toThrow(HtpasswdInvalid)
    expect(() => parseHtpasswd(text)).toThrow(message)
    expect(() => parseHtpasswd(text)).not.toThrow(/secret|abcdef|StKT|W6ph/)
  })

  test('of any users is read as it was written', () => {
    const name = string({ minLength: 1, unit: 'grapheme', maxLength: 20 }).filter(
      text => isUserName(text) && !text.startsWith('#') && !text.startsWith('\uFEFF'),
    )
    assert(
      property(uniqueArray(name), constantFrom('\n', '\r\n'), (names, end) => {
        const users = names.map((each, at) => ({ name: each, hash: at % 2 === 0 ? bcrypt : argon2() }))
        expect(parseHtpasswd(users.map(each => `${each.name}:${each.hash}`).join(end))).toEqual(users)
      }),
    )
  })

  test('of anything else is refused as such', () => {
    assert(
      property(anyText(), text => {
        try {
          parseHtpasswd(text)
        } catch (error) {
          expect(error).toBeInstanceOf(HtpasswdInvalid)
        }
      }),
    )
  })
})

describe('a hash', () => {
  test.each([
    ['m=8,t=1,p=1', true],
    ['m=1048576,t=4,p=4', true],
    ['m=1048577,t=1,p=1', false],
    ['m=1048576,t=5,p=1', false],
    ['m=65536,t=17,p=1', false],
    ['m=65536,t=0,p=1', false],
    ['m=65536,t=1,p=0', false],
    ['m=65536,t=1,p=17', false],
    ['m=15,t=1,p=2', false],
    ['t=1,m=65536,p=1', false],
  ])('of argon2id with %s: taken: %s', (parameters, isTaken) => {
    const parse = () => parsePasswordHash(argon2(parameters))
    if (isTaken) expect(parse()).toMatchObject({ kind: 'argon2id', salt: Buffer.from(salt, 'base64') })
    else expect(parse).toThrow(HashInvalid)
  })

  test.each([
    'secret',
    argon2().replace('argon2id', 'argon2i'),
    argon2().replace('v=19', 'v=16'),
    `$argon2id$v=19$m=64,t=1,p=1$YQ$${digest}`,
    `$argon2id$v=19$m=64,t=1,p=1$${salt}$YQ`,
    `$argon2id$v=19$m=64,t=1,p=1$${salt}$${'A'.repeat(120)}`,
    bcrypt.replace('2y', '2x'),
    bcrypt.replace('05', '03'),
  ])('such as %s is refused and not quoted', text => {
    expect(() => parsePasswordHash(text)).toThrow(HashInvalid)
    expect(() => parsePasswordHash(text)).not.toThrow(/secret/)
  })

  test('has a decoy of the same cost that no password has', () => {
    expect(decoyOf(parsePasswordHash(bcrypt))).toEqual({
      kind: 'bcrypt',
      text: `$2y$05$${'a'.repeat(22)}${'.'.repeat(31)}`,
    })
    const hash = parsePasswordHash(argon2())
    expect(decoyOf(hash)).toEqual({ ...hash, digest: new Uint8Array(32) })
  })
})
