/** The registry over TLS, at an address for pulls only, and as a process whose certificate is replaced. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rename, writeFile } from 'node:fs/promises'
import { Agent, get } from 'node:https'
import { connect as connectPlain } from 'node:net'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { connect } from 'node:tls'
import { describe, expect, test, vi } from 'vitest'
import type { Identity, ListenAddress } from '../../src/edge/listener.ts'
import type { Operation } from '../../src/edge/route.ts'
import { readContent } from '../fake/bytes.ts'
import {
  caCertificate,
  clientCertificate,
  expiredCertificate,
  serverCertificate,
} from '../fake/certificates.ts'
import { alice, teamCa } from '../fake/client-certificates.ts'
import { image } from '../fake/content.ts'
import { tempDir } from '../support/temp-dir.ts'
import { pushBundle } from './push-client.ts'
import { ask, errorOf, layerOf, plain, type Scene, type SceneSetting, scene, trust } from './scene.ts'

const MiB = 1024 * 1024
const app = image('app', { layers: [4 * MiB] })
const manifest = '/v2/app/manifests/v1'
const blob = `/v2/app/blobs/${layerOf(app).digest}`
const { body: manifestBytes } = app.root

function address(setting: Partial<ListenAddress> = {}): ListenAddress {
  return { host: '127.0.0.1', port: 0, role: 'registry', tls: serverCertificate, ...setting }
}

async function start(setting: SceneSetting = {}) {
  const at = await scene({ upstreams: net => [plain(net)], listen: [address()], ...setting })
  at.net.plain.put('app', 'v1', app)
  return at
}

/** The name in the certificate that a new connection is shown. */
async function shownAt(port: number): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const { subject } = socket.getPeerCertificate()
  socket.resume().end()
  await once(socket, 'close')
  return String(subject.CN)
}

const portOf = (url: string) => Number(new URL(url).port)

