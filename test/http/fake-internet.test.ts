/** The stand-in internet and the client emulators, tried on each other: what they promise, other tests build on. */
import { createHash } from 'node:crypto'
import { Agent, request } from 'undici'
import { describe, expect, test } from 'vitest'
import { Containerd } from '../clients/containerd.ts'
import { containerd210 } from '../clients/containerd-variants.ts'
import { DockerLegacy } from '../clients/docker-legacy.ts'
import { Ggcr } from '../clients/ggcr.ts'
import { BodyCut, ClientHttp, nodeLookup } from '../clients/http.ts'
import { splitMultipart } from '../clients/multipart.ts'
import { Oras } from '../clients/oras.ts'
import { Podman } from '../clients/podman.ts'
import { Regclient } from '../clients/regclient.ts'
import { readContent, seededBlob, seededContent } from '../fake/bytes.ts'
import { caCertificate, clientCertificate } from '../fake/certificates.ts'
import { FakeClock } from '../fake/clock.ts'
import { artifact, artifactOf, chart, emptyBlob, image, multiArch } from '../fake/content.ts'
import type { FaultSpec } from '../fake/fault.ts'
import type { HostName } from '../fake/hosts.ts'
import { type Internet, startInternet } from '../fake/internet.ts'

const alpine = multiArch('alpine')
const MiB = 1024 * 1024

function origin(internet: Internet, host: HostName, registry = 'docker.io') {
  return new Containerd({
    hosts: [{ url: internet.url(host), origin: true }],
    registry,
    lookup: internet.lookup,
  })
}

function blobPull(internet: Internet, sizes: number[]) {
  const bundle = image('blobs', { layers: sizes })
  internet.plain.put('app', 'v1', bundle)
  return { bundle, client: origin(internet, 'plain.test') }
}

describe('content', () => {
  test('is the same on every run and readable from any position', () => {
    const content = seededContent('seed', 3 * MiB + 17)
    const all = readContent(content)
    expect(createHash('sha256').update(all).digest('hex').slice(0, 16)).toBe('df0440dfdae2afae')
    for (const [first, end] of [
      [0, 1],
      [MiB - 3, MiB + 20],
      [2 * MiB + 5, 3 * MiB + 17],
    ] as const) {
      expect(readContent(content, first, end).equals(all.subarray(first, end))).toBe(true)
    }
    expect(all.subarray(0, MiB).equals(all.subarray(MiB, 2 * MiB))).toBe(false)
  })

  test('an index lists its platforms and an attestation', () => {
    const { manifests } = JSON.parse(alpine.root.body.toString()) as { manifests: { platform: object }[] }
    expect(manifests.map(({ platform }) => platform)).toEqual([
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm64' },
      { os: 'unknown', architecture: 'unknown' },
    ])
    expect(emptyBlob.size).toBe(0)
    expect(seededBlob('big', 5 * MiB, 'sha512').digest).toMatch(/^sha512:/)
  })
})

describe('clock', () => {
  test('sleeps end when time is moved past them, and not before', async () => {
    const clock = new FakeClock()
    const order: number[] = []
    const sleeps = [20, 10].map(ms => clock.sleep(ms).then(() => order.push(ms)))
    clock.advance(9)
    expect(clock.sleeping).toBe(2)
    clock.advance(11)
    await Promise.all(sleeps)
    expect(order).toEqual([10, 20])
  })

  test('an aborted sleep rejects with the reason', async () => {
    const clock = new FakeClock()
    const abort = new AbortController()
    const sleep = clock.sleep(10, abort.signal)
    abort.abort(new Error('enough'))
    await expect(sleep).rejects.toThrow('enough')
    expect(clock.sleeping).toBe(0)
  })
})

