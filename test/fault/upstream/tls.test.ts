/** The upstream client over TLS: whom it trusts, whom it shows its certificate, and how it goes through a proxy. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createSecureServer } from 'node:http2'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { expect, test, vi } from 'vitest'
import {
  blobOf,
  clientFor,
  failureOf,
  lookupWith,
  manifest,
  manifestDigest,
  manifestHeaders,
  optionsFor,
  readAll,
  repository,
  serve,
  tag,
} from '../../unit/upstream/support.ts'

const pem = (name: string) =>
  readFileSync(new URL(`../../unit/upstream/fixtures/${name}`, import.meta.url), 'utf8')
const ca = pem('ca.pem')
const server = { cert: pem('server.pem'), key: pem('server.key') }
const asking = { ...server, ca, requestCert: true, rejectUnauthorized: false }
const { content, digest } = blobOf(200_000)
const maxBytes = 4 * 1024 * 1024

test('an authority that nobody told us of is not trusted, and the message says so', async () => {
  await using registry = await serve((_, response) => response.end(), server)
  await using client = clientFor(optionsFor(`https://registry.test:${registry.port}`))
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  expect(error.failure).toBe('unreachable')
  expect(error.message).toMatch(/UNABLE_TO_VERIFY|SELF_SIGNED/)
})

test('a certificate for another name is refused', async () => {
  await using registry = await serve((_, response) => response.end(), server)
  await using client = clientFor(optionsFor(`https://registry.example:${registry.port}`, { tls: { ca } }))
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  expect(error.message).toContain('ERR_TLS_CERT_ALTNAME_INVALID')
})

test('the own authority holds for registry and CDN, the client certificate is for the registry alone', async () => {
  const shown: Record<string, boolean> = {}
  const note = (name: string, socket: unknown) => {
    shown[name] = socket instanceof TLSSocket && socket.getPeerCertificate().subject !== undefined
  }
  await using cdn = await serve((request, response) => {
    note('cdn', request.socket)
    response.end(content)
  }, asking)
  await using registry = await serve((request, response) => {
    note('registry', request.socket)
    response.writeHead(307, { location: `https://cdn.test:${cdn.port}/blob` }).end()
  }, asking)
  const tls = { ca, cert: pem('client.pem'), key: pem('client.key') }
  await using client = clientFor(optionsFor(`https://registry.test:${registry.port}`, { tls }))
  expect(await readAll((await client.upstream.openBlob(repository, digest)).body)).toEqual(content)
  expect(shown).toEqual({ registry: true, cdn: false })
})

test('a redirect from https to http is refused', async () => {
  await using registry = await serve((_, response) => {
    response.writeHead(307, { location: 'http://cdn.test/blob' }).end()
  }, server)
  await using client = clientFor(optionsFor(`https://registry.test:${registry.port}`, { tls: { ca } }))
  expect((await failureOf(client.upstream.openBlob(repository, digest))).failure).toBe('corrupt')
})

test.each([
  [true, '2.0'],
  [false, '1.1'],
])('with http2: %s, a registry that offers both is spoken to in HTTP/%s', async (http2, expected) => {
  const versions: string[] = []
  const registry = createSecureServer({ ...server, allowHTTP1: true }, (request, response) => {
    versions.push(request.httpVersion)
    response.writeHead(200, { ...manifestHeaders, 'content-length': manifest.length })
    if (request.method === 'GET') response.end(manifest)
    else response.end()
  })
  registry.listen(0, '127.0.0.1')
  await once(registry, 'listening')
  const { port } = registry.address() as AddressInfo
  {
    await using client = clientFor(optionsFor(`https://registry.test:${port}`, { http2, tls: { ca } }))
    await client.upstream.headManifest(repository, tag)
    const fetched = await client.upstream.getManifest(repository, tag, { maxBytes })
    expect(fetched.digest).toBe(manifestDigest)
  }
  registry.close()
  expect(versions).toEqual([expected, expected])
})

test('a proxy of the configuration carries every request, and resolves the names itself', async () => {
  await using registry = await serve((_, response) => {
    response.writeHead(200, { ...manifestHeaders, 'content-length': manifest.length }).end(manifest)
  }, server)
  const tunnels: string[] = []
  const open: Socket[] = []
  const proxy = createServer()
  proxy.on('connect', (request, socket: Socket) => {
    tunnels.push(`${request.url} ${request.headers['proxy-authorization']}`)
    const target = connect(registry.port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      target.pipe(socket).pipe(target)
    })
    open.push(socket, target)
    for (const end of [socket, target]) end.on('error', () => {})
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const { port } = proxy.address() as AddressInfo
  const lookup = lookupWith({ 'registry.test': 'ENOTFOUND' })
  const options = optionsFor('https://registry.test', {
    tls: { ca },
    proxy: `http://user:pass@proxy.test:${port}`,
  })
  {
    await using client = clientFor(options, { lookup })
    await client.upstream.getManifest(repository, tag, { maxBytes })
  }
  for (const end of open) end.destroy()
  proxy.close()
  expect(tunnels).toEqual([`registry.test:443 Basic ${Buffer.from('user:pass').toString('base64')}`])
})

test('HTTPS_PROXY of the environment is used, but not for the hosts of NO_PROXY', async () => {
  await using registry = await serve((_, response) => {
    response.writeHead(200, manifestHeaders).end(manifest)
  }, server)
  const proxied: string[] = []
  await using proxy = await serve(() => {})
  proxy.server.on('connect', (request, socket: Socket) => {
    proxied.push(request.url ?? '')
    socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
  })
  vi.stubEnv('HTTPS_PROXY', `http://proxy.test:${proxy.port}`)
  vi.stubEnv('NO_PROXY', 'registry.test')
  try {
    const urls = ['cdn', 'registry'].map(name => ({
      url: `https://${name}.test:${registry.port}`,
      credentials: undefined,
    }))
    await using client = clientFor(optionsFor('', { urls, tls: { ca } }))
    await client.upstream.getManifest(repository, tag, { maxBytes })
  } finally {
    vi.unstubAllEnvs()
  }
  expect(proxied).toEqual([`cdn.test:${registry.port}`])
  expect(registry.asked).toHaveLength(1)
})
