/** Layover and those it is compared with, side by side: the same content, the same core, the clients on another. */
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { accepts, type Certificate, type Layover } from '../layover.ts'
import { type Measurable, pin, type Server } from '../server.ts'
import { registry, type Site } from '../site.ts'
import { nginx } from './nginx.ts'
import type { Peer } from './peer.ts'
import { registries } from './registries.ts'
import { pushShelf, type Shelf } from './shelf.ts'

export const serverCore = '0'
export const clientCore = '1'
export const ours = 'Layover'
/** The same Layover, asked for what it fetched from an upstream. */
export const oursProxied = 'Layover, proxied'

/** A server, and under which name it has the content. */
export interface Stall {
  name: string
  server: Measurable
  /** In front of `/manifests/…` and `/blobs/…`. */
  base: string
}

export interface Stand extends AsyncDisposable {
  stalls: readonly Stall[]
  /** The name of the one whose rate is 1. */
  against: string
  pace: Pick<Site, 'rounds' | 'seconds'>
  /** Who is not here, and where they are to be had. */
  missing: readonly string[]
}

export interface StandOptions {
  shelves: readonly Shelf[]
  /** The first is the measure of the others. */
  peers?: readonly Peer[]
  /** Also compare what Layover holds of an upstream; its shelf is the first. */
  proxied?: boolean
  secure?: boolean
}

/** Every server is filled over plain HTTP, and with `secure` started again with a certificate. */
export async function openStand(site: Site, options: StandOptions): Promise<Stand> {
  const { shelves, peers = [nginx, ...registries], proxied, secure } = options
  pin(site.client.pid, clientCore)
  const certificate = secure ? makeCertificate(site) : undefined
  await using started = new AsyncDisposableStack()
  const missing: string[] = []
  const stalls: Stall[] = []
  const base = `/v2/${shelves[0]?.repository}`
  for (const peer of peers) {
    const server = await startPeer(site, peer, { shelves, certificate })
    if (server) stalls.push({ name: peer.name, server: started.use(server), base })
    else missing.push(`${peer.name} (${peer.from})`)
  }
  const layover = await startOurs(site, shelves, certificate)
  if (layover) {
    stalls.splice(1, 0, { name: ours, server: started.use(layover), base })
    if (proxied) stalls.splice(2, 0, await proxiedStall(site, layover, shelves))
  } else missing.push('Layover: it has no TLS yet')
  const running = started.move()
  return {
    stalls,
    against: peers[0]?.name ?? ours,
    pace: site,
    missing,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

interface Filling {
  shelves: readonly Shelf[]
  certificate: Certificate | undefined
}

async function startPeer(
  site: Site,
  peer: Peer,
  { shelves, certificate }: Filling,
): Promise<Server | undefined> {
  const program = peer.find()
  if (program === undefined) return undefined
  const options = { home: site.newPath(), cores: serverCore, certificate: undefined }
  await using started = new AsyncDisposableStack()
  const server = started.use(await peer.start(program, options))
  for (const shelf of shelves) await peer.fill(site, { home: options.home, server }, shelf)
  if (certificate) return peer.start(program, { ...options, certificate })
  started.move()
  return server
}

/** Undefined: there is no TLS in it yet. */
async function startOurs(
  site: Site,
  shelves: readonly Shelf[],
  certificate: Certificate | undefined,
): Promise<Layover | undefined> {
  const home = site.newPath()
  const { built } = site
  if (certificate && !(await accepts({ home, built, certificate, upstreams: { [registry]: 1 } })))
    return undefined
  await using started = new AsyncDisposableStack()
  const layover = started.use(await site.startLayover({ home, cores: serverCore }))
  for (const shelf of shelves) await pushShelf(site, layover, shelf)
  if (certificate) {
    await layover[Symbol.asyncDispose]()
    return site.startLayover({ home, cores: serverCore, certificate })
  }
  started.move()
  return layover
}

/** The shelf at the origin, pulled once. */
async function proxiedStall(site: Site, layover: Layover, [shelf]: readonly Shelf[]): Promise<Stall> {
  const base = `/v2/${registry}/bench/app`
  for (const { tag, body } of shelf?.manifests ?? []) {
    await site.origin.call('addManifest', { tag, body: body.toString() })
    await pullOnce(site, `${layover.url}${base}/manifests/${tag}`)
  }
  for (const { spec, digest } of shelf?.blobs ?? []) {
    await site.origin.call('addBlob', spec)
    await pullOnce(site, `${layover.url}${base}/blobs/${digest}`)
  }
  return { name: oursProxied, server: layover, base }
}

async function pullOnce(site: Site, url: string): Promise<void> {
  const { failed } = await site.client.call('drain', { url, connections: 1, seconds: 0 })
  if (failed > 0) throw new Error(`${url} was not answered`)
}

/** As nginx and the Go servers are given one most often: ECDSA, P-256. */
function makeCertificate(site: Site): Certificate {
  const folder = site.newPath()
  mkdirSync(folder, { recursive: true })
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  execFileSync('openssl', ['req', '-x509', ...kind, ...names, '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  })
  return { cert, key }
}
