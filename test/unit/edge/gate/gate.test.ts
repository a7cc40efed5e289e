/** What the gate of a server process takes over from the primary. */
import type { IncomingMessage } from 'node:http'
import { expect, test } from 'vitest'
import { Access } from '../../../../src/access/access.ts'
import { Policies } from '../../../../src/access/policy/policies.ts'
import type { Exchange } from '../../../../src/edge/exchange.ts'
import { Gate } from '../../../../src/edge/gate/gate.ts'
import { createLogger } from '../../../../src/observe/log.ts'
import { FakeClock } from '../../../fake/clock.ts'
import { accessOptions } from '../../../support/access.ts'

test('who was let in before a reload is not known after it, however late the answer comes', () => {
  const access = () => {
    const options = accessOptions()
    const policies = new Policies(
      { global: options.policy, upstreams: {}, namespaces: {} },
      createLogger('silent'),
    )
    return new Access({
      clock: new FakeClock(),
      options,
      policies,
      webhook: undefined,
      identify: () => Promise.reject(new Error()),
    })
  }
  const [before, after] = [access(), access()]
  let now = before
  const none = { limitsUsers: false, take: () => undefined, waitMs: () => 0, add: () => {} }
  const gate = new Gate({
    access: () => now,
    publicUrl: () => undefined,
    rates: none,
    metrics: { auth: { inc: () => {} } as never },
  })
  const caller = {
    method: 'password',
    user: 'alice',
    provider: '',
    claims: {},
    certificate: undefined,
  } as const
  const shown = { authorization: 'Basic x', certificate: undefined, client: '10.0.0.1' }
  const exchange = {
    request: { headers: { authorization: shown.authorization } } as IncomingMessage,
    client: shown.client,
    facts: { session: { caller, until: Number.MAX_SAFE_INTEGER }, sentBytes: 0 },
  } as unknown as Exchange
  const learn = gate.learner()
  now = after
  learn(exchange)
  expect([before.known(shown)?.caller.user, after.known(shown)]).toEqual(['alice', undefined])
})
