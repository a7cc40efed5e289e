import { chmod, copyFile, mkdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import type { PeerOptions } from '../../../bench/peers/peer.ts'
import { registries } from '../../../bench/peers/registries.ts'
import { tempDir } from '../../support/temp-dir.ts'

const stub = fileURLToPath(new URL('stub-registry.mjs', import.meta.url))
const fixture = (name: string) => fileURLToPath(new URL(`../upstream/fixtures/${name}`, import.meta.url))
const certificate = { cert: fixture('server.pem'), key: fixture('server.key') }

/** Starts a stub in its place; resolves with how it was called and with what configuration. */
async function startStub(name: string, options: Partial<PeerOptions> = {}) {
  await using folder = await tempDir()
  const home = folder.join('home')
  const program = folder.join(name)
  await mkdir(home)
  await copyFile(stub, program)
  await chmod(program, 0o755)
  const peer = registries.find(each => each.name === name)
  await using server = await peer?.start(program, {
    home,
    cores: undefined,
    certificate: undefined,
    ...options,
  })
  const called = JSON.parse(await readFile(folder.join('home', 'called.json'), 'utf8'))
  return { ...called, home, url: server?.url ?? '' } as Called & { home: string; url: string }
}

interface Called {
  args: string[]
  /** Of the configuration. */
  text: string
  log?: string
  go?: string
}

describe('zot is started', () => {
  test('with a store and an address of its own, and its request log', async () => {
    const { args, text, home, url } = await startStub('zot')
    expect(args).toEqual(['serve', `${home}/config.json`])
    expect(JSON.parse(text)).toEqual({
      distSpecVersion: '1.1.1',
      storage: { rootDirectory: `${home}/data` },
      http: { address: '127.0.0.1', port: new URL(url).port },
      log: { level: 'info' },
    })
  })

  test('with as many threads as it has cores', async () => {
    expect((await startStub('zot', { cores: '0' })).go).toBe('1')
    expect((await startStub('zot', { cores: '0,1' })).go).toBe('2')
  })

  test('with a certificate where TLS is compared', async () => {
    const { text, url } = await startStub('zot', { certificate })
    expect(url).toMatch(/^https:/)
    expect(JSON.parse(text)).toMatchObject({ http: { tls: certificate } })
  })
})

describe('angos is started', () => {
  test('open to anyone, with a repository for what is pushed, and its request log', async () => {
    const { args, text, home, log, url } = await startStub('angos')
    expect(args).toEqual(['-c', `${home}/config.toml`, 'server'])
    expect(log).toBe('info')
    expect(tables(text)).toEqual([
      ['[server]', 'bind_address = "127.0.0.1"', `port = ${new URL(url).port}`],
      ['[global.access_policy]', 'default = "allow"'],
      ['[blob_store.fs]', `root_dir = "${home}/data"`],
      ['[repository."local"]'],
    ])
  })

  test('with a certificate where TLS is compared', async () => {
    const { text, url } = await startStub('angos', { certificate })
    expect(url).toMatch(/^https:/)
    expect(tables(text)).toContainEqual([
      '[server.tls]',
      `server_certificate_bundle = "${certificate.cert}"`,
      `server_private_key = "${certificate.key}"`,
    ])
  })

  test('as a mirror of the upstream that it is given', async () => {
    const { text } = await startStub('angos', { upstream: 'http://127.0.0.1:1' })
    expect(tables(text)).toContainEqual(['[[repository."origin".upstream]]', 'url = "http://127.0.0.1:1"'])
    expect(text).not.toContain('"local"')
  })
})

/** Of TOML as it is written here: a head and its lines. */
function tables(toml: string): string[][] {
  const all: string[][] = []
  for (const line of toml.split('\n').filter(text => text.trim() !== '')) {
    if (line.startsWith('[')) all.push([line])
    else all.at(-1)?.push(line)
  }
  return all
}
