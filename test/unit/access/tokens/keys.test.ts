/** Keys of tokens, configured and made. */
import { createPrivateKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { keysFromSeed, openKeys, TokenKeyInvalid } from '../../../../src/access/tokens/keys.ts'
import { keptSeed, sharedSeed } from '../../../../src/access/tokens/seed.ts'
import { Layout } from '../../../../src/store/layout.ts'
import { StoreUnusable } from '../../../../src/store/unusable.ts'
import { tempDir } from '../../../support/temp-dir.ts'
import { ed25519Pem, p256Pem } from './pems.ts'

describe('configured keys', () => {
  test('the first one signs, all of them are known by their thumbprints', async () => {
    const pems = [ed25519Pem(), p256Pem()]
    const keys = await openKeys(pems)
    expect(keys.signing.algorithm).toBe('Ed25519')
    expect([...keys.byId.values()].map(({ algorithm }) => algorithm)).toEqual(['Ed25519', 'ES256'])
    expect([...keys.byId.keys()].every(id => /^[\w-]{43}$/.test(id))).toBe(true)
    expect((await openKeys(pems.toReversed())).signing.algorithm).toBe('ES256')
  })

  test('a key is the same whichever way it is written down', async () => {
    const pem = p256Pem()
    const sec1 = createPrivateKey(pem).export({ type: 'sec1', format: 'pem' })
    const [one, other] = await Promise.all([openKeys([pem]), openKeys([sec1])])
    expect(other.signing.id).toBe(one.signing.id)
    expect(other.signing.markKey).toEqual(one.signing.markKey)
  })

  test('other kinds of keys are refused, and nothing of them is said', async () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey
    for (const key of [rsa, p384]) {
      const pem = key.export({ type: 'pkcs8', format: 'pem' })
      const refused = openKeys([pem])
      await expect(refused).rejects.toThrow(/^a key of type Ed25519 or P-256, not (rsa|secp384r1)$/)
    }
    await expect(
      openKeys(['-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----']),
    ).rejects.toThrow(/^an unencrypted private key as PEM text$/)
    await expect(openKeys([])).rejects.toBeInstanceOf(TokenKeyInvalid)
  })
})

describe('a key that nobody configured', () => {
  test('is the same at every replica that knows the secret, and at no other', async () => {
    const secret = 'a secret of the replicas'
    const [one, other, stranger] = await Promise.all(
      [secret, secret, `${secret}!`].map(shared => keysFromSeed(sharedSeed(shared))),
    )
    expect(other?.signing.id).toBe(one?.signing.id)
    expect(other?.signing.markKey).toEqual(one?.signing.markKey)
    expect(stranger?.signing.id).not.toBe(one?.signing.id)
    expect(one?.signing.algorithm).toBe('Ed25519')
  })

  test('is kept in the store, for nobody else to read', async () => {
    await using dir = await tempDir()
    const layout = new Layout(dir.path)
    await mkdir(layout.trash)
    const seed = await keptSeed(layout)
    expect(await keptSeed(layout)).toEqual(seed)
    expect(await readFile(layout.tokenKey, 'latin1')).toBe(`${seed.toString('hex')}\n`)
    expect((await stat(layout.tokenKey)).mode & 0o777).toBe(0o600)
    expect(await readdir(layout.trash)).toEqual([])
  })

  test('is one, however many make it at once', async () => {
    await using dir = await tempDir()
    await mkdir(new Layout(dir.path).trash)
    const seeds = await Promise.all(Array.from({ length: 8 }, () => keptSeed(new Layout(dir.path))))
    expect(new Set(seeds.map(seed => seed.toString('hex'))).size).toBe(1)
  })

  test.each([
    ['empty', ''],
    ['cut short', randomBytes(16).toString('hex')],
    ['something else', 'x'.repeat(64)],
  ])('is not made anew over a file that is %s', async (_, content) => {
    await using dir = await tempDir()
    const layout = new Layout(dir.path)
    await writeFile(layout.tokenKey, content)
    const refused = await keptSeed(layout).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(StoreUnusable)
    expect(String(refused)).toBe(
      `StoreUnusable: ${layout.tokenKey} is damaged: remove it, and clients have to log in again`,
    )
    expect(await readFile(layout.tokenKey, 'latin1')).toBe(content)
  })

  test('is not made anew where it cannot be read', async () => {
    await using dir = await tempDir()
    const layout = new Layout(dir.path)
    await mkdir(layout.tokenKey)
    await expect(keptSeed(layout)).rejects.toThrow(
      /token-key cannot be read: give it to the user that serves/,
    )
  })
})
