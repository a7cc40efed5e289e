/** What many clients of several replicas cost upstream, and who goes on when the replica that fetches is killed. */
import { describe, expect } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { Containerd } from '../../clients/containerd.ts'
import { testWith } from '../../e2e/tools.ts'
import { seededBlob } from '../../fake/bytes.ts'
import { artifactOf } from '../../fake/content.ts'
import { download, expectWhole, openDownload } from '../download.ts'
import { miB, repository } from '../scene.ts'
import { patiently } from './load.ts'
import { backends, replicasOfSuite, startReplicas } from './scene.ts'

const blobs = /\/blobs\//

describe.each(['redis and s3', 'redis'] as const)('three replicas that share %s', shares => {
  testWith(backends, 'fetch a blob once for fifty clients each, who all get the right bytes', async () => {
    await using at = await startReplicas({ shares, isNearRedis: true })
    const blob = at.blob('herd', 4 * miB)
    const stall = at.net.fault({ kind: 'stall', at: 2 * miB, path: blobs, times: 1 })
    const path = `${repository}/blobs/${blob.digest}`
    const readers = Array.from({ length: 150 }, (_, client) => download(at.clients.at(client % 3, path)))
    await stall.reached
    stall.release()
    for (const found of await Promise.all(readers)) expectWhole(found, blob)
    expect(at.gets(blob)).toHaveLength(1)
    expect(at.gets(blob)[0]?.bodyBytes).toBe(blob.size)
    const { all } = at.replicas
    await Promise.all(all.map(replica => replica.stop())) // what goes to the bucket is there then
    const toS3 = all.reduce((sum, { network }) => sum + (network.toS3?.bytes ?? 0), 0)
    expect(toS3 / blob.size).toBeLessThan(1.5) // one of them puts it there
  })
})

describe.each(['redis and s3', 'redis'] as const)('replicas that share %s', shares => {
  const replicas = replicasOfSuite({ shares, isNearRedis: true })

  testWith(backends, 'start a cluster of nodes: every digest is fetched once', async () => {
    const at = replicas()
    const bases = ['debian', 'alpine'].map(name => seededBlob(name, 700_000))
    const images = Array.from({ length: 6 }, (_, nth) =>
      artifactOf([...bases.slice(nth % 2, 1 + (nth % 2)), seededBlob(`app ${nth}`, 90_000 + nth)]),
    )
    for (const [nth, bundle] of images.entries()) at.put(`v${nth}`, bundle)
    const nodes = Array.from({ length: 12 }, (_, node) => async () => {
      const hosts = [at.replicas.at(node % 3).url, at.replicas.at((node + 1) % 3).url]
      const client = new Containerd({ hosts, registry: 'plain.test' })
      for (let turn = 0; turn < images.length; turn += 1)
        await client.pull(repository, `v${(node + turn) % images.length}`)
    })
    await Promise.all(nodes.map(start => start()))
    const asked = at.net
      .requests({ method: 'GET' })
      .filter(({ path }) => /\/(?:blobs|manifests)\//.test(path))
    const digests = new Set(images.flatMap(({ root, blobs }) => [root, ...blobs].map(({ digest }) => digest)))
    expect(asked.map(({ path }) => path.slice(path.lastIndexOf('/') + 1)).toSorted()).toEqual(
      [...digests].toSorted(),
    )
  })

  testWith(backends, 'go on with a blob whose replica is killed in the middle', async () => {
    const at = replicas()
    const blob = at.blob('killed', 32 * miB)
    const stall = at.net.fault({ kind: 'stall', at: 16 * miB, path: blobs, times: 1 })
    const path = `${repository}/blobs/${blob.digest}`
    const flying = await openDownload(at.clients.at(0, path))
    await flying.take(8 * miB)
    const followers = await Promise.all([1, 2, 1, 2].map(place => openDownload(at.clients.at(place, path))))
    for (const reader of followers) await reader.take(4 * miB)
    await stall.reached
    await at.replicas.at(0).kill()
    stall.release()
    const ended = await Promise.all([flying, ...followers].map(reader => reader.finish()))
    for (const [client, found] of ended.entries()) {
      if (found.whole) expectWhole(found, blob)
      else
        await patiently(
          at.clients.at(1 + (client % 2), path),
          {},
          ({ body }) => digestOf(body) === blob.digest,
        )
    }
    const sent = at.gets(blob).reduce((sum, { bodyBytes }) => sum + bodyBytes, 0)
    expect(sent / blob.size).toBeLessThanOrEqual(1.5)
    expect(at.gets(blob)).toHaveLength(2) // of those who are left one takes over
  })
})

testWith(backends, 'replicas that share nothing are caches of their own', async () => {
  await using at = await startReplicas({ shares: 'nothing', count: 2 })
  const blob = at.blob('alone', 100_000)
  for (const place of [0, 1, 0, 1])
    expectWhole(await download(at.clients.at(place, `${repository}/blobs/${blob.digest}`)), blob)
  expect(at.gets(blob)).toHaveLength(2)
})
