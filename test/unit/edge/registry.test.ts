/** What holds for a request on its way while the configuration changes. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import { Access } from '../../../src/access/access.ts'
import { Policies } from '../../../src/access/policy/policies.ts'
import { openExchange } from '../../../src/edge/exchange.ts'
import { Gate } from '../../../src/edge/gate/gate.ts'
import { answerRegistry, type RegistryDeps } from '../../../src/edge/registry.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { Resolver } from '../../../src/resolve/resolve.ts'
import { FakeClock } from '../../fake/clock.ts'
import { accessOptions } from '../../support/access.ts'
import { local } from '../../support/local.ts'

const log = createLogger('silent')

test('a push from elsewhere that came before access was configured is not let in because it is by now', async () => {
  const options = accessOptions()
  const policies = new Policies({ global: options.policy, upstreams: {}, namespaces: {} }, log)
  const identify = () => Promise.reject(new Error('nobody is asked'))
  const configured = new Access({ clock: new FakeClock(), options, policies, webhook: undefined, identify })
  let access: Access | undefined
  const gate = new Gate({
    access: () => access,
    publicUrl: () => undefined,
    rates: { limitsUsers: false, take: () => undefined, waitMs: () => 0, add: () => {} },
    metrics: { auth: { inc: () => {} } as never },
  })
  const resolver = new Resolver([], [local({ name: 'local', match: 'local/**' })], [])
  const localNames: Partial<RegistryDeps['localNames']> = {
    answer: async (_, { here }) => {
      access = configured // while the owner of local names was looked for
      return here({ holds: true })
    },
  }
  const request = {
    method: 'POST',
    url: '/v2/local/app/blobs/uploads/',
    httpVersion: '1.1',
    headers: { host: 'registry.example' },
    headersDistinct: { host: ['registry.example'] },
    socket: { remoteAddress: '10.0.0.9' },
  } as unknown as IncomingMessage
  const deps = { gate, resolver, localNames, log, pull: {}, loopId: 'ours' } as unknown as RegistryDeps
  const answering = answerRegistry(openExchange(request, {} as ServerResponse), deps)
  await expect(answering).rejects.toMatchObject({ code: 'DENIED', status: 403 })
})
