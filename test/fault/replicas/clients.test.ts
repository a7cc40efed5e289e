/** Real clients push and pull through a balancer that gives each request to another replica; what one replica took is what all answer. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, vi } from 'vitest'
import { digestsOf, multiArchImage, signatureOf } from '../../e2e/image.ts'
import { layoutTag, writeLayout } from '../../e2e/layout.ts'
import { expectServed, layoutDigests, referrersOf } from '../../e2e/site.ts'
import { run, testWith } from '../../e2e/tools.ts'
import { readContent, seededBlob } from '../../fake/bytes.ts'
import { artifactOf } from '../../fake/content.ts'
import { pushBlob, pushManifest } from '../../http/push-client.ts'
import { send } from '../push/crash-send.ts'
import { wrongWith } from './load.ts'
import { backends, replicasOfSuite, type Scene } from './scene.ts'

const local = 'local/team/app'
/** Until local names have an owner. */
const starting = { timeout: 40_000, interval: 200 }

async function untilOwned(at: Scene): Promise<void> {
  for (const place of at.replicas.all.keys())
    await vi.waitFor(
      async () => expect((await send(at.clients.at(place, `${local}/manifests/none`))).status).toBe(404),
      starting,
    )
}

async function layoutOf(at: Scene, name: string, bundle: Parameters<typeof writeLayout>[1]): Promise<string> {
  const folder = join(at.root, name)
  await mkdir(folder, { recursive: true })
  await writeLayout(folder, bundle)
  return folder
}

/** Of each kind of sharing. */
function answerAlike(replicas: () => Scene): void {
  testWith(backends, 'answer a tag that moved at any of them from the moment of the 201', async () => {
    const at = replicas()
    const bundles = Array.from({ length: 12 }, (_, nth) => artifactOf([seededBlob(`move ${nth}`, 200)]))
    for (const [nth, bundle] of bundles.entries()) {
      const to = { url: at.replicas.at(nth % 3).url, name: local }
      for (const blob of bundle.blobs) expect((await pushBlob(to, blob)).status).toBe(201)
      expect((await pushManifest(to, bundle.root, 'moving')).status).toBe(201)
      const paths = [0, 1, 2].map(place => at.clients.at(place, `${local}/manifests/moving`))
      const wrong = await Promise.all(paths.map(path => wrongWith(path, bundle.digest)))
      expect(wrong.filter(what => what !== undefined)).toEqual([])
    }
    const deleted = await send(at.clients.at(1, `${local}/manifests/moving`), { method: 'DELETE' })
    expect(deleted.status).toBe(202)
    for (const place of [0, 1, 2])
      expect((await send(at.clients.at(place, `${local}/manifests/moving`))).status).toBe(404)
  })

  testWith(backends, 'take the chunks of one upload wherever they arrive', async () => {
    const at = replicas()
    const blob = seededBlob('chunked', 600_000)
    const bytes = readContent(blob.content)
    const begun = await send(at.clients.at(0, `${local}/blobs/uploads/`), { method: 'POST' })
    expect(begun.status).toBe(202)
    let location = String(begun.headers.location)
    for (let from = 0, turn = 1; from < bytes.length; from += 100_000, turn += 1) {
      const body = bytes.subarray(from, from + 100_000)
      const headers = { 'content-range': `${from}-${from + body.length - 1}` }
      const path = new URL(location, at.replicas.at(0).url)
      const url = `${at.replicas.at(turn % 3).url}${path.pathname}${path.search}`
      const { status, headers: told } = await send(url, { method: 'PATCH', headers, body })
      expect(status).toBe(202)
      location = String(told.location)
    }
    const closing = new URL(location, at.replicas.at(2).url)
    closing.searchParams.set('digest', blob.digest)
    const url = `${at.replicas.at(2).url}${closing.pathname}${closing.search}`
    expect((await send(url, { method: 'PUT' })).status).toBe(201)
    for (const place of [0, 1, 2])
      expect(await wrongWith(at.clients.at(place, `${local}/blobs/${blob.digest}`), blob.digest)).toBe(
        undefined,
      )
  })
}

describe('replicas that share redis and s3', () => {
  const replicas = replicasOfSuite({}, untilOwned)

  describe('through a balancer', () => {
    testWith(
      [...backends, 'crane'],
      'crane pushes an image and its signature, lists, pulls, copies and deletes',
      async () => {
        const at = replicas()
        const image = multiArchImage()
        const signature = signatureOf(image.root)
        const registry = { address: at.balancer.address, namespace: 'local/' }
        const crane = (...args: string[]) => run('crane', ['--insecure', ...args], at.root)
        const name = `${registry.address}/local/team/app`
        await crane('push', await layoutOf(at, 'image', image), `${name}:1.0`)
        await crane('push', await layoutOf(at, 'signature', signature), `${name}@${signature.root.digest}`)
        for (const url of at.replicas.urls) {
          const replica = { address: new URL(url).host, namespace: 'local/' }
          await expectServed(replica, 'team/app:1.0', image)
          expect(await referrersOf(replica, 'team/app', image.root)).toHaveLength(1)
        }
        await crane('copy', `${name}:1.0`, `${registry.address}/local/release/app:1.0`)
        await crane('tag', `${name}:1.0`, 'latest')
        expect((await crane('ls', name)).split('\n').filter(Boolean)).toEqual(['1.0', 'latest'])
        await crane('delete', `${name}:latest`)
        expect((await crane('ls', name)).split('\n').filter(Boolean)).toEqual(['1.0'])
        await crane(
          'pull',
          '--format=oci',
          `${registry.address}/local/release/app:1.0`,
          join(at.root, 'pulled'),
        )
        expect(await layoutDigests(join(at.root, 'pulled'))).toEqual(digestsOf(image))
      },
    )

    testWith([...backends, 'regctl'], 'regctl pushes an image in chunks, and gets it back', async () => {
      const at = replicas()
      const image = multiArchImage()
      const { address } = at.balancer
      const regctl = (...args: string[]) =>
        run('regctl', ['--host', `reg=${address},tls=disabled,blobChunk=262144,blobMax=1`, ...args], at.root)
      const layout = await layoutOf(at, 'image', image)
      await regctl('image', 'copy', `ocidir://${layout}:${layoutTag}`, `${address}/local/team/chunked:1.0`)
      await expectServed({ address, namespace: 'local/' }, 'team/chunked:1.0', image)
      await regctl('image', 'copy', `${address}/local/team/chunked:1.0`, `ocidir://${at.root}/back:1.0`)
      expect(await layoutDigests(join(at.root, 'back'))).toEqual(digestsOf(image))
    })
  })

  answerAlike(replicas)
})

describe('replicas that share redis', () => answerAlike(replicasOfSuite({ shares: 'redis' }, untilOwned)))
