/** Who asks a replica is let in there, and the owner of the local names takes its word for it. */
import { expect, test, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { accessOptions, basic } from '../../support/access.ts'
import { bytes } from '../push/scene.ts'
import { name, startReplicas } from './scene.ts'

const body = bytes(1024, 7)
const path = `/v2/${name}/blobs/${digestOf(body)}`

test('a login at one replica counts for what another one owns, and a refusal is told of where the client is', async () => {
  await using at = await startReplicas(2, { access: accessOptions() })
  const as = (nth: number, user: string | undefined, method = 'GET') =>
    at.ask(nth, method === 'POST' ? `/v2/${name}/blobs/uploads/?digest=${digestOf(body)}` : path, {
      method,
      headers: user === undefined ? {} : { authorization: user },
      ...(method === 'POST' ? { body } : {}),
    })
  expect((await as(1, basic('alice'), 'POST')).status).toBe(201)
  expect((await as(1, basic('mallory'))).status).toBe(403)
  expect((await as(1, undefined)).status).toBe(401)
  expect((await as(1, basic('alice', 'guess'))).status).toBe(401)
  expect((await as(0, basic('alice'))).body.equals(body)).toBe(true)
  for (let nth = 0; nth < 3; nth += 1) expect((await as(1, basic('alice'))).status).toBe(200)
  expect((await as(1, basic('mallory'))).status).toBe(403) // of what it keeps in memory too

  await vi.waitFor(() => expect(at.told(1, 'audit')).toHaveLength(3), { timeout: 10_000 })
  expect(at.told(1, 'audit').map(({ audit, user }) => [audit, user])).toEqual([
    ['denied', 'mallory'],
    ['login-failed', 'alice'],
    ['denied', 'mallory'],
  ])
  // Who carries it out tells of it, with whom it was for.
  expect(at.told(0, 'audit')).toMatchObject([
    { audit: 'push', user: 'alice', client: '127.0.0.1', digest: digestOf(body), status: 201 },
  ])
})
