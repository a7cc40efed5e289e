/** How long who was let in is remembered. */
import { expect, test } from 'vitest'
import { Sessions } from '../../../src/access/session.ts'

test('who showed a certificate is known no longer than it holds, and so is what is given for it', () => {
  const names = { commonNames: ['node-7'], organizations: [], dns: [], emails: [], uris: [] }
  const found = (certificate: object) =>
    new Sessions().find(
      { authorization: undefined, certificate: { ...names, ...certificate }, client: '10.0.0.1' },
      0,
    )
  expect(found({ endsAt: 5_000 })).toMatchObject({ caller: { user: 'node-7' }, until: 5_000 })
  expect(found({})?.until).toBe(Number.POSITIVE_INFINITY)
})
