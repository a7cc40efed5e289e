/** The error type: what a code implies. */
import { describe, expect, test } from 'vitest'
import { RegistryError } from '../../../src/oci/errors.ts'

describe('registry error', () => {
  test.each([
    ['NAME_INVALID', 400],
    ['DIGEST_INVALID', 400],
    ['DENIED', 403],
    ['MANIFEST_UNKNOWN', 404],
    ['BLOB_UNKNOWN', 404],
    ['UNSUPPORTED', 405],
    ['TOOMANYREQUESTS', 429],
    ['UNAVAILABLE', 503],
    ['TIMEOUT', 504],
    ['LOOP', 508],
  ] as const)('%s is answered %i', (code, status) => {
    expect(new RegistryError(code, 'x').status).toBe(status)
  })

  test('a status given wins over the one implied', () => {
    expect(new RegistryError('UNSUPPORTED', 'x', { status: 400 }).status).toBe(400)
  })

  test('the cause is kept for the log', () => {
    const cause = new Error('inner')
    expect(new RegistryError('UNKNOWN', 'x', { cause }).cause).toBe(cause)
    expect(new RegistryError('UNKNOWN', 'x')).not.toHaveProperty('cause')
  })
})
