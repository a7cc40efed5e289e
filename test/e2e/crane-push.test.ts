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

  testWith(['crane'], 'copies between repositories by mounting every blob', async () => {
    await using site = await PushSite.start()
    const crane = craneAt(site)
    await crane('push', await site.layout('image', site.image), site.at('team/app:1.0'))
    await crane('copy', site.at('team/app:1.0'), site.at('release/app:1.0'))
    await expectServed(site.registry, 'release/app:1.0', site.image)
    await site.expectMounted('release/app', site.image.blobs.length)
  })

  testWith(['crane'], 'moves and deletes tags and manifests', async () => {
    await using site = await PushSite.start()
    const { image } = site
    const crane = craneAt(site)
    const name = site.at('team/app')
    await crane('push', await site.layout('image', image), `${name}:1.0`)
    await crane('tag', `${name}:1.0`, 'latest')
    expect(linesOf(await crane('ls', name))).toEqual(['1.0', 'latest'])
    await crane('delete', `${name}:latest`)
    expect(linesOf(await crane('ls', name))).toEqual(['1.0'])
    await crane('delete', `${name}@${image.root.digest}`)
    await expect(crane('manifest', `${name}:1.0`)).rejects.toThrow(/MANIFEST_UNKNOWN/)
  })

  testWith(['crane', 'docker-registry'], 'copies what was pushed out to another registry', async () => {
    await using site = await PushSite.start()
    const crane = craneAt(site)
    const origin = await site.origin()
    await crane('push', await site.layout('image', site.image), site.at('team/app:1.0'))
    await crane('copy', site.at('team/app:1.0'), `${origin.address}/team/app:1.0`)
    await expectServed(origin, 'team/app:1.0', site.image)
  })
})
