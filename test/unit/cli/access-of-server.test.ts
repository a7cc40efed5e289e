/** What a server process answers where the primary would have to be asked, and is not any more. */
import type { IncomingMessage } from 'node:http'
import { expect, test } from 'vitest'
import { accessOfServer } from '../../../src/cli/access.ts'
import { assemble } from '../../../src/config/assemble.ts'
import { configSchema } from '../../../src/config/schema.ts'
import type { Exchange } from '../../../src/edge/exchange.ts'
import { Gate } from '../../../src/edge/gate/gate.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { createMetrics } from '../../../src/observe/metrics.ts'
import { FakeClock } from '../../fake/clock.ts'
import { basic, usersNamed } from '../../support/access.ts'

const webhook = { url: 'https://opa.test/allow' }

function health(policy: object, authorization?: string): Promise<void> {
  const access = { users: usersNamed('alice'), health: 'policy', policy, webhook }
  const config = assemble(configSchema.parse({ upstreams: [{ registry: 'ghcr.io' }], access }), path => path)
  const clock = new FakeClock()
  const server = accessOfServer(config, clock, createLogger('silent'))
  const gate = new Gate({
    access: () => server,
    publicUrl: () => 'https://layover.test',
    rates: { limitsUsers: false, take: () => undefined, waitMs: () => 0, add: () => {} },
    metrics: createMetrics(),
  })
  const request = { headers: { authorization } } as IncomingMessage
  return gate.admitPage({ request, path: '/readyz', client: '10.0.0.1', facts: {} } as Exchange)
}

const open = { default: 'allow' }

test.each([
  ['whom the webhook would have to let in', undefined],
  ['who is not known here', basic('alice')],
])('a stopping server answers 503 at its health page to %s', async (_, authorization) => {
  await expect(health(open, authorization)).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    retryAfterMs: 1_000,
  })
})

test('a stopping server says no at its health page where the policies do', async () => {
  await expect(health({ default: 'deny' })).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
})
