/** Large blobs of local names on a replica that does not own them: its owner says whether, the bucket gives the bytes. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { hasS3, type S3Service, startS3 } from '../../support/s3.ts'
import { bytes, errorsOf } from '../push/scene.ts'
import { name, type Replicas, startReplicas } from './scene.ts'

const mib = 1024 * 1024
const pathOf = (body: Buffer, repository = name) => `/v2/${repository}/blobs/${digestOf(body)}`

describe.skipIf(!hasS3)('a large blob of a local name (needs versitygw)', () => {
  let service: S3Service
  let at: Replicas
  beforeAll(async () => {
    service = await startS3()
    at = await startReplicas(2, { service })
  })
  afterAll(async () => {
    await at[Symbol.asyncDispose]()
    await service[Symbol.asyncDispose]()
  })

  test('comes from the bucket, then from the disk, and not through its owner', async () => {
    const body = bytes(4 * mib, 1)
    expect((await at.push(0, body)).status).toBe(201)
    const part = await at.ask(1, pathOf(body), { headers: { range: 'bytes=-5' } }) // through its owner
    expect([part.status, part.body.equals(body.subarray(-5))]).toEqual([206, true])
    const asked = 4
    const before = { bytes: at.toOwner.bytes, connections: at.toOwner.connections }
    for (const from of ['the bucket', 'the disk']) {
      const got = await at.ask(1, pathOf(body))
      expect([got.status, got.headers['docker-content-digest'], got.body.equals(body)], from).toEqual([
        200,
        digestOf(body),
        true,
      ])
    }
    const last = await at.ask(1, pathOf(body), { headers: { range: 'bytes=-5' } })
    expect([last.status, last.body.equals(body.subarray(-5))]).toEqual([206, true])
    const headers = { 'if-none-match': `"${digestOf(body)}"` }
    const known = await fetch(`${at.url(1)}${pathOf(body)}`, { headers })
    expect(known.status).toBe(304)
    expect(at.toOwner.bytes - before.bytes).toBeLessThan(64 * 1024)
    // The pool may open another beside its first; leave that ended its connection would open one each time.
    expect(at.toOwner.connections - before.connections).toBeLessThan(asked)
    const logged = () =>
      at.told(1, 'request').filter(line => line.status === 200 && line.digest === digestOf(body))
    await vi.waitFor(
      () => expect(logged()).toHaveLength(2),
      { timeout: 10_000 }, // lines are gathered for a moment
    )
  })

  test('is given while its repository holds it, and to nobody after that', async () => {
    const body = bytes(3 * mib, 2)
    await at.push(0, body)
    expect((await at.ask(1, pathOf(body))).status).toBe(200)
    const other = await at.ask(1, pathOf(body, 'local/team/other'))
    expect([other.status, errorsOf(other)[0]?.code]).toEqual([404, 'BLOB_UNKNOWN'])
    expect((await at.ask(1, pathOf(body), { method: 'DELETE' })).status).toBe(202)
    expect((await at.ask(1, pathOf(body))).status).toBe(404)
  })

  test('no client gets leave in place of bytes', async () => {
    const body = bytes(3 * mib, 4)
    await at.push(0, body)
    const headers = { 'replica-origin': '{"fetchesBytes":true}' }
    for (const nth of [0, 1]) expect((await at.ask(nth, pathOf(body), { headers })).status).toBe(403)
    const got = await at.ask(0, pathOf(body), { headers: { 'replica-bytes': '1' } })
    expect(got.body.equals(body)).toBe(true)
  })

  // The bucket does not come back: the last of them.
  test('comes through its owner where the bucket has lost it', async () => {
    const body = bytes(3 * mib, 3)
    await at.push(0, body)
    await service.stop()
    const before = at.toOwner.bytes
    const got = await at.ask(1, pathOf(body))
    expect([got.status, got.body.equals(body)]).toEqual([200, true])
    expect(at.toOwner.bytes - before).toBeGreaterThan(body.length)
  })
})
