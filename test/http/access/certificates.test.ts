/** Client certificates as logins: for every operation, for who shows none, one of strangers, one that may and one that may not. */
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Identity } from '../../../src/edge/listener.ts'
import { serverCertificate } from '../../fake/certificates.ts'
import { alice, carol, mallory, teamCa } from '../../fake/client-certificates.ts'
import { accessOptions, basic } from '../../support/access.ts'
import { plain, type Scene, scene, trust } from '../scene.ts'
import { type Sample, samples } from './samples.ts'

const all = ['local/team/app', 'plain.example/team/app'].flatMap(name => samples(name))
let at: Scene

beforeAll(async () => {
  const clients = { ca: teamCa, crl: undefined, isRequired: false }
  at = await scene({
    realTime: true,
    upstreams: net => [plain(net)],
    listen: [{ host: '127.0.0.1', port: 0, role: 'registry', tls: { ...serverCertificate, clients } }],
    access: accessOptions({
      users: [],
      policy: {
        default: 'deny',
        rules: [
          {
            name: 'alice',
            when: 'method == "certificate" && certificate.dns.exists(name, name == "alice.corp.example")',
          },
        ],
      },
    }),
  })
})
afterAll(() => at[Symbol.asyncDispose]())

/** Statuses of all operations, over one connection. */
async function statuses(identity: Identity | undefined, headers: Record<string, string> = {}) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ...trust, ...identity })
  const found = new Map<Sample, number>()
  for (const sample of all) found.set(sample, await status(sample, agent, headers))
  agent.destroy()
  return found
}

async function status(
  { method, path, body, contentType }: Sample,
  agent: Agent,
  headers: Record<string, string>,
) {
  const { hostname, port } = new URL(at.layover.url)
  const type = contentType === undefined ? {} : { 'content-type': contentType }
  const asking = request({ hostname, port, path, method, agent, headers: { ...headers, ...type } })
  asking.on('error', () => {}) // a server that answers early may stop reading; before the answer `once` rejects
  asking.end(body)
  const [answer] = (await once(asking, 'response')) as [IncomingMessage]
  await buffer(answer)
  expect(answer.headers['www-authenticate']).toBeUndefined() // there is nothing else to log in with
  return answer.statusCode ?? 0
}

const wrong = (
  found: Map<Sample, number | undefined>,
  isRight: (status: number, sample: Sample) => boolean,
) =>
  [...found]
    .filter(([sample, given = 0]) => !isRight(given, sample))
    .map(([{ method, path }, given]) => `${method} ${path} ${given}`)

test('who shows none may not, and is not challenged', async () => {
  expect(
    wrong(await statuses(undefined), (given, { action }) => given === (action === undefined ? 200 : 403)),
  ).toEqual([])
})

test('one of strangers is refused wherever it is shown', async () => {
  expect(wrong(await statuses(carol), given => given === 403)).toEqual([])
})

test('one that may not gets 403, but for the ping', async () => {
  expect(
    wrong(await statuses(mallory), (given, { action }) => given === (action === undefined ? 200 : 403)),
  ).toEqual([])
  expect(at.net.requests({})).toEqual([])
})

test('one that may is let in', async () => {
  expect(wrong(await statuses(alice), given => given !== 401 && given !== 403)).toEqual([])
})

test('a wrong password beside it is refused', async () => {
  const [first] = all
  const agent = new Agent({ ...trust, ...alice })
  const { hostname, port } = new URL(at.layover.url)
  const asking = request({
    hostname,
    port,
    path: first?.path,
    agent,
    headers: { authorization: basic('alice') },
  })
  asking.end()
  const [answer] = (await once(asking, 'response')) as [IncomingMessage]
  expect(answer.statusCode).toBe(401)
  agent.destroy()
})
