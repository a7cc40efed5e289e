/** One flight a digest, whichever replica is asked, and whatever becomes of the one that flies it. */
import { existsSync } from 'node:fs'
import { describe, expect, test, vi } from 'vitest'
import { readContent, seededBlob } from '../../fake/bytes.ts'
import { artifactOf } from '../../fake/content.ts'
import { download, expectHonest, expectWhole, openDownload } from '../../fault/download.ts'
import { hasS3, startS3 } from '../../support/s3.ts'
import { ask, plain } from '../scene.ts'
import { acquainted, type Replicas, startReplicas } from './scene.ts'
import { claimFor, claimKey, deadAddress, join, startStranger } from './stranger.ts'

const miB = 1024 * 1024
const repository = 'team/app'
const path = /\/blobs\//

function blobAt(replicas: Replicas, seed: string, size: number, repositories = [repository]) {
  const blob = seededBlob(seed, size)
  for (const name of repositories) replicas.net.plain.put(name, 'v1', artifactOf([blob]))
  const urlAt = (place: number, name = repository) =>
    `${replicas.at(place).url}/v2/${name}/blobs/${blob.digest}`
  return { ...blob, urlAt }
}

/** Tries again as clients do. */
async function stubborn(url: string) {
  for (let tries = 1; ; tries += 1) {
    const found = await download(url)
    if (found.whole && found.status === 200) return found
    if (tries === 20) throw new Error(`twenty tries did not help: ${found.status}`)
  }
}

async function peerBytes(replicas: Replicas, place: number): Promise<number> {
  const { body } = await ask(replicas.at(place).url, '/metrics')
  return Number(/^layover_peer_bytes_total (\d+)$/m.exec(body.toString())?.[1])
}

/** It is in the store there, and its flight is over. */
async function kept(replicas: Replicas, place: number, blob: ReturnType<typeof blobAt>) {
  await vi.waitFor(async () => {
    const { headers } = await download(blob.urlAt(place))
    expect(headers['cache-status']).toBe('layover; hit')
    const { body } = await ask(replicas.at(place).url, '/metrics')
    expect(body.toString()).not.toMatch(/^layover_flights\{.*\} [1-9]/m)
  })
}

/** Half of it is on its way to the first replica, and clients wait at all three. */
async function midway(seed: string) {
  const at = await startReplicas()
  const blob = blobAt(at, seed, 4 * miB)
  const fault = at.net.fault({ kind: 'stall', at: 2 * miB, path, times: 1 })
  const first = await openDownload(blob.urlAt(0))
  await fault.reached
  const others = await Promise.all([1, 2].map(place => openDownload(blob.urlAt(place))))
  for (const reader of others) await reader.take(miB)
  return { at, blob, fault, first, others }
}

describe('a cold blob that three replicas are asked for', () => {
  test('is fetched once, for clients who come at once and for those who come late', async () => {
    await using at = await startReplicas()
    const blob = blobAt(at, 'herd', 4 * miB)
    const fault = at.net.fault({ kind: 'stall', at: 2 * miB, path, times: 1 })
    const clients = Array.from({ length: 30 }, (_, number) => openDownload(blob.urlAt(number % 3)))
    const early = await Promise.all(clients)
    await fault.reached
    const late = await Promise.all([0, 1, 2].map(place => openDownload(blob.urlAt(place))))
    fault.release()
    for (const reader of [...early, ...late]) expectWhole(await reader.finish(), blob)
    expect([at.gets(blob), at.sent(blob)]).toEqual([1, blob.size])
    const told = early.map(({ headers }) => headers['cache-status'])
    expect(told.filter(text => text === 'layover; fwd=miss; stored')).toHaveLength(1)
    expect(told.filter(text => text?.toString().includes('collapsed'))).toHaveLength(29)
    const borrowed = await Promise.all([0, 1, 2].map(place => peerBytes(at, place)))
    expect(borrowed.reduce((sum, bytes) => sum + bytes)).toBe(2 * blob.size)
  })

  test('whose size upstream does not tell is fetched once', async () => {
    await using at = await startReplicas()
    const blob = blobAt(at, 'chunked', 3 * miB)
    at.net.fault({ kind: 'chunked', path })
    const readers = await Promise.all([0, 1, 2].map(place => download(blob.urlAt(place))))
    for (const found of readers) expectWhole(found, blob)
    expect(at.gets(blob)).toBe(1)
  })

  test('and that upstream does not have: all hear so, and it was asked once', async () => {
    await using at = await startReplicas()
    const blob = { ...seededBlob('nowhere', 10), repository }
    const fault = at.net.fault({ kind: 'hang', path, times: 1 })
    at.net.plain.put(repository, 'v1', artifactOf([seededBlob('other', 10)]))
    const asking = [0, 1, 2].map(place =>
      download(`${at.at(place).url}/v2/${repository}/blobs/${blob.digest}`),
    )
    await fault.reached
    await vi.waitFor(async () => {
      for (const { url } of at.all)
        expect((await ask(url, '/metrics')).body.toString()).toMatch(/^layover_flights\{.*\} 1$/m)
    })
    fault.release()
    for (const { status } of await Promise.all(asking)) expect(status).toBe(404)
    expect(at.gets(blob)).toBe(1)
  })
})

