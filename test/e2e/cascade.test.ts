/** distribution as a pull-through cache in front of Layover: what was pushed here is pulled there. */
import { describe, expect } from 'vitest'
import { Distribution } from './distribution.ts'
import { digestsOf } from './image.ts'
import { publish } from './publish.ts'
import { expectServed, layoutDigests, PushSite } from './site.ts'
import { run, testWith } from './tools.ts'

describe('distribution v3 in front of Layover', () => {
  testWith(
    ['registry', 'crane'],
    'pulls an image and what signs it through, by HEAD, GET and ranges',
    async () => {
      await using site = await PushSite.start()
      const { image, signature, registry } = site
      await publish(registry, 'team/app:1.0', image)
      await publish(registry, 'team/app', signature)
      await using cache = await Distribution.start(site.root, { name: 'cache', upstream: registry })
      const through = { address: cache.address, namespace: registry.namespace }
      const base = `http://${cache.address}/v2/${registry.namespace}team/app`

      const head = await fetch(`${base}/manifests/1.0`, { method: 'HEAD' })
      expect([head.status, head.headers.get('docker-content-digest')]).toEqual([200, image.root.digest])
      await expectServed(through, 'team/app:1.0', image)
      await expectServed(through, 'team/app', signature)
      const [blob] = image.blobs.filter(({ bytes }) => bytes.length > 1024 * 1024)
      if (!blob) throw new Error('the image has no large layer')
      const range = async () => {
        const answer = await fetch(`${base}/blobs/${blob.digest}`, { headers: { range: 'bytes=1000-1999' } })
        return { status: answer.status, body: Buffer.from(await answer.arrayBuffer()) }
      }
      const part = { status: 206, body: blob.bytes.subarray(1000, 2000) }
      await expect.poll(range, { timeout: 10_000 }).toEqual(part) // it gives the whole blob until it has stored it
      const crane = (...args: string[]) => run('crane', ['--insecure', ...args], site.root)
      await crane('pull', '--format=oci', `${cache.address}/local/team/app:1.0`, `${site.root}/pulled`)
      expect(await layoutDigests(`${site.root}/pulled`)).toEqual(digestsOf(image))
      expect((await crane('ls', `${cache.address}/local/team/app`)).trim()).toBe('1.0')
    },
  )
})
