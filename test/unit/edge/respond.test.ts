/** Answers on real connections, which clients may end at any time. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { expect, test } from 'vitest'
import { openExchange } from '../../../src/edge/exchange.ts'
import { createResponder } from '../../../src/edge/respond.ts'
import { RegistryError } from '../../../src/oci/errors.ts'

const responder = createResponder({ draining: () => false, stalledMs: () => 60_000 })

test('a client that leaves in the middle of a long error is nobody else’s trouble', async () => {
  const details = Array.from({ length: 200_000 }, (_, at) => ({ at })) // more than the sockets hold
  const responded = Promise.withResolvers<void>()
  const server = createServer((request, response) => {
    const refused = Promise.reject(new RegistryError('MANIFEST_BLOB_UNKNOWN', 'push that first', { details }))
    responder.respond(openExchange(request, response), refused).then(responded.resolve, responded.reject)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  client.write('GET /v2/ HTTP/1.1\r\nhost: layover\r\n\r\n')
  await once(client, 'readable')
  client.destroy()
  await expect(responded.promise).resolves.toBeUndefined()
  server.close()
})
