/** How tokens are configured. */
import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { tokenOptions, tokens } from '../../../../src/config/access/token-schema.ts'
import { ed25519Pem, p256Pem } from '../../access/tokens/pems.ts'

function problemsOf(given: unknown): string[] {
  const issues = tokens.safeParse(given).error?.issues ?? []
  return issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
}

describe('tokens', () => {
  test('need no configuration', () => {
    const options = { keys: [], lifeMs: 300_000, refreshMs: 30 * 86_400_000 }
    expect(tokenOptions(tokens.parse(undefined))).toEqual(options)
    expect(tokenOptions(tokens.parse({}))).toEqual(options)
  })

  test('have keys and lives', () => {
    const keys = [p256Pem(), ed25519Pem()]
    const given = { keys: keys.map(key => ({ key })), life: '1m', refresh: '365d' }
    expect(tokenOptions(tokens.parse(given))).toEqual({
      keys,
      lifeMs: 60_000,
      refreshMs: 365 * 86_400_000,
    })
  })

  test('live no shorter than clients take, and no longer than anybody would want', () => {
    expect(problemsOf({ life: '59s', refresh: '59s' })).toEqual([
      'life: expected a duration from 1m to 1d',
      'refresh: expected a duration from 1m to 365d',
    ])
    expect(problemsOf({ life: '25h', refresh: 'forever' })).toHaveLength(2)
    expect(problemsOf({ life: 0, refresh: '366d' })).toHaveLength(2)
  })

  test('are signed with keys of two kinds, of which no error tells anything', () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const keys = [
      privateKey.export({ type: 'pkcs8', format: 'pem' }),
      publicKey.export({ type: 'spki', format: 'pem' }),
      'a secret that is no key',
    ]
    expect(problemsOf({ keys: keys.map(key => ({ key })) })).toEqual([
      'keys.0.key: expected a key of type Ed25519 or P-256, not rsa, or file: and the path of a PEM file',
      'keys.1.key: expected an unencrypted private key as PEM text, or file: and the path of a PEM file',
      'keys.2.key: expected an unencrypted private key as PEM text, or file: and the path of a PEM file',
    ])
  })
})
