/** A changed configuration is taken up; a bad one is told and leaves the old one in force. */
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { type LoadedConfig, loadConfig } from '../../../src/config/load.ts'
import { ConfigError } from '../../../src/config/problem.ts'
import { watchConfig } from '../../../src/config/watch.ts'
import { clientCertificate, serverCertificate } from '../../fake/certificates.ts'
import { tempDir } from '../../support/temp-dir.ts'

type Report = LoadedConfig | Error

/** Watches a file, and hands out what is reported, one after the other. */
async function watching(path: string) {
  const reports: Report[] = []
  let wake = () => {}
  const report = (each: Report) => {
    reports.push(each)
    wake()
  }
  const stop = new AbortController()
  const watcher = watchConfig(await loadConfig(path), {
    onChange: report,
    onError: report,
    debounceMs: 20,
    signal: stop.signal,
  })
  return {
    watcher,
    reports,
    async next(): Promise<Report> {
      for (;;) {
        const given = reports.shift()
        if (given) return given
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
    },
    /** A file that is written in place may be seen empty in between. */
    async nextLoaded(): Promise<Report> {
      for (;;) {
        const given = await this.next()
        if (!(given instanceof ConfigError)) return given
      }
    },
    [Symbol.dispose]() {
      stop.abort()
    },
  }
}

const config = (registry: string) => `upstreams: [{registry: ${registry}}]\n`
const withToken =
  'upstreams: [{registry: a.test, credentials: {token: file:secrets/token}, shareWithEveryone: true}]\n'

function registriesOf(report: Report): string[] {
  if (report instanceof Error) throw report
  return report.config.upstreams.map(({ options }) => options.registry)
}

function tokenOf(report: Report): unknown {
  if (report instanceof Error) throw report
  return report.config.upstreams[0]?.options.urls[0]?.credentials
}

function messageOf(report: Report | undefined): string {
  return report instanceof Error ? report.message : 'no error'
}

describe('watching the configuration', () => {
  test('a file that is written again is taken up', async () => {
    await using dir = await tempDir()
    await writeFile(dir.join('upstreams.yaml'), config('a.test'))
    using watch = await watching(dir.join('upstreams.yaml'))
    await writeFile(dir.join('upstreams.yaml'), config('b.test'))
    expect(registriesOf(await watch.nextLoaded())).toEqual(['b.test'])
  })

  test('a file that is replaced by renaming is taken up, each time', async () => {
    await using dir = await tempDir()
    await writeFile(dir.join('upstreams.yaml'), config('a.test'))
    using watch = await watching(dir.join('upstreams.yaml'))
    for (const registry of ['b.test', 'c.test']) {
      await writeFile(dir.join('new'), config(registry))
      await rename(dir.join('new'), dir.join('upstreams.yaml'))
      expect(registriesOf(await watch.next())).toEqual([registry])
    }
  })

  test('a ConfigMap that Kubernetes replaces is taken up', async () => {
    await using dir = await tempDir()
    for (const [version, registry] of [
      ['..1', 'a.test'],
      ['..2', 'b.test'],
    ] as const) {
      await mkdir(dir.join(version))
      await writeFile(dir.join(version, 'upstreams.yaml'), config(registry))
    }
    await symlink('..1', dir.join('..data'))
    await symlink('..data/upstreams.yaml', dir.join('upstreams.yaml'))
    using watch = await watching(dir.join('upstreams.yaml'))
    await symlink('..2', dir.join('..data_tmp'))
    await rename(dir.join('..data_tmp'), dir.join('..data'))
    await rm(dir.join('..1'), { recursive: true })
    expect(registriesOf(await watch.next())).toEqual(['b.test'])
  })

  test('a link into another folder is followed', async () => {
    await using dir = await tempDir()
    await mkdir(dir.join('real'))
    await writeFile(dir.join('real', 'x.yaml'), config('a.test'))
    await symlink('real/x.yaml', dir.join('upstreams.yaml'))
    using watch = await watching(dir.join('upstreams.yaml'))
    await writeFile(dir.join('real', 'x.yaml'), config('b.test'))
    expect(registriesOf(await watch.nextLoaded())).toEqual(['b.test'])
  })

  test('a secret that changes is taken up', async () => {
    await using dir = await tempDir()
    await mkdir(dir.join('secrets'))
    await writeFile(dir.join('secrets', 'token'), 'one')
    await writeFile(dir.join('upstreams.yaml'), withToken)
    using watch = await watching(dir.join('upstreams.yaml'))
    await writeFile(dir.join('new'), 'two')
    await rename(dir.join('new'), dir.join('secrets', 'token'))
    expect(tokenOf(await watch.next())).toEqual({ kind: 'token', token: 'two' })
  })

  test('a certificate that Kubernetes replaces is taken up, and told while it does not fit its key', async () => {
    await using dir = await tempDir()
    for (const [version, pair] of [
      ['..1', serverCertificate],
      ['..2', { ...serverCertificate, key: clientCertificate.key }],
      ['..3', clientCertificate],
    ] as const) {
      await mkdir(dir.join('tls', version), { recursive: true })
      await writeFile(dir.join('tls', version, 'tls.crt'), pair.cert)
      await writeFile(dir.join('tls', version, 'tls.key'), pair.key)
    }
    const swap = async (version: string) => {
      await symlink(version, dir.join('tls', '..data_tmp'))
      await rename(dir.join('tls', '..data_tmp'), dir.join('tls', '..data'))
    }
    await swap('..1')
    for (const name of ['tls.crt', 'tls.key']) await symlink(`..data/${name}`, dir.join('tls', name))
    await writeFile(
      dir.join('upstreams.yaml'),
      `listeners: [{address: "[::]:443", tls: {cert: file:tls/tls.crt, key: file:tls/tls.key}}]\n${config('a.test')}`,
    )
    using watch = await watching(dir.join('upstreams.yaml'))
    await swap('..2')
    expect(messageOf(await watch.next())).toContain('found one of another key')
    await swap('..3')
    const taken = await watch.next()
    expect(taken instanceof Error ? taken : taken.config.listen[0]?.tls).toEqual(clientCertificate)
  })

  test('a bad file is told, and a right one after it is taken up', async () => {
    await using dir = await tempDir()
    const replace = async (text: string) => {
      await writeFile(dir.join('new'), text)
      await rename(dir.join('new'), dir.join('upstreams.yaml'))
    }
    await replace(config('a.test'))
    using watch = await watching(dir.join('upstreams.yaml'))
    await replace('upstreams: [{registri: b.test}]\n')
    const refused = await watch.next()
    expect(refused).toBeInstanceOf(ConfigError)
    expect(messageOf(refused)).toContain('did you mean registry?')
    await replace(config('b.test'))
    expect(registriesOf(await watch.next())).toEqual(['b.test'])
  })

  test('a secret that was missing is noticed when it comes', async () => {
    await using dir = await tempDir()
    await mkdir(dir.join('secrets'))
    await writeFile(dir.join('upstreams.yaml'), config('a.test'))
    using watch = await watching(dir.join('upstreams.yaml'))
    await writeFile(dir.join('new'), withToken)
    await rename(dir.join('new'), dir.join('upstreams.yaml'))
    expect(await watch.next()).toBeInstanceOf(ConfigError)
    await writeFile(dir.join('new'), 'one')
    await rename(dir.join('new'), dir.join('secrets', 'token'))
    expect(tokenOf(await watch.next())).toEqual({ kind: 'token', token: 'one' })
  })

  test('the same content again is no change, unless a person asks', async () => {
    await using dir = await tempDir()
    await writeFile(dir.join('upstreams.yaml'), config('a.test'))
    using watch = await watching(dir.join('upstreams.yaml'))
    await writeFile(dir.join('new'), config('a.test'))
    await rename(dir.join('new'), dir.join('upstreams.yaml'))
    void watch.watcher.reload()
    expect(registriesOf(await watch.next())).toEqual(['a.test'])
    await writeFile(dir.join('new'), config('b.test'))
    await rename(dir.join('new'), dir.join('upstreams.yaml'))
    expect(registriesOf(await watch.next())).toEqual(['b.test'])
    expect(watch.reports).toEqual([])
  })

  test('a folder that cannot be watched is told, and reloading still works', async () => {
    await using dir = await tempDir()
    await mkdir(dir.join('secrets'))
    await writeFile(dir.join('secrets', 'token'), 'one')
    await writeFile(dir.join('upstreams.yaml'), withToken)
    const loaded = await loadConfig(dir.join('upstreams.yaml'))
    await rm(dir.join('secrets'), { recursive: true })
    const reports: Report[] = []
    const stop = new AbortController()
    await new Promise<void>(resolve => {
      const report = (each: Report) => {
        reports.push(each)
        if (each instanceof ConfigError) resolve()
      }
      void watchConfig(loaded, {
        onChange: report,
        onError: report,
        debounceMs: 20,
        signal: stop.signal,
      }).reload()
    })
    stop.abort()
    expect(messageOf(reports[0])).toContain(`changes in ${dir.join('secrets')} go unnoticed`)
    expect(messageOf(reports[0])).toContain('send SIGHUP after a change')
  })

  test('nothing is reported after the end', async () => {
    await using dir = await tempDir()
    await writeFile(dir.join('upstreams.yaml'), config('a.test'))
    const watch = await watching(dir.join('upstreams.yaml'))
    watch[Symbol.dispose]()
    await writeFile(dir.join('upstreams.yaml'), config('b.test'))
    void watch.watcher.reload()
    using other = await watching(dir.join('upstreams.yaml'))
    void other.watcher.reload()
    await other.next()
    expect(watch.reports).toEqual([])
  })
})
