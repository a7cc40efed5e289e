/** skopeo pushes: every platform, other formats, whole repositories. */
import { describe, expect } from 'vitest'
import { layoutTag } from './layout.ts'
import { expectServed, PushSite } from './site.ts'
import { run, testWith } from './tools.ts'

function skopeoAt({ root }: PushSite) {
  const tls = { copy: ['--src-tls-verify=false', '--dest-tls-verify=false'], one: ['--tls-verify=false'] }
  const skopeo = (...args: string[]) =>
    run('skopeo', ['--insecure-policy', `--tmpdir=${root}`, ...args], root)
  return {
    copy: (...args: string[]) => skopeo('copy', ...tls.copy, ...args),
    sync: (...args: string[]) => skopeo('sync', ...tls.copy, '--src=docker', '--dest=docker', ...args),
    delete: (name: string) => skopeo('delete', ...tls.one, `docker://${name}`),
    async tags(name: string): Promise<string[]> {
      const said = await skopeo('list-tags', ...tls.one, `docker://${name}`)
      return (JSON.parse(said) as { Tags: string[] }).Tags
    },
  }
}

/** Every platform of an image as `team/app:1.0`. */
async function pushed(site: PushSite) {
  const skopeo = skopeoAt(site)
  const source = `oci:${await site.layout('image', site.image)}:${layoutTag}`
  const name = site.at('team/app')
  await skopeo.copy('--all', source, `docker://${name}:1.0`)
  return { skopeo, source, name }
}

describe('skopeo', () => {
  testWith(
    ['skopeo', 'docker-registry'],
    'pushes every platform, mounts layers in a copy, and copies out',
    async () => {
      await using site = await PushSite.start()
      const { skopeo, name } = await pushed(site)
      await expectServed(site.registry, 'team/app:1.0', site.image)
      const to = `docker://${site.at('release/app')}:1.0`
      await skopeo.copy('--all', `docker://${name}:1.0`, to)
      await expectServed(site.registry, 'release/app:1.0', site.image)
      await site.expectBlobs('release/app', { mounted: 3, sent: 2 }) // it sends each config again
      const origin = await site.origin()
      await skopeo.copy('--all', to, `docker://${origin.address}/team/app:1.0`)
      await expectServed(origin, 'team/app:1.0', site.image)
    },
  )

  testWith(['skopeo'], 'pushes in the format of Docker’s schema 2', async () => {
    await using site = await PushSite.start()
    const { skopeo, source, name } = await pushed(site)
    await skopeo.copy('--format=v2s2', '--override-arch=amd64', source, `docker://${name}:docker`)
    const { address, namespace } = site.registry
    const answer = await fetch(`http://${address}/v2/${namespace}team/app/manifests/docker`)
    expect(answer.headers.get('content-type')).toBe('application/vnd.docker.distribution.manifest.v2+json')
    await skopeo.copy(`docker://${name}:docker`, `dir:${site.root}/pulled`)
  })

  testWith(['skopeo'], 'lists tags, synchronises a repository and deletes from it', async () => {
    await using site = await PushSite.start()
    const { skopeo, name } = await pushed(site)
    await skopeo.copy('--all', `docker://${name}:1.0`, `docker://${name}:latest`)
    await skopeo.sync('--all', name, site.at('copies'))
    expect(await skopeo.tags(site.at('copies/app'))).toEqual(['1.0', 'latest'])
    await expectServed(site.registry, 'copies/app:latest', site.image)
    await skopeo.delete(`${name}:1.0`) // it deletes the manifest, and both tags name that
    const { address, namespace } = site.registry
    const answer = await fetch(`http://${address}/v2/${namespace}team/app/manifests/latest`)
    expect(answer.status).toBe(404)
    await expectServed(site.registry, 'copies/app:1.0', site.image)
  })
})
