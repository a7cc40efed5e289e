/** Helm pushes charts and finds them again. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { PushSite } from './site.ts'
import { run, testWith } from './tools.ts'

const chartOf = (version: string) => `apiVersion: v2\nname: web\nversion: ${version}\n`

describe('helm', () => {
  testWith(['helm'], 'pushes charts, shows and pulls them by version and by range', async () => {
    await using site = await PushSite.start()
    const source = join(site.root, 'web')
    await mkdir(source)
    const helm = (...args: string[]) => run('helm', args, site.root)
    for (const version of ['1.0.0', '1.4.0+build.7']) {
      await writeFile(join(source, 'Chart.yaml'), chartOf(version))
      await helm('package', source)
      await helm('push', '--plain-http', `web-${version}.tgz`, `oci://${site.at('charts')}`)
    }
    const chart = ['--plain-http', `oci://${site.at('charts/web')}`, '--version']
    expect((await helm('show', 'chart', ...chart, '1.0.0')).trim()).toBe(chartOf('1.0.0').trim())
    const pulled = join(site.root, 'pulled')
    await mkdir(pulled)
    for (const wanted of ['1.0.0', '^1.1']) await helm('pull', ...chart, wanted, '--destination', pulled)
    for (const name of ['web-1.0.0.tgz', 'web-1.4.0+build.7.tgz'])
      expect((await readFile(join(pulled, name))).equals(await readFile(join(site.root, name)))).toBe(true)
  })
})
