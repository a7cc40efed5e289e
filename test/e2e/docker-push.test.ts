/** Docker's way of pushing, replayed: its daemon is no client that a test could start. */
import { describe, expect, test } from 'vitest'
import { DockerPush } from '../clients/docker-push.ts'
import { readContent } from '../fake/bytes.ts'
import { image } from '../fake/content.ts'
import { PushSite } from './site.ts'

describe('Docker', () => {
  test('pushes an image of schema 2, and mounts its layers into another repository', async () => {
    await using site = await PushSite.start()
    const bundle = image('docker', { format: 'docker', layers: [3_000_000, 70_000] })
    const blobs = bundle.blobs.map(({ digest, content }) => ({ digest, bytes: readContent(content) }))
    const url = `http://${site.registry.address}`
    const first = new DockerPush(url, 'local/team/app')
    expect(await first.push(blobs, bundle.root, '1.0')).toBe(bundle.digest)
    expect(await first.push(blobs, bundle.root, 'latest')).toBe(bundle.digest)
    await site.expectBlobs('team/app', { mounted: 0, sent: 3 })
    const known = blobs.map(blob => ({ ...blob, from: 'local/team/app' }))
    expect(await new DockerPush(url, 'local/release/app').push(known, bundle.root, '1.0')).toBe(bundle.digest)
    await site.expectBlobs('release/app', { mounted: 3, sent: 0 })
    const answer = await fetch(`${url}/v2/local/release/app/manifests/1.0`)
    expect(answer.headers.get('content-type')).toBe(bundle.root.mediaType)
    expect(Buffer.from(await answer.arrayBuffer()).equals(bundle.root.body)).toBe(true)
  })
})
