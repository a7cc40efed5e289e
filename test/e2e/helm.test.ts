/** Helm: a chart by version and by range, which it finds in the list of tags. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import type { Registry } from './origin.ts'
import { Site } from './site.ts'
import { run, testWith } from './tools.ts'

const chart = 'web'
const versions = ['1.0.0', '1.4.0', '2.0.0']

async function publish(site: Site): Promise<void> {
  const home = await site.folder(chart)
  for (const version of versions) {
    await writeFile(join(home, 'Chart.yaml'), `apiVersion: v2\nname: ${chart}\nversion: ${version}\n`)
    await run('helm', ['package', '.'], home)
    const archive = `${chart}-${version}.tgz`
    await run('helm', ['push', '--plain-http', archive, `oci://${site.origin.address}/charts`], home)
  }
}

async function visit(registry: Registry, home: string) {
  const source = `oci://${registry.address}/${registry.namespace}charts/${chart}`
  for (const wanted of ['1.0.0', '^1.0.0', '>=1.9']) {
    await run('helm', ['pull', '--plain-http', source, '--version', wanted, '--destination', home], home)
  }
  const archives = (await readdir(home)).filter(name => name.endsWith('.tgz')).toSorted()
  return Promise.all(
    archives.map(async name => ({ name, digest: digestOf(await readFile(join(home, name))) })),
  )
}

describe('helm', () => {
  testWith(
    ['docker-registry', 'helm'],
    'pulls a chart by version and by range, and again without the origin',
    async () => {
      await using site = await Site.start()
      await publish(site)
      expect(await site.expectSame(visit)).toMatchObject(
        versions.map(version => ({ name: `${chart}-${version}.tgz` })),
      )
    },
  )
})
