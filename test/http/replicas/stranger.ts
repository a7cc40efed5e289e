/** What another replica could be that is no good one: it is known by an address, and does as the test says. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { Claims } from '../../../src/cluster/claims.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { freePort } from '../../support/free-port.ts'
import type { Replica } from './scene.ts'

export interface Stranger extends AsyncDisposable {
  readonly url: string
  /** `GET /path` for what it was asked. */
  readonly asked: readonly string[]
}

export async function startStranger(answer: RequestListener): Promise<Stranger> {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    answer(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Nobody listens there. */
export async function deadAddress(): Promise<string> {
  return `http://127.0.0.1:${await freePort()}`
}

/** Claims a subject in the name of that address, and never renews it. */
export async function claimFor(holder: string, subject: string, { redis }: Replica): Promise<void> {
  const claims = new Claims({ redis, advertise: holder, clock: systemClock })
  await claims.take(subject)
  claims.stop()
}

/** Of a subject: who claims it, or has done the work. */
export function claimKey(subject: string, { redis }: Replica): string {
  return redis.key('claim', createHash('sha256').update(subject).digest('base64url'))
}

/** Counts it among the replicas, until the next of them looks. */
export async function join(url: string, { redis }: Replica): Promise<void> {
  await redis.ask(client => client.zadd(redis.key('{members}'), Date.now() + 60_000, url))
}