describe('the replica that flies', () => {
  test('is killed: another takes over from the bytes that it has', async () => {
    const { at, blob, first, others } = await midway('killed')
    await using _ = at
    await at.at(0).redis.close() // its claim stands
    await at.at(0).layover.stop()
    expectHonest(await first.finish(), blob)
    for (const reader of others) expectWhole(await reader.finish(), blob)
    expectWhole(await stubborn(blob.urlAt(1)), blob)
    expect(at.gets(blob)).toBe(2)
    expect(at.sent(blob)).toBeLessThanOrEqual(1.5 * blob.size)
  })

  test('is stopped: it gives up its claim, and another goes on', async () => {
    const { at, blob, others } = await midway('stopped')
    await using _ = at
    await at.at(0).layover.stop()
    for (const reader of others) expectWhole(await reader.finish(), blob)
    expect(at.sent(blob)).toBeLessThanOrEqual(1.5 * blob.size)
  })

  test('loses Redis with all others: who follows goes on following, and nobody who asks fails', async () => {
    const { at, blob, fault, first, others } = await midway('no redis')
    await using _ = at
    await at.redis.kill()
    const late = await Promise.all([0, 1, 2].map(place => openDownload(blob.urlAt(place))))
    fault.release()
    for (const reader of [first, ...others, ...late]) expectWhole(await reader.finish(), blob)
    expect(at.gets(blob)).toBe(1)
    const other = blobAt(at, 'fetched without redis', miB)
    for (const place of [0, 1, 2]) expectWhole(await download(other.urlAt(place)), other)
  })

  test('was gone before anybody could follow: its claim is taken over at once', async () => {
    await using at = await startReplicas()
    const blob = blobAt(at, 'dead holder', miB)
    await claimFor(await deadAddress(), `blob ${blob.digest}`, at.at(0))
    const readers = await Promise.all([0, 1, 2].map(place => download(blob.urlAt(place))))
    for (const found of readers) expectWhole(found, blob)
    expect(at.gets(blob)).toBe(1)
  })

  test('says that it does not fly it: its claim is taken over', async () => {
    await using at = await startReplicas()
    await using stranger = await startStranger((_, response) => response.writeHead(404).end())
    const blob = blobAt(at, 'absent holder', miB)
    await claimFor(stranger.url, `blob ${blob.digest}`, at.at(0))
    expectWhole(await download(blob.urlAt(0)), blob)
    expect(at.gets(blob)).toBe(1)
  })

  test('hangs: its claim runs out, and one other asks upstream', async () => {
    await using at = await startReplicas()
    await using stranger = await startStranger(() => {})
    const blob = blobAt(at, 'hanging holder', miB)
    const subject = `blob ${blob.digest}`
    await claimFor(stranger.url, subject, at.at(0))
    const { redis } = at.at(0)
    await redis.ask(client => client.pexpire(claimKey(subject, at.at(0)), 4_000)) // it hangs for a while already
    const readers = await Promise.all([0, 1, 2].map(place => download(blob.urlAt(place))))
    for (const found of readers) expectWhole(found, blob)
    expect(at.gets(blob)).toBe(1)
  })

  test('breaks off again and again: what it gave is kept, and upstream gives the rest', async () => {
    await using at = await startReplicas({ count: 1 })
    const blob = blobAt(at, 'breaking holder', miB)
    const content = readContent(blob.content)
    await using stranger = await startStranger((_, response) => {
      response.writeHead(200, { 'replica-first': '0', 'replica-size': String(blob.size) })
      response.write(content.subarray(0, 300_000), () => response.destroy())
    })
    await claimFor(stranger.url, `blob ${blob.digest}`, at.at(0))
    expectWhole(await download(blob.urlAt(0)), blob)
    expect(at.sent(blob)).toBeLessThan(blob.size)
  })
})