describe('registries', () => {
  test('Docker Hub gives a token at another host and blobs at signed URLs of two CDNs in turn', async () => {
    await using internet = await startInternet()
    internet.hub.put('library/alpine', '3.20', alpine)
    const pull = await origin(internet, 'registry.hub.test').pull('library/alpine', '3.20')
    expect(pull.digest).toBe(alpine.digest)
    expect(pull.blobs.size).toBe(3)
    expect(internet.requests({ host: 'auth.hub.test' }).length).toBeGreaterThan(0)
    expect(internet.requests({ host: 'cdn-a.test' }).length).toBeGreaterThan(0)
    expect(internet.requests({ host: 'cdn-b.test' }).length).toBeGreaterThan(0)
  })

  test.each([
    ['ghcr.test', 'ghcr'],
    ['quay.test', 'quay'],
    ['k8s.test', 'k8s'],
    ['gar.test', 'gar'],
    ['ecrpub.test', 'ecrPublic'],
    ['nvcr.test', 'nvcr'],
    ['acr.test', 'acr'],
    ['plain.test', 'plain'],
  ] as const)('%s serves an image to a client that follows its habits', async (host, name) => {
    await using internet = await startInternet()
    internet[name].put('team/app', 'v1', alpine)
    const pull = await origin(internet, host, host).pull('team/app', 'v1')
    expect(pull.digests).toHaveLength(5)
  })

  test('private ECR wants Basic, and says 403 when the password has expired', async () => {
    await using internet = await startInternet()
    internet.ecr.put('app', 'v1', alpine)
    internet.ecr.addUser('AWS', 'secret')
    const options = {
      lookup: internet.lookup,
      hosts: [{ url: internet.url('ecr.test'), origin: true }],
      credentials: { username: 'AWS', password: 'secret' },
    }
    await new Containerd(options).pull('app', 'v1')
    await expect(origin(internet, 'ecr.test').pull('app', 'v1')).rejects.toThrow('401')
  })

  test('a private repository is hidden from anonymous callers and open to its users', async () => {
    await using internet = await startInternet()
    internet.hub.put('team/app', 'v1', alpine)
    internet.hub.makePrivate('team/app')
    internet.hub.addUser('ann', 'secret', { pull: ['team/app'] })
    await expect(origin(internet, 'registry.hub.test').resolve('team/app', 'v1')).rejects.toThrow('401')
    const ann = new Containerd({
      lookup: internet.lookup,
      hosts: [{ url: internet.url('registry.hub.test'), origin: true }],
      credentials: { username: 'ann', password: 'secret' },
    })
    expect((await ann.resolve('team/app', 'v1')).digest).toBe(alpine.digest)
  })

  test('tokens and signed URLs expire by the virtual clock', async () => {
    const clock = new FakeClock()
    await using internet = await startInternet({ clock })
    internet.hub.put('library/alpine', 'v1', alpine)
    const client = origin(internet, 'registry.hub.test')
    await client.resolve('library/alpine', 'v1')
    clock.advance(301_000)
    await expect(client.resolve('library/alpine', 'v1')).rejects.toThrow('401')
    const http = new ClientHttp({ lookup: internet.lookup })
    const [layer] = alpine.blobs
    const url = internet.url('cdn-a.test') + internet.cdn.sign('GET', layer?.digest ?? alpine.digest)
    expect((await http.send('GET', url)).status).toBe(200)
    expect((await http.send('HEAD', url)).status).toBe(403)
    expect((await http.send('GET', url, { authorization: 'Bearer x' })).status).toBe(400)
    clock.advance(300_000)
    expect((await http.send('GET', url)).status).toBe(403)
  })

  test('a token that is no longer good is answered in the way of each registry', async () => {
    const clock = new FakeClock()
    await using internet = await startInternet({ clock })
    const { lookup } = internet
    const again = async (host: HostName, name: 'ghcr' | 'ecrPublic' | 'nvcr' | 'acr') => {
      internet[name].put('app', 'v1', alpine)
      const http = new ClientHttp({ lookup })
      const url = `${internet.url(host)}/v2/app/manifests/v1`
      expect((await http.send('HEAD', url)).status).toBe(200)
      clock.advance(2 * 3_600_000)
      const { status, headers } = await http.send('HEAD', url)
      return [status, /realm="([^"]+)"/.exec(headers['www-authenticate'] ?? '')?.[1]]
    }
    expect(await again('ghcr.test', 'ghcr')).toEqual([401, `${internet.url('ghcr.test')}/token`])
    expect(await again('acr.test', 'acr')).toEqual([401, `${internet.url('acr.test')}/oauth2/token`])
    expect(await again('ecrpub.test', 'ecrPublic')).toEqual([400, undefined])
    expect(await again('nvcr.test', 'nvcr')).toEqual([401, `${internet.url('authn.nvcr.test')}/token`])
  })

  test('realms refuse wrong passwords, then lock the user, and know the refresh grant', async () => {
    await using internet = await startInternet()
    internet.hub.addUser('ann', 'secret', { identityToken: 'refresh me' })
    const url = `${internet.url('auth.hub.test')}/token?service=registry.hub.test`
    const http = new ClientHttp({ lookup: internet.lookup })
    const login = async (password: string) => {
      const authorization = `Basic ${Buffer.from(`ann:${password}`).toString('base64')}`
      return (await http.send('GET', url, { authorization })).status
    }
    internet.bearer(internet.hub).lockAfter = 2
    expect([await login('secret'), await login('a'), await login('b'), await login('secret')]).toEqual([
      200, 401, 401, 429,
    ])
    const port = new URL(url).port
    const post = await fetch(`http://127.0.0.1:${port}/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'refresh me' }),
    })
    expect(await post.json()).toMatchObject({ expires_in: 300 })
  })

  test('manifest GETs count against the rate limit, HEADs and blobs do not', async () => {
    const clock = new FakeClock()
    await using internet = await startInternet({ clock })
    internet.hub.put('library/alpine', 'v1', alpine)
    const client = origin(internet, 'registry.hub.test')
    const limit = internet.hub.habits.rateLimit
    await client.pull('library/alpine', 'v1')
    expect(limit?.remaining('127.0.0.1')).toBe(98)
    limit?.spend('127.0.0.1')
    await expect(client.pull('library/alpine', 'v1')).rejects.toThrow(/429[\s\S]*pull rate limit/)
    clock.advance(6 * 3_600_000)
    expect(limit?.remaining('127.0.0.1')).toBe(100)
  })

  test('referrers: an API with pages at Quay, none at Docker Hub, elsewhere at ghcr', async () => {
    await using internet = await startInternet()
    const signatures = ['a', 'b', 'c'].map(name => artifact(name, { subject: alpine.root }))
    for (const registry of [internet.quay, internet.hub]) {
      registry.put('team/app', 'v1', alpine)
      for (const signature of signatures) registry.put('team/app', undefined, signature)
    }
    const { lookup } = internet
    const quay = await new Oras({ url: internet.url('quay.test'), lookup }).referrers(
      'team/app',
      alpine.digest,
    )
    expect(quay?.map(({ digest }) => digest)).toEqual(signatures.map(({ digest }) => digest))
    const hub = new Oras({ url: internet.url('registry.hub.test'), lookup })
    expect(await hub.referrers('team/app', alpine.digest)).toBeUndefined()
    internet.ghcr.put('team/app', 'v1', alpine)
    const ghcr = new Ggcr({ url: internet.url('ghcr.test'), lookup })
    await expect(ghcr.referrers('team/app', alpine.digest)).rejects.toThrow('429')
    expect(internet.requests({ host: 'web.ghcr.test' }).length).toBeGreaterThan(0)
  })

  test('tags are paged with relative or absolute links', async () => {
    await using internet = await startInternet()
    const tags = Array.from({ length: 250 }, (_, at) => `v${String(at).padStart(3, '0')}`)
    for (const registry of [internet.ghcr, internet.quay]) {
      for (const tag of tags) registry.put('team/chart', tag, chart('web', '1.0.0'))
    }
    for (const host of ['ghcr.test', 'quay.test'] as const) {
      const client = new Oras({ url: internet.url(host), lookup: internet.lookup })
      expect(await client.tags('team/chart')).toEqual(tags)
    }
  })

  test('unknown names do not resolve, and a test may change what names mean', async () => {
    await using internet = await startInternet()
    await expect(internet.lookup('nowhere.test')).rejects.toMatchObject({ code: 'ENOTFOUND' })
    internet.names.set('plain.test', 'EAI_AGAIN')
    await expect(internet.lookup('plain.test')).rejects.toMatchObject({ code: 'EAI_AGAIN' })
  })
})

describe('clients', () => {
  test.each([
    ['containerd 2.1.0', (i: Internet) => containerd210({ hosts: [i.url('plain.test')], lookup: i.lookup })],
    ['docker', (i: Internet) => new DockerLegacy({ mirrors: [i.url('plain.test')], lookup: i.lookup })],
    ['podman', (i: Internet) => new Podman({ mirrors: [{ url: i.url('plain.test') }], lookup: i.lookup })],
    ['regclient', (i: Internet) => new Regclient({ mirrors: [i.url('plain.test')], lookup: i.lookup })],
    ['ggcr', (i: Internet) => new Ggcr({ url: i.url('plain.test'), lookup: i.lookup })],
    ['oras', (i: Internet) => new Oras({ url: i.url('plain.test'), lookup: i.lookup })],
  ])('%s pulls an image whole', async (_name, client) => {
    await using internet = await startInternet()
    internet.plain.put('library/alpine', '3.20', alpine)
    const pull = await client(internet).pull('library/alpine', '3.20')
    expect(pull.manifest.equals(alpine.root.body)).toBe(true)
    expect(pull.blobs.size).toBe(3)
  })

  test('containerd goes to the next host on any failure and reports it', async () => {
    await using internet = await startInternet()
    internet.hub.put('library/alpine', '3.20', alpine)
    const client = new Containerd({
      lookup: internet.lookup,
      hosts: [internet.url('plain.test'), { url: internet.url('registry.hub.test'), origin: true }],
    })
    const pull = await client.pull('library/alpine', '3.20')
    expect(pull.host).toBe(internet.url('registry.hub.test'))
    expect(internet.requests({ host: 'plain.test' })[0]?.query.get('ns')).toBe('docker.io')
    expect(internet.requests({ host: 'registry.hub.test' })[0]?.query.has('ns')).toBe(false)
  })

  test('containerd repeats a 429 five times at once before it moves on', async () => {
    await using internet = await startInternet()
    internet.fault({ host: 'plain.test', kind: 'rate-limited', form: 'quay' })
    await expect(origin(internet, 'plain.test').resolve('app', 'v1')).rejects.toThrow('429')
    expect(internet.requests({ host: 'plain.test' })).toHaveLength(5)
  })

  test('containerd resumes after a FIN, from where it was, and gives up on a reset', async () => {
    await using internet = await startInternet()
    const { bundle, client } = blobPull(internet, [MiB])
    const path = new RegExp(`${bundle.blobs[1]?.digest}$`)
    internet.fault({ path, kind: 'fin', at: 300_000, times: 2 })
    await client.pull('app', 'v1')
    expect(internet.requests({ path }).map(({ headers }) => headers.range)).toEqual([
      undefined,
      'bytes=300000-',
      'bytes=600000-',
    ])
    internet.fault({ path, kind: 'rst', at: 300_000 })
    await expect(client.pull('app', 'v1')).rejects.toThrow('connection reset by peer')
  })

  test('containerd fetches chunks by open-ended ranges that it closes early', async () => {
    await using internet = await startInternet()
    const { bundle } = blobPull(internet, [8 * MiB])
    const client = new Containerd({
      lookup: internet.lookup,
      hosts: [internet.url('plain.test')],
      parallel: { chunkBytes: 2 * MiB, connections: 3 },
    })
    await client.pull('app', 'v1')
    const ranges = internet.requests({ path: new RegExp(`${bundle.blobs[1]?.digest}$`) })
    expect(new Set(ranges.map(({ headers }) => headers.range))).toEqual(
      new Set(['bytes=0-', 'bytes=2097152-', 'bytes=4194304-', 'bytes=6291456-']),
    )
  })

  test('podman stays with the mirror that gave the first manifest', async () => {
    await using internet = await startInternet()
    internet.plain.put('docker.io/library/alpine', '3.20', alpine)
    internet.hub.put('library/alpine', '3.20', alpine)
    const options = {
      lookup: internet.lookup,
      mirrors: [{ url: internet.url('plain.test'), path: 'docker.io' }],
      origin: { url: internet.url('registry.hub.test') },
    }
    await using broken = internet.fault({ host: 'plain.test', path: /blobs/, kind: 'status', status: 503 })
    await expect(new Podman(options).pull('library/alpine', '3.20')).rejects.toThrow('503')
    await broken.off()
    await using away = internet.fault({ host: 'plain.test', kind: 'refuse' })
    expect((await new Podman(options).pull('library/alpine', '3.20')).host).toBe(
      internet.url('registry.hub.test'),
    )
    await away.off()
    expect((await new Podman(options).pull('library/alpine', '3.20')).host).toBe(internet.url('plain.test'))
  })

  test('podman takes a resumption only as an exact 206', async () => {
    await using internet = await startInternet()
    const { bundle } = blobPull(internet, [MiB])
    const path = new RegExp(`${bundle.blobs[1]?.digest}$`)
    const podman = () =>
      new Podman({ mirrors: [{ url: internet.url('plain.test') }], lookup: internet.lookup })
    internet.fault({ path, kind: 'rst', at: 300_000, times: 1 })
    await podman().pull('app', 'v1')
    internet.fault({ path, kind: 'fin', at: 300_000, times: 1 })
    internet.fault({ path, kind: 'ignore-range', times: 1 })
    await expect(podman().pull('app', 'v1')).rejects.toThrow('invalid status 200')
  })

  test('multipart answers are split into exactly the ranges asked for', () => {
    const part = (range: string, text: string) => `--b\r\nContent-Range: bytes ${range}/9\r\n\r\n${text}\r\n`
    const body = Buffer.from(`${part('0-1', 'ab')}${part('4-6', 'efg')}--b--\r\n`)
    expect(splitMultipart('multipart/byteranges; boundary=b', body).map(String)).toEqual(['ab', 'efg'])
  })

  test('no client accepts wrong bytes, a short body or a decoded one', async () => {
    await using internet = await startInternet()
    const { client } = blobPull(internet, [MiB])
    for (const fault of [
      { kind: 'corrupt', at: 5 },
      { kind: 'short', length: 1_000 },
      { kind: 'short-chunked', length: 1_000 },
      { kind: 'extra', bytes: 3 },
      { kind: 'gzip' },
      { kind: 'html' },
    ] as const satisfies FaultSpec[]) {
      await using _ = internet.fault({ path: /blobs/, ...fault })
      await expect(client.pull('app', 'v1'), fault.kind).rejects.toThrow()
    }
    await client.pull('app', 'v1')
  })
})

describe('faults', () => {
  test('a stalled body is held at its byte until it is released', async () => {
    await using internet = await startInternet()
    const { bundle, client } = blobPull(internet, [MiB])
    const path = new RegExp(`${bundle.blobs[1]?.digest}$`)
    const stall = internet.fault({ path, kind: 'stall', at: 123_456 })
    const pull = client.pull('app', 'v1')
    await stall.reached
    expect(internet.requests({ path })[0]?.bodyBytes).toBe(123_456)
    expect(stall.hits).toBe(1)
    stall.release()
    await pull
    await internet.requests({ path })[0]?.closed
    expect(internet.requests({ path })[0]?.outcome).toBe('finished')
  })

  test('the log says when a client broke off', async () => {
    await using internet = await startInternet()
    internet.plain.putBlob('app', seededBlob('far too much', 64 * MiB))
    const http = new ClientHttp({ lookup: internet.lookup })
    const { digest } = seededBlob('far too much', 64 * MiB)
    const reply = await http.send('GET', `${internet.url('plain.test')}/v2/app/blobs/${digest}`)
    for await (const _ of reply.body) break
    const [request] = await internet.arrived({ path: /blobs/ })
    await request?.closed
    expect(request?.outcome).toBe('cut')
    expect(request?.bodyBytes).toBeLessThan(64 * MiB)
  })

  test('a hung request is answered once it is released', async () => {
    await using internet = await startInternet()
    const { client } = blobPull(internet, [10])
    const hang = internet.fault({ method: 'HEAD', kind: 'hang', times: 1 })
    const resolved = client.resolve('app', 'v1')
    await hang.reached
    expect(internet.requests()[0]?.status).toBeUndefined()
    hang.release()
    expect((await resolved).digest).toMatch(/^sha256:/)
  })

  test('a closed port refuses, and opens again as the same origin', async () => {
    await using internet = await startInternet()
    const { client } = blobPull(internet, [10])
    const before = internet.url('plain.test')
    const refuse = internet.fault({ host: 'plain.test', kind: 'refuse' })
    await expect(client.resolve('app', 'v1')).rejects.toThrow('ECONNREFUSED')
    await refuse.off()
    expect(internet.url('plain.test')).toBe(before)
    await client.resolve('app', 'v1')
  })

  test('a tag can move between HEAD and GET', async () => {
    await using internet = await startInternet()
    const [first, second] = [image('one'), image('two')]
    internet.plain.put('app', 'v1', first)
    internet.fault({ method: 'HEAD', kind: 'then', run: () => internet.plain.put('app', 'v1', second) })
    const client = origin(internet, 'plain.test')
    expect((await client.resolve('app', 'v1')).digest).toBe(first.digest)
    expect((await client.resolve('app', 'v1')).digest).toBe(second.digest)
  })

  test('skip and times choose the requests that are harmed, the first scripted fault first', async () => {
    await using internet = await startInternet()
    internet.plain.put('app', 'v1', alpine)
    internet.fault({ kind: 'status', status: 503, skip: 1, times: 1 })
    internet.fault({ kind: 'big-error', status: 418, bytes: 100, skip: 1, times: 1 })
    const http = new ClientHttp({ lookup: internet.lookup })
    const statuses: number[] = []
    for (let at = 0; at < 4; at += 1) {
      const reply = await http.send('GET', `${internet.url('plain.test')}/v2/app/manifests/v1`)
      await reply.body.bytes()
      statuses.push(reply.status)
    }
    expect(statuses).toEqual([200, 503, 418, 200])
  })

  test('headers can lie or be missing', async () => {
    await using internet = await startInternet()
    internet.plain.put('app', 'v1', alpine)
    const head = async (fault: FaultSpec) => {
      await using _ = internet.fault(fault)
      const http = new ClientHttp({ lookup: internet.lookup })
      return (await http.send('HEAD', `${internet.url('plain.test')}/v2/app/manifests/v1`)).headers
    }
    expect(await head({ kind: 'wrong-digest' })).toMatchObject({
      'docker-content-digest': `sha256:${'0'.repeat(64)}`,
    })
    expect(await head({ kind: 'no-digest' })).not.toHaveProperty('docker-content-digest')
    expect(await head({ kind: 'chunked' })).not.toHaveProperty('content-length')
    expect(await head({ kind: 'headers', set: { 'content-type': 'text/plain' } })).toMatchObject({
      'content-type': 'text/plain',
    })
  })

  test('ranges can be answered wrongly', async () => {
    await using internet = await startInternet()
    const blob = seededBlob('range', 1_000)
    internet.plain.putBlob('app', blob)
    const range = async (fault: FaultSpec) => {
      await using _ = internet.fault(fault)
      const http = new ClientHttp({ lookup: internet.lookup })
      const url = `${internet.url('plain.test')}/v2/app/blobs/${blob.digest}`
      const reply = await http.send('GET', url, { range: 'bytes=100-199' })
      return [reply.status, reply.headers['content-range'], (await reply.body.bytes()).length]
    }
    expect(await range({ kind: 'early-hints' })).toEqual([206, 'bytes 100-199/1000', 100])
    expect(await range({ kind: 'ignore-range' })).toEqual([200, undefined, 1_000])
    expect(await range({ kind: 'wrong-start' })).toEqual([206, 'bytes 99-199/1000', 101])
    expect(await range({ kind: 'wrong-total' })).toEqual([206, 'bytes 100-199/1001', 100])
  })

  test('bytes beyond Content-Length, dropped and bare-LF answers reach the wire', async () => {
    await using internet = await startInternet()
    internet.plain.put('app', 'v1', alpine)
    const url = `${internet.url('plain.test')}/v2/app/manifests/v1`
    const http = new ClientHttp({ lookup: internet.lookup })
    internet.fault({ kind: 'drop', how: 'rst', times: 1 })
    await expect(http.send('GET', url)).rejects.toThrow('ECONNRESET')
    internet.fault({ kind: 'drop', times: 1 })
    await expect(http.send('GET', url)).rejects.toThrow('socket hang up')
    internet.fault({ kind: 'rate-limited', form: 'hap429-bare-lf', times: 1 })
    await expect(http.send('GET', url)).rejects.toThrow(/Parse Error/)
    internet.fault({ kind: 'extra', bytes: 5, silent: true, times: 1 })
    expect((await (await http.send('GET', url)).body.bytes()).equals(alpine.root.body)).toBe(true)
  })

  test('a kept-alive connection can be found closed when it is used again', async () => {
    await using internet = await startInternet()
    internet.plain.put('app', 'v1', alpine)
    const http = new ClientHttp({ lookup: internet.lookup })
    const get = async () => {
      const reply = await http.send('GET', `${internet.url('plain.test')}/v2/app/manifests/v1`)
      await reply.body.bytes()
      return reply.status
    }
    const drop = internet.fault({ kind: 'drop-reused', times: 1 })
    expect([await get(), await get()]).toEqual([200, 200])
    expect(drop.hits).toBe(1)
    expect(internet.connections('plain.test')).toBe(2)
  })

  test('a body cut by FIN and one cut by RST are told apart', async () => {
    await using internet = await startInternet()
    const blob = seededBlob('cut', 100_000)
    internet.plain.putBlob('app', blob)
    const http = new ClientHttp({ lookup: internet.lookup })
    for (const how of ['fin', 'rst'] as const) {
      internet.fault({ kind: how, at: 50_000, times: 1 })
      const reply = await http.send('GET', `${internet.url('plain.test')}/v2/app/blobs/${blob.digest}`)
      await expect(reply.body.bytes()).rejects.toEqual(new BodyCut(how))
    }
  })

  test('a blob of 0 bytes and one of sha512 go through', async () => {
    await using internet = await startInternet()
    const bundle = artifactOf([emptyBlob, seededBlob('wide', 10_000, 'sha512')], 'sha512')
    internet.plain.put('app', 'v1', bundle)
    const pull = await new Podman({
      mirrors: [{ url: internet.url('plain.test') }],
      lookup: internet.lookup,
    }).pull('app', 'v1')
    expect([...pull.blobs.values()].map(({ size }) => size)).toContain(0)
    expect(pull.digest).toBe(bundle.digest)
  })
})

describe('TLS', () => {
  const get = async (
    internet: Internet,
    host: HostName,
    { allowH2 = false, ...tls }: { allowH2?: boolean; cert?: string; key?: string } = {},
  ) => {
    const lookup = nodeLookup(internet.lookup)
    const agent = new Agent({ allowH2, connect: { ca: caCertificate, lookup, ...tls } })
    try {
      const url = `${internet.url(host)}/v2/app/manifests/v1`
      const { statusCode, body } = await request(url, { dispatcher: agent })
      return { statusCode, length: (await body.arrayBuffer()).byteLength }
    } finally {
      await agent.destroy()
    }
  }

  test.each([true, false])('a host with a certificate of its own authority, HTTP/2: %s', async allowH2 => {
    await using internet = await startInternet()
    internet.plain.put('app', 'v1', alpine)
    expect(await get(internet, 'tls.test', { allowH2 })).toEqual({
      statusCode: 200,
      length: alpine.root.body.length,
    })
    expect(internet.requests()[0]?.headers[':path'] !== undefined).toBe(allowH2)
    await internet.requests()[0]?.closed
    expect(internet.requests()[0]?.outcome).toBe('finished')
    internet.fault({ kind: 'fin', at: 10 })
    await expect(get(internet, 'tls.test', { allowH2 })).rejects.toThrow()
  })

  test('an expired certificate, and one that the client has to have', async () => {
    await using internet = await startInternet()
    internet.plain.put('app', 'v1', alpine)
    await expect(get(internet, 'expired.test')).rejects.toThrow('certificate has expired')
    await expect(get(internet, 'mtls.test')).rejects.toThrow()
    expect(await get(internet, 'mtls.test', clientCertificate)).toMatchObject({
      statusCode: 200,
    })
  })
})
