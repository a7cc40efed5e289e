/** What processes of one store tell each other of a request. */
import { expect, test } from 'vitest'
import type { Session } from '../../../../src/access/session.ts'
import { readFacts, writeFacts } from '../../../../src/edge/siblings/sibling.ts'
import { hit } from '../../../../src/pull/provenance.ts'

test('facts come over as they are: a claim of null too, and what lasts for ever', () => {
  const session: Session = {
    caller: {
      method: 'oidc',
      user: 'x',
      provider: 'ci',
      claims: { level: null, of: [null] },
      certificate: undefined,
    },
    until: 5,
  }
  const told = readFacts(writeFacts({ sentBytes: 0, provenance: hit, session }))
  expect(told).toEqual({ provenance: hit, session })
})
