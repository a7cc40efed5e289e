/** crane pushes: images from disk, copies that mount, tags and deletes. */
import { describe, expect } from 'vitest'
import { digestsOf } from './image.ts'
import { expectServed, layoutDigests, PushSite, referrersOf } from './site.ts'
import { run, testWith } from './tools.ts'

function craneAt({ root }: PushSite) {
  return (...args: string[]) => run('crane', ['--insecure', ...args], root)
}

const linesOf = (text: string) => text.split('\n').filter(Boolean)

describe('crane', () => {
  testWith(['crane'], 'pushes an image and what signs it, finds both and pulls them back', async () => {
    await using site = await PushSite.start()
    const { image, signature, registry } = site
    const crane = craneAt(site)
    await crane('push', await site.layout('image', image), site.at('team/app:1.0'))
    await crane(
      'push',
      await site.layout('signature', signature),
      site.at(`team/app@${signature.root.digest}`),
    )
    await expectServed(registry, 'team/app:1.0', image)
    await expectServed(registry, 'team/app', signature)
    expect(await referrersOf(registry, 'team/app', image.root)).toMatchObject([
      { digest: signature.root.digest, artifactType: 'application/vnd.example.signature.v1+json' },
    ])
    expect(linesOf(await crane('ls', site.at('team/app')))).toEqual(['1.0']) // no fallback tag beside it
    expect(linesOf(await crane('catalog', registry.address))).toEqual(['local/team/app'])
    await crane('validate', '--remote', site.at('team/app:1.0'))
    await crane('pull', '--format=oci', site.at('team/app:1.0'), `${site.root}/pulled`)
    expect(await layoutDigests(`${site.root}/pulled`)).toEqual(digestsOf(image))
  })

  testWith(['crane'], 'copies by mounting every blob, moves tags, deletes tags and manifests', async () => {
    await using site = await PushSite.start()
    const { image } = site
    const crane = craneAt(site)
    await crane('push', await site.layout('image', image), site.at('team/app:1.0'))
    const name = site.at('release/app')
    await crane('copy', site.at('team/app:1.0'), `${name}:1.0`)
    await expectServed(site.registry, 'release/app:1.0', image)
    await site.expectBlobs('release/app', { mounted: image.blobs.length, sent: 0 })
    await crane('tag', `${name}:1.0`, 'latest')
    expect(linesOf(await crane('ls', name))).toEqual(['1.0', 'latest'])
    await crane('delete', `${name}:latest`)
    expect(linesOf(await crane('ls', name))).toEqual(['1.0'])
    await crane('delete', `${name}@${image.root.digest}`)
    await expect(crane('manifest', `${name}:1.0`)).rejects.toThrow(/MANIFEST_UNKNOWN/)
    await expectServed(site.registry, 'team/app:1.0', image)
  })
})