describe('over TLS', () => {
  test('images are pulled, from upstream and from the cache', async () => {
    await using at = await start()
    expect(at.layover.url).toMatch(/^https:/)
    expect((await at.ask(manifest)).body.equals(manifestBytes)).toBe(true)
    expect((await at.ask(blob)).body.equals(readContent(layerOf(app).content))).toBe(true)
    await at.warm(manifest, blob)
    expect((await at.ask(blob)).body.equals(readContent(layerOf(app).content))).toBe(true)
    expect((await at.ask(manifest)).headers['cache-status']).toBe('layover; hit')
    expect(at.net.requests()).toEqual([])
  })

  test('the machine itself pushes, and is led on by locations without a scheme', async () => {
    await using at = await start()
    await pushBundle({ url: at.layover.url, name: 'local/app' }, app, 'v1')
    expect((await at.ask('/v2/local/app/manifests/v1')).body.equals(manifestBytes)).toBe(true)
    const { headers } = await at.ask('/v2/local/app/blobs/uploads/', { method: 'POST' })
    expect(headers.location).toMatch(/^\/v2\/local\/app\/blobs\/uploads\//)
  })

  test('who names another host is told that only the machine itself pushes', async () => {
    await using at = await start()
    const headers = { host: 'tls.test' }
    const refused = await at.ask('/v2/local/app/blobs/uploads/', { method: 'POST', headers })
    expect([refused.status, errorOf(refused).code]).toEqual([403, 'DENIED'])
  })

  test('the access line tells the client', async () => {
    await using at = await start()
    await at.ask(manifest)
    await vi.waitFor(() =>
      expect(at.layover.lines).toContainEqual(
        expect.objectContaining({ msg: 'request', path: manifest, client: '127.0.0.1', status: 200 }),
      ),
    )
  })

  test('plain HTTP is refused, and heard beside it at an address of its own', async () => {
    await using at = await start({ listen: [address(), address({ tls: undefined })] })
    const [secure, open] = at.layover.addresses
    await expect(ask(`http://127.0.0.1:${secure?.port}`, '/v2/')).rejects.toThrow(/hang up|ECONNRESET/)
    expect((await ask(`http://127.0.0.1:${open?.port}`, '/v2/')).status).toBe(200)
    expect((await at.ask('/v2/')).status).toBe(200)
  })

  test('a client that never finishes its handshake holds up a stop no longer than transfers may', async () => {
    await using at = await start({ limits: { drainMs: 50 } })
    const silent = connectPlain(portOf(at.layover.url), '127.0.0.1')
    await once(silent, 'connect')
    expect((await at.ask('/v2/')).status).toBe(200)
    const gone = once(silent, 'close')
    await at.layover.stop()
    await gone
  })
})

describe('a reload with another certificate', () => {
  test('shows it to who connects, while a download over the old one goes on', async () => {
    await using at = await start({ listen: [address({ tls: clientCertificate })] })
    const port = portOf(at.layover.url)
    const stall = at.net.fault({ host: 'plain.test', path: /blobs/, kind: 'stall', at: MiB })
    const download = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
    await once(download, 'secureConnect')
    download.write(`GET ${blob} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    await stall.reached
    await at.layover.reload({ ...at.layover.config, listen: [address()] })
    expect(await shownAt(port)).toBe('tls.test')
    expect((await at.ask('/v2/')).status).toBe(200)
    stall.release()
    const chunks: Buffer[] = []
    for await (const chunk of download) chunks.push(chunk as Buffer)
    const received = Buffer.concat(chunks)
    const body = received.subarray(received.indexOf('\r\n\r\n') + 4)
    expect(body.equals(readContent(layerOf(app).content))).toBe(true)
  })

  test('that has another key is refused whole, and the old one is shown on', async () => {
    await using at = await start()
    const tls = { cert: expiredCertificate.cert, key: serverCertificate.key }
    const changed = { ...at.layover.config, upstreams: [], listen: [address({ tls })] }
    await expect(at.layover.reload(changed)).rejects.toThrow('key values mismatch')
    expect(await shownAt(portOf(at.layover.url))).toBe('tls.test')
    expect((await at.ask(manifest)).status).toBe(200)
  })

  test('needs no new start, and says so of another address, role or protocol', async () => {
    await using at = await start()
    const warned = () => at.layover.lines.filter(({ msg }) => String(msg).includes('next start')).length
    await at.layover.reload({ ...at.layover.config, listen: [address({ tls: expiredCertificate })] })
    expect(warned()).toBe(0)
    for (const setting of [{ port: 1 }, { role: 'mirror' }, { tls: undefined }] as const)
      await at.layover.reload({ ...at.layover.config, listen: [address(setting)] })
    expect(warned()).toBe(3)
    expect(await shownAt(portOf(at.layover.url))).toBe('expired.test')
  })
})

describe('client certificates', () => {
  const asking = (ca: string, isRequired: boolean) => [
    address({ tls: { ...serverCertificate, clients: { ca, isRequired } } }),
    address({ tls: undefined }),
  ]
  const over = (port: number, options: object) =>
    new Promise<number | undefined>((resolve, reject) => {
      const agent = new Agent({ ...trust, ...options })
      get({ host: '127.0.0.1', port, path: manifest, agent }, reply => {
        reply.resume().on('end', () => resolve(reply.statusCode))
      }).on('error', reject)
    })

  test('are asked for at the address that says so, and other authorities taken up without a restart', async () => {
    await using at = await start({ listen: asking(teamCa, true) })
    const [secure, open] = at.layover.addresses
    const port = Number(secure?.port)
    expect(await over(port, alice)).toBe(200)
    await expect(over(port, {})).rejects.toThrow()
    expect((await ask(`http://127.0.0.1:${open?.port}`, manifest)).status).toBe(200)

    await at.layover.reload({ ...at.layover.config, listen: asking(caCertificate, false) })
    expect(at.layover.lines.map(({ msg }) => msg)).not.toContain(
      'these settings take effect at the next start',
    )
    expect([await over(port, {}), await over(port, clientCertificate)]).toEqual([200, 200])
    expect(await over(port, alice)).toBe(403)
  })
})

describe('an address with the role mirror', () => {
  const pullsOnly = [address({ role: 'mirror', tls: undefined })]

  test.each([
    ['POST', '/v2/local/app/blobs/uploads/'],
    ['PATCH', '/v2/local/app/blobs/uploads/00000000-0000-4000-8000-000000000000'],
    ['PUT', '/v2/local/app/blobs/uploads/00000000-0000-4000-8000-000000000000'],
    ['DELETE', '/v2/local/app/blobs/uploads/00000000-0000-4000-8000-000000000000'],
    ['PUT', '/v2/local/app/manifests/v1'],
    ['DELETE', '/v2/local/app/manifests/v1'],
    ['DELETE', `/v2/local/app/blobs/${layerOf(app).digest}`],
    ['PUT', '/v2/app/manifests/v1'],
    ['POST', '/v2/nowhere.example/app/blobs/uploads/'],
    ['POST', '/v2/_catalog'],
    ['PUT', '/v2/'],
  ])('refuses %s %s', async (method, path) => {
    await using at = await start({ listen: pullsOnly })
    const refused = await at.ask(path, { method })
    expect([refused.status, refused.headers.allow, errorOf(refused).code]).toEqual([
      405,
      'GET, HEAD',
      'UNSUPPORTED',
    ])
  })

  test('answers the ping and pulls, of what was pushed elsewhere too', async () => {
    await using at = await start({ listen: [...pullsOnly, address({ tls: undefined })] })
    const [, other] = at.layover.addresses
    await pushBundle({ url: `http://127.0.0.1:${other?.port}`, name: 'local/app' }, app, 'v1')
    for (const path of ['/v2/', manifest, blob, '/v2/local/app/manifests/v1', '/v2/_catalog', '/livez'])
      expect([path, (await at.ask(path)).status]).toEqual([path, 200])
  })

  const { digest } = layerOf(app)
  const operations: Record<Operation['kind'], readonly string[]> = {
    ping: ['/v2/', '/v2', '/plain.example/v2/'],
    manifest: [manifest, '/v2/local/app/manifests/none', '/v2/nowhere/app/manifests/v1'],
    blob: [blob, `/v2/local/app/blobs/${digest}`],
    uploads: ['/v2/local/app/blobs/uploads/', '/v2/app/blobs/uploads/00000000-0000-4000-8000-000000000000'],
    tags: ['/v2/app/tags/list', '/v2/local/app/tags/list'],
    referrers: [`/v2/app/referrers/${digest}`, `/v2/local/app/referrers/${digest}`],
    catalog: ['/v2/_catalog'],
    discover: ['/v2/_oci/ext/discover', '/v2/app/_oci/ext/discover'],
    extension: ['/v2/_ext/_repositories', '/v2/_ext/app/_namespaces', '/v2/_ext/local/app/_uploads'],
  }
  const everywhere = Object.values(operations).flat()

  /** Of every way to show who one is; and none of the answers asks for another. */
  async function statusesOf(at: Scene, method: string, path: string): Promise<number[]> {
    const shown = [undefined, 'Basic bm9ib2R5Om5vdGhpbmc=', 'Bearer none', 'Basic', '\u00ff']
    const answers = await Promise.all(
      shown.map(authorization =>
        at.ask(path, { method, headers: authorization === undefined ? {} : { authorization } }),
      ),
    )
    for (const { status, headers } of answers)
      expect([method, path, status === 401, headers['www-authenticate']]).toEqual([
        method,
        path,
        false,
        undefined,
      ])
    return answers.map(({ status }) => status)
  }

  test('never asks who it is, whatever is asked and shown, and always answers the ping', async () => {
    await using at = await start({ listen: pullsOnly })
    for (const method of ['GET', 'HEAD']) {
      for (const path of [...everywhere, '/livez', '/metrics', '/nothing']) await statusesOf(at, method, path)
      for (const path of operations.ping)
        expect(new Set(await statusesOf(at, method, path))).toEqual(new Set([200]))
    }
  })

  test('takes nothing, whatever is shown', async () => {
    await using at = await start({ listen: pullsOnly })
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
      for (const path of everywhere)
        expect([path, new Set(await statusesOf(at, method, path))]).toEqual([path, new Set([405])])
  })

  test('knows of no uploads', async () => {
    await using at = await start({ listen: [...pullsOnly, address({ tls: undefined })] })
    const [, other] = at.layover.addresses
    const begun = await ask(`http://127.0.0.1:${other?.port}`, '/v2/local/app/blobs/uploads/', {
      method: 'POST',
    })
    const state = await at.ask(begun.headers.location ?? '')
    expect([state.status, errorOf(state).code]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
  })
})

describe('a process whose certificate is replaced', () => {
  const yaml = `listeners: [{address: "127.0.0.1:0", tls: {cert: file:tls.crt, key: file:tls.key}}]
store: {path: ./data}
upstreams: [{registry: plain.test, url: "http://127.0.0.1:9", default: true}]
`

  async function running() {
    const dir = await tempDir()
    const replace = async (name: string, text: string) => {
      await writeFile(dir.join('new'), text)
      await rename(dir.join('new'), dir.join(name))
    }
    const show = async ({ cert, key }: Identity) => {
      await replace('tls.crt', cert)
      await replace('tls.key', key)
    }
    await show(expiredCertificate)
    await writeFile(dir.join('upstreams.yaml'), yaml)
    const args = [resolve('src/main.ts'), 'serve', '--config', dir.join('upstreams.yaml')]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const exited = once(child, 'exit')
    const log = createInterface(child.stdout)[Symbol.asyncIterator]()
    const lines: Record<string, unknown>[] = []
    return {
      /** Those that were waited for, and before. */
      lines,
      show,
      replace,
      exited,
      stop: () => child.kill('SIGTERM'),
      /** Resolves with the next line of the log that says so. */
      async told(msg: string): Promise<Record<string, unknown>> {
        for (;;) {
          const { value, done } = await log.next()
          if (done) throw new Error(`the process ended and never told "${msg}"`)
          const line = JSON.parse(value) as Record<string, unknown>
          lines.push(line)
          if (line.msg === msg) return line
        }
      },
      async [Symbol.asyncDispose]() {
        child.kill('SIGKILL')
        await exited
        await dir[Symbol.asyncDispose]()
      },
    }
  }

  test('shows the new one, keeps it when one that does not fit comes, and says why', async () => {
    await using layover = await running()
    const listening = await layover.told('listening')
    expect(listening).toMatchObject({ role: 'registry', tls: true })
    expect(JSON.stringify(listening)).not.toContain('BEGIN')
    const port = Number(listening.port)
    expect(await shownAt(port)).toBe('expired.test')

    await layover.show(serverCertificate)
    await layover.told('a new certificate is in use')
    expect((await ask(`https://127.0.0.1:${port}`, '/v2/')).status).toBe(200)

    await layover.replace('tls.crt', clientCertificate.cert)
    const refused = await layover.told('the new configuration is refused, the old one stays in force')
    expect(JSON.stringify(refused.problems)).toContain('found one of another key')
    expect(await shownAt(port)).toBe(trust.servername)

    const open = /^listeners\[0\]\.tls\.key: .*tls\.key holds a secret and is open to everybody/
    expect(layover.lines.filter(({ msg }) => open.test(String(msg)))).toHaveLength(1) // though it was read again

    layover.stop()
    expect(await layover.exited).toEqual([0, null])
  })
})
