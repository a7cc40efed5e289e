/** regctl pushes: mounts without `from`, artifacts with a subject, other digest algorithms, deletes of tags. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { layoutTag } from './layout.ts'
import { expectServed, PushSite, referrersOf } from './site.ts'
import { run, testWith } from './tools.ts'

function regctlAt({ registry, root }: PushSite) {
  return (...args: string[]) =>
    run('regctl', ['--host', `reg=${registry.address},tls=disabled`, ...args], root)
}

const linesOf = (text: string) => text.split('\n').filter(Boolean)
const artifactType = 'application/spdx+json'
const statement = '{"spdxVersion":"SPDX-2.3"}'

/** An image from disk as `team/app:1.0`. */
async function pushed(site: PushSite) {
  const regctl = regctlAt(site)
  const layout = await site.layout('image', site.image)
  const name = site.at('team/app:1.0')
  await regctl('image', 'copy', `ocidir://${layout}:${layoutTag}`, name)
  const file = join(site.root, 'sbom.json')
  await writeFile(file, statement)
  return { regctl, name, file }
}

describe('regctl', () => {
  testWith(['regctl'], 'pushes an image and attaches an artifact; a copy mounts and keeps both', async () => {
    await using site = await PushSite.start()
    const { image, registry } = site
    const { regctl, name, file } = await pushed(site)
    await expectServed(registry, 'team/app:1.0', image)
    const type = ['--artifact-type', artifactType, '--file-media-type', artifactType]
    await regctl('artifact', 'put', ...type, '--subject', name, '--file', file)
    await regctl('image', 'copy', '--referrers', name, site.at('release/app:1.0'))
    await expectServed(registry, 'release/app:1.0', image)
    const referrers = await referrersOf(registry, 'team/app', image.root)
    expect(referrers).toMatchObject([{ artifactType }])
    expect(await referrersOf(registry, 'release/app', image.root)).toEqual(referrers)
    expect(linesOf(await regctl('tag', 'ls', site.at('release/app')))).toEqual(['1.0'])
    await site.expectBlobs('release/app', { mounted: image.blobs.length + 2, sent: 0 })
    expect(await regctl('artifact', 'get', '--subject', site.at('release/app:1.0'))).toBe(statement)
  })

  testWith(['regctl'], 'pushes an artifact, which no image is, and gets it back', async () => {
    await using site = await PushSite.start()
    const { regctl, file } = await pushed(site)
    await regctl('artifact', 'put', '--artifact-type', artifactType, '--file', file, site.at('team/data:1'))
    expect(await regctl('artifact', 'get', site.at('team/data:1'))).toBe(statement)
    expect(linesOf(await regctl('repo', 'ls', site.registry.address))).toEqual([
      'local/team/app',
      'local/team/data',
    ])
  })

  testWith(['regctl'], 'pushes an image whose digests are sha512, in chunks', async () => {
    await using site = await PushSite.start()
    const { regctl, name } = await pushed(site)
    const strong = site.at('team/strong:1.0')
    await regctl('image', 'mod', name, '--digest-algo', 'sha512', '--create', strong)
    const digest = (await regctl('image', 'digest', strong)).trim()
    expect(digest).toMatch(/^sha512:/)
    const copy = `ocidir://${site.root}/strong:1.0`
    await regctl('image', 'copy', strong, copy) // it checks every digest
    expect((await regctl('image', 'digest', copy)).trim()).toBe(digest)
  })

  testWith(['regctl'], 'deletes a tag and leaves the image that other tags name', async () => {
    await using site = await PushSite.start()
    const { regctl, name } = await pushed(site)
    await regctl('image', 'copy', name, site.at('team/app:latest'))
    await regctl('tag', 'delete', name)
    expect(linesOf(await regctl('tag', 'ls', site.at('team/app')))).toEqual(['latest'])
    await expectServed(site.registry, 'team/app:latest', site.image)
  })
})
