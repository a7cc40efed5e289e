/** Whose a request is that another replica passed on. */
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { Signatures } from '../../../../src/cluster/peers/signature.ts'
import { openExchange } from '../../../../src/edge/exchange.ts'
import { asItsClients, originHeaders } from '../../../../src/edge/replicas/replica-origin.ts'
import { FakeClock } from '../../../fake/clock.ts'

const [here, there] = ['http://a:5000', 'http://b:5000']
const secret = 'known to both of them and to nobody else'

/** A request to push, as it came in from that address. */
function asked(client: string | undefined, headers: readonly string[] = []) {
  const request = new IncomingMessage(new Socket())
  Object.assign(request, { method: 'PUT', url: '/v2/local/app/manifests/v1', httpVersion: '1.1' })
  for (let at = 0; at + 1 < headers.length; at += 2) request.headers[headers[at] ?? ''] = headers[at + 1]
  return { ...openExchange(request, new ServerResponse(request)), client }
}

test.each(['10.0.0.9', undefined])('is the client of the replica that was asked: %s', client => {
  const clock = new FakeClock()
  const theirs = new Signatures({ secret, advertise: there, clock })
  const ours = new Signatures({ secret, advertise: here, clock })
  const passedOn = asked('127.0.0.1', originHeaders(asked(client), here, theirs))
  const exchange = asItsClients(passedOn, ours)
  expect([exchange.fromReplica, exchange.client]).toEqual([true, client])
})

test('comes as it came to the replica that was asked: over TLS, and through a proxy', () => {
  const clock = new FakeClock()
  const theirs = new Signatures({ secret, advertise: there, clock })
  const ours = new Signatures({ secret, advertise: here, clock })
  const first = { ...asked('10.0.0.9'), proxied: true, secure: true }
  const { proxied, secure } = asItsClients(asked('127.0.0.1', originHeaders(first, here, theirs)), ours)
  expect([proxied, secure]).toEqual([true, true])
})