describe('a blob that one replica has on its disk', () => {
  test('comes from there, for a repository that is known to hold it, or of which upstream confirms it', async () => {
    await using at = await startReplicas()
    await acquainted(at)
    const blob = blobAt(at, 'on disk', 2 * miB, [repository, 'team/other'])
    expectWhole(await download(blob.urlAt(0)), blob)
    await kept(at, 0, blob)
    const found = await download(blob.urlAt(1))
    expectWhole(found, blob)
    expect(found.headers['cache-status']).toContain('collapsed')
    expect(at.net.requests({ method: 'HEAD', path })).toEqual([])
    expect(await peerBytes(at, 1)).toBe(blob.size)
    expectWhole(await download(blob.urlAt(2, 'team/other')), blob)
    expect(at.net.requests({ method: 'HEAD', path })).toHaveLength(1)
    expect(at.gets(blob)).toBe(1)
  })

  test('is not shown to a repository whose upstream does not give it', async () => {
    await using at = await startReplicas({
      upstreams: net => {
        net.ecr.addUser('AWS', 'right', { pull: ['open'] })
        for (const name of ['open', 'closed']) net.ecr.makePrivate(name)
        const credentials = { kind: 'basic', username: 'AWS', password: 'right' } as const
        const options = { access: 'shared', urls: [{ url: net.url('ecr.test'), credentials }] } as const
        return [plain(net, { registry: 'ecr.example', options })]
      },
    })
    await acquainted(at)
    const blob = blobAt(at, 'secret', 2 * miB)
    for (const name of ['open', 'closed']) at.net.ecr.put(name, 'v1', artifactOf([blob]))
    const fault = at.net.fault({ kind: 'stall', at: miB, path, times: 1 })
    const entitled = await openDownload(blob.urlAt(0, 'open'))
    await fault.reached
    const inFlight = await download(blob.urlAt(1, 'closed'))
    fault.release()
    expectWhole(await entitled.finish(), blob)
    const onDisk = await download(blob.urlAt(2, 'closed'))
    for (const refused of [inFlight, onDisk]) expect(refused.status).toBe(403)
    expectWhole(await download(blob.urlAt(2, 'open')), blob)
    expect(at.sent(blob) - blob.size).toBeLessThan(1024) // refusals
  })

  test('of which another gives wrong bytes: nobody gets them, and it is not asked again', async () => {
    await using at = await startReplicas({ count: 1 })
    const blob = blobAt(at, 'lies', 2 * miB)
    await using liar = await startStranger((_, response) => {
      response.writeHead(200, { 'replica-first': '0', 'replica-size': String(blob.size) })
      response.end(Buffer.alloc(blob.size, 'x'))
    })
    await join(liar.url, at.at(0))
    await acquainted(at, 1)
    const found = await download(blob.urlAt(0))
    expect(found.whole).toBe(false)
    expectWhole(await stubborn(blob.urlAt(0)), blob)
    expect(at.at(0).layover.lines).toContainEqual(
      expect.objectContaining({ level: 'error', replica: liar.url }),
    )
    expect(liar.asked.filter(line => line.startsWith('GET'))).toHaveLength(1)
    expect(at.gets(blob)).toBe(1)
  })

  test('of which another says a wrong size: it is not believed', async () => {
    await using at = await startReplicas({ count: 1 })
    const blob = blobAt(at, 'wrong size', 2 * miB)
    await using liar = await startStranger((_, response) => {
      response.writeHead(200, { 'replica-first': '0', 'replica-size': '5' }).end('12345')
    })
    await join(liar.url, at.at(0))
    await acquainted(at, 1)
    await ask(at.at(0).url, `/v2/${repository}/manifests/v1`) // lists the blob with its size
    expectWhole(await download(blob.urlAt(0)), blob)
    expect(at.gets(blob)).toBe(1)
  })
})

describe.runIf(hasS3)('a blob that lies in the store of all replicas', () => {
  test('comes from there, and not from another one’s disk, unless that has fetched it lately', async () => {
    await using service = await startS3()
    await using at = await startReplicas({ count: 2, service })
    await acquainted(at)
    const blobs = [blobAt(at, 'shared', miB), blobAt(at, 'shared lately', miB)] as const
    for (const blob of blobs) {
      expectWhole(await download(blob.urlAt(0)), blob)
      await kept(at, 0, blob)
      const hex = blob.digest.slice('sha256:'.length)
      const key = `cached/sha256/${hex.slice(0, 2)}/${hex}`
      await vi.waitFor(() => expect(existsSync(service.path(key))).toBe(true))
    }
    const [before, lately] = blobs
    const { redis } = at.at(1)
    const claim = claimKey(`blob ${before.digest}`, at.at(1))
    expect(await redis.ask(client => client.del(claim))).toBe(1)
    expectWhole(await download(before.urlAt(1)), before)
    expect(await peerBytes(at, 1)).toBe(0)
    expectWhole(await download(lately.urlAt(1)), lately)
    expect(await peerBytes(at, 1)).toBe(miB)
    expect([at.gets(before), at.gets(lately)]).toEqual([1, 1])
  })
})
