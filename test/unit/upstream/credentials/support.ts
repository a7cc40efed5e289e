/** A cloud, and what the providers of its credentials are given. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { CloudHttp } from '../../../../src/upstream/credentials/cloud-http.ts'
import { CredentialUnavailable } from '../../../../src/upstream/credentials/credential.ts'
import type { Environment } from '../../../../src/upstream/credentials/environment.ts'
import { startCloud } from '../../../fake/cloud.ts'
import { lookupWith } from '../support.ts'

export type Stage = Awaited<ReturnType<typeof stage>>

export async function stage() {
  const running = await startCloud()
  const { clock } = running
  const logged: string[] = []
  const log = { warn: (fields: object, message: string) => logged.push(JSON.stringify([fields, message])) }
  const http = new CloudHttp({ lookup: lookupWith(), proxy: undefined })
  return {
    ...running,
    logged,
    http,
    deps: (env: Environment = {}) => ({ clock, log, env, http, upstream: 'cloud.test' }),
    [Symbol.asyncDispose]: async () => {
      await http.destroy()
      await running.close()
    },
  }
}

/** A port of this machine at which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

/** What is told of a credential that cannot be had. */
export async function refusalOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    if (error instanceof CredentialUnavailable) return error.message
    throw error
  }
  throw new Error('expected a CredentialUnavailable, and there was none')
}
