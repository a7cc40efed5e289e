/** Timoni's way of publishing modules, replayed with crane, whose library it uses: an artifact a version, listed and pulled back. */
import { describe, expect } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-type.ts'
import { type Bundle, type Content, descriptor, json, tarGzip } from './image.ts'
import { expectServed, PushSite } from './site.ts'
import { run, testWith } from './tools.ts'

const versions = ['1.0.0', '1.1.0-rc.1', '1.1.0']
const key = 'org.opencontainers.image'

function module(version: string): Bundle {
  const config = json('application/vnd.timoni.config.v1+json', {})
  const content = tarGzip(`app/timoni-${version}.cue`, 4096)
  const layer: Content = {
    mediaType: 'application/vnd.timoni.content.v1.tar+gzip',
    bytes: content,
    digest: digestOf(content),
  }
  const root = json(mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptor(config),
    layers: [{ ...descriptor(layer), annotations: { 'sh.timoni.content.type': 'module' } }],
    annotations: {
      [`${key}.source`]: 'https://git.example/modules/app',
      [`${key}.revision`]: '6a8b3d0c0a2f',
      [`${key}.version`]: version,
      [`${key}.created`]: '2026-03-01T12:00:00Z',
    },
  })
  return { root, manifests: [], blobs: [config, layer] }
}

const linesOf = (text: string) => text.split('\n').filter(Boolean)

describe('Timoni', () => {
  testWith(
    ['crane'],
    'publishes versions of a module, lists them with their digests and pulls one',
    async () => {
      await using site = await PushSite.start()
      const crane = (...args: string[]) => run('crane', ['--insecure', ...args], site.root)
      const name = site.at('modules/app')
      for (const version of versions)
        await crane('push', await site.layout(version, module(version)), `${name}:${version}`)
      await crane('tag', `${name}:1.1.0`, 'latest')

      const listed = linesOf(await crane('ls', name))
      expect(listed).toEqual([...versions, 'latest'].toSorted())
      for (const tag of listed) {
        const { root } = module(tag === 'latest' ? '1.1.0' : tag)
        expect((await crane('digest', `${name}:${tag}`)).trim()).toBe(root.digest) // a HEAD for each tag
      }

      const wanted = module('1.1.0')
      expect(await crane('manifest', `${name}:latest`)).toBe(wanted.root.bytes.toString())
      await expectServed(site.registry, 'modules/app:1.1.0', wanted)
      await crane('delete', `${name}:1.1.0-rc.1`)
      expect(linesOf(await crane('ls', name))).toEqual(['1.0.0', '1.1.0', 'latest'])
    },
  )
})
