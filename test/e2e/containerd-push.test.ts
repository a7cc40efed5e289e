/** containerd pushes, as nerdctl and Docker's present store do: HEAD, POST with a mount, one PUT. */
import { describe, expect } from 'vitest'
import { startContainerd } from './containerd.ts'
import { digestsOf } from './image.ts'
import { publish } from './publish.ts'
import { expectServed, PushSite } from './site.ts'
import { testWith } from './tools.ts'

describe('containerd', () => {
  testWith(['containerd', 'ctr'], 'pushes every platform of an image, and again as another tag', async () => {
    await using site = await PushSite.start()
    const { image, registry } = site
    await publish(registry, 'base/app:1.0', image)
    await using containerd = await startContainerd(site.root)
    const { ctr } = containerd
    await ctr('content', 'fetch', '--plain-http', '--all-platforms', site.at('base/app:1.0'))
    for (const name of ['team/app:1.0', 'team/app:latest']) {
      await ctr('images', 'push', '--plain-http', site.at(name), site.at('base/app:1.0'))
      await expectServed(registry, name, image)
    }
    await site.expectBlobs('team/app', { mounted: image.blobs.length, sent: 0 }) // it knows where they came from
    const held = (await ctr('content', 'ls', '--quiet')).split('\n').filter(Boolean)
    expect(held.toSorted()).toEqual(digestsOf(image))
  })
})
