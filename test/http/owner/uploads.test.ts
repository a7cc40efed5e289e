/** Uploads that are under way when the owner of local names changes. */
import { readdir, rm, utimes } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { hasS3, startS3 } from '../../support/s3.ts'
import { begin, bytes, errorsOf, locationOf, withQuery } from '../push/scene.ts'
import type { Answered } from '../scene.ts'
import { name, startReplicas } from './scene.ts'

const mib = 1024 * 1024
const within = { timeout: 20_000, interval: 50 }
const beginning = 'this replica owns the local names'

/** Two over a bucket, which elect the owner; the first one is that. */
async function start(limits: { uploads?: number } = {}) {
  const stack = new AsyncDisposableStack()
  const service = stack.use(await startS3())
  const at = stack.use(
    await startReplicas(2, {
      service,
      limits,
      each: (nth, ports) => ({ owner: undefined, advertise: `http://127.0.0.1:${ports[nth]}` }),
    }),
  )
  const owner = await vi.waitFor(() => {
    const found = [0, 1].findIndex(nth => at.told(nth, beginning).length > 0)
    expect(found).not.toBe(-1)
    return found
  }, within)
  const next = 1 - owner
  /** Resolves when that one has begun to be the owner so often. */
  const owns = (nth: number, times = 1) =>
    vi.waitFor(() => expect(at.told(nth, beginning).length).toBeGreaterThanOrEqual(times), within)
  const upload = {
    owner,
    next,
    owns,
    begun: async (nth: number) => {
      const answer = await at.ask(nth, `/v2/${name}/blobs/uploads/`, { method: 'POST' })
      expect(answer.status).toBe(202)
      return locationOf(answer)
    },
    patch: (nth: number, location: string, body: Buffer, headers: Record<string, string> = {}) =>
      at.ask(nth, location, { method: 'PATCH', body, headers }),
    close: (nth: number, location: string, digest: string, body?: Buffer) =>
      at.ask(nth, withQuery(location, { digest }), { method: 'PUT', ...(body ? { body } : {}) }),
    /** Resolves when the other one is the owner. */
    async stopOwner() {
      await at.all[owner]?.stop()
      await owns(next)
    },
    /** Objects in the bucket. */
    async away() {
      const found = await readdir(service.path('uploads'), { recursive: true }).catch(() => [])
      return found.filter(path => path.includes('/'))
    },
    onDisk: (nth: number) => readdir(join(at.all[nth]?.storePath ?? '', 'uploads')),
    service,
    at,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
  return upload
}

function failure(answer: Answered) {
  return [answer.status, errorsOf(answer)[0]?.code]
}

describe.skipIf(!hasS3)('an upload under way, of replicas that share a bucket (needs versitygw)', () => {
  test('goes on at the next owner between two chunks, and before its end', async () => {
    await using up = await start()
    const { at, owner, next } = up
    const body = bytes(2 * mib, 5)
    const digest = digestOf(body)
    const [half, whole, empty] = [await up.begun(next), await up.begun(owner), await up.begun(next)]
    const sent = await up.patch(next, half, body.subarray(0, mib))
    expect([sent.status, sent.headers.range]).toEqual([202, `0-${mib - 1}`])
    expect((await up.patch(owner, whole, body)).status).toBe(202)

    await up.stopOwner()
    expect(await up.onDisk(owner)).toEqual([])
    const status = await at.ask(next, half)
    expect([status.status, status.headers.range]).toEqual([204, `0-${mib - 1}`])
    const range = `${mib}-${2 * mib - 1}`
    const rest = await up.patch(next, half, body.subarray(mib), { 'content-range': range })
    expect([rest.status, rest.headers.range]).toEqual([202, `0-${2 * mib - 1}`])
    const small = bytes(1000, 6)
    for (const [location, wanted, last] of [
      [half, digest],
      [whole, digest],
      [empty, digestOf(small), small],
    ] as const) {
      expect((await up.close(next, location, wanted, last)).status).toBe(201)
      const got = await at.ask(next, `/v2/${name}/blobs/${wanted}`)
      expect(digestOf(got.body)).toBe(wanted)
    }
    expect(await up.onDisk(next)).toEqual([])
    expect(await up.away()).toEqual([])
  })

  test('comes back to the replica that it was begun at, with what was acknowledged since', async () => {
    await using up = await start()
    const { at, owner, next } = up
    const body = bytes(3000, 8)
    const location = await up.begun(owner)
    await up.patch(owner, location, body.subarray(0, 1000))
    await up.stopOwner()
    expect((await up.patch(next, location, body.subarray(1000, 2000))).headers.range).toBe('0-1999')
    await at.all[owner]?.restart()
    await at.all[next]?.stop()
    await up.owns(owner, 2)
    expect((await up.patch(owner, location, body.subarray(2000))).headers.range).toBe('0-2999')
    expect((await up.close(owner, location, digestOf(body))).status).toBe(201)
  })

  test('is asked for by several at once, and moved once', async () => {
    await using up = await start()
    const location = await up.begun(up.owner)
    await up.patch(up.owner, location, bytes(5000))
    await up.stopOwner()
    const asked = await Promise.all(Array.from({ length: 8 }, () => up.at.ask(up.next, location)))
    expect(asked.map(({ status, headers }) => `${status} ${headers.range}`)).toEqual(
      Array.from({ length: 8 }, () => '204 0-4999'),
    )
    expect(failure(await up.at.ask(up.next, location.replace(name, 'local/other')))).toEqual([
      404,
      'BLOB_UPLOAD_UNKNOWN',
    ])
  })

  test('stays behind while somebody writes to it, and is unknown to the next owner', async () => {
    await using up = await start()
    const { at, owner, next } = up
    const location = await up.begun(owner)
    const headers = { 'content-length': '2000' }
    const writing = begin(at.url(owner), location, { method: 'PATCH', headers })
    writing.write(bytes(1000))
    await vi.waitFor(async () => expect((await at.ask(owner, location)).headers.range).toBe('0-999'), within)
    const stopped = at.all[owner]?.stop()
    await up.owns(next)
    const asked = await at.ask(next, location)
    expect(failure(asked)).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
    expect(await up.away()).toEqual([])
    writing.cut()
    await stopped
  })

  test('is unknown to the next owner where the bucket did not take it', async () => {
    await using up = await start()
    const location = await up.begun(up.owner)
    await up.patch(up.owner, location, bytes(1000))
    await up.stopOwner()
    await rm(up.service.path('uploads'), { recursive: true })
    expect(failure(await up.at.ask(up.next, location))).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
    expect(failure(await up.patch(up.next, location, bytes(10)))).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
  })

  test('counts towards limits.uploads also in the bucket', async () => {
    await using up = await start({ uploads: 2 })
    const { at, owner, next } = up
    const open = [await up.begun(owner), await up.begun(owner)]
    await up.stopOwner()
    const counted = async () => (await fetch(`${at.url(next)}/metrics`)).text()
    await vi.waitFor(async () => expect(await counted()).toMatch(/^layover_uploads 2$/m), within)
    const another = () => at.ask(next, `/v2/${name}/blobs/uploads/`, { method: 'POST' })
    await vi.waitFor(async () => expect((await another()).status).toBe(429), within) // there may be no owner yet
    const listed = await at.ask(next, `/v2/_ext/${name}/_uploads`)
    expect(JSON.parse(listed.body.toString())).toMatchObject({ uploads: [{ size: 0 }, { size: 0 }] })
    expect((await at.ask(next, open[0] ?? '', { method: 'DELETE' })).status).toBe(204)
    expect((await another()).status).toBe(202)
  })
  test('is given up in the bucket too when nobody goes on with it', async () => {
    await using up = await start()
    const [left, open] = [await up.begun(up.owner), await up.begun(up.owner)]
    await up.patch(up.owner, left, bytes(1000))
    await up.stopOwner()
    const longAgo = new Date(Date.now() - 2 * 86_400_000)
    for (const path of await up.away())
      if (left.endsWith(dirname(path))) await utimes(up.service.path(`uploads/${path}`), longAgo, longAgo)
    await up.at.all[up.owner]?.restart() // looks for leavings when it starts
    await vi.waitFor(async () => {
      expect(await up.away()).toEqual([`${basename(open)}/session.json`])
    }, within)
  })

  test('stays on the disk of a configured owner that stops while the bucket is gone', async () => {
    await using service = await startS3()
    await using at = await startReplicas(1, { service })
    const begun = await at.ask(0, `/v2/${name}/blobs/uploads/`, { method: 'POST' })
    const location = locationOf(begun)
    const body = bytes(1000)
    expect((await at.ask(0, location, { method: 'PATCH', body })).status).toBe(202)
    await service.stop()
    await at.all[0]?.stop()
    expect(at.told(0, 'not all open uploads could be left to the next owner of local names')).toHaveLength(1)
    await service.restart()
    await at.all[0]?.restart()
    expect((await at.ask(0, location)).headers.range).toBe('0-999')
    const closing = withQuery(location, { digest: digestOf(body) })
    expect((await at.ask(0, closing, { method: 'PUT' })).status).toBe(201)
  })
})
