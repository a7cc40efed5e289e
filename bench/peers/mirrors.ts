/** Layover and the others that can cache a registry, all empty, in front of the same upstream; and the upstream itself. */
import { setTimeout as pause } from 'node:timers/promises'
import { type Measurable, pin, type Server } from '../server.ts'
import { registry, type Site } from '../site.ts'
import { cpuSecondsOfTree, memoryOfTree } from '../tree.ts'
import { nginx } from './nginx.ts'
import type { Peer } from './peer.ts'
import { registries } from './registries.ts'
import { ours, type Stall, type Stand } from './stand.ts'

const upstreamItself = 'straight from upstream'
/** Of servers, origin and clients alike. */
const cores = '0,1'
const repository = '/bench/app'
const checkMs = 100
const checks = 100

export async function openMirrors(site: Site): Promise<Stand> {
  for (const { pid } of [site.client, site.origin]) pin(pid, cores)
  await using started = new AsyncDisposableStack()
  const origin = originOf(site, await site.originUrl())
  const layover = started.use(await site.startLayover({ cores }))
  const stalls: Stall[] = [
    { name: upstreamItself, server: origin, base: `/v2${repository}` },
    { name: ours, server: layover, base: `/v2/${registry}${repository}` },
  ]
  const missing: string[] = []
  for (const peer of [nginx, ...registries]) {
    const server = await startMirror(site, peer, origin.url)
    if (server)
      stalls.push({ name: peer.name, server: started.use(server), base: peer.mirrorBase + repository })
    else
      missing.push(
        `${peer.name} (${peer.mirrorBase === undefined ? 'no mirror of single blobs' : peer.from})`,
      )
  }
  const running = started.move()
  return {
    stalls,
    against: upstreamItself,
    pace: site,
    missing,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

async function startMirror(site: Site, peer: Peer, upstream: string): Promise<Server | undefined> {
  const program = peer.mirrorBase === undefined ? undefined : peer.find()
  if (program === undefined) return undefined
  return peer.start(program, { home: site.newPath(), cores, certificate: undefined, upstream })
}

function originOf({ origin: { pid } }: Site, url: string): Measurable {
  return { url, cpuSeconds: () => cpuSecondsOfTree(pid), memoryBytes: () => memoryOfTree(pid) }
}

/** Resolves once it has put away what it fetched: what comes next is not disturbed, and its CPU is counted. */
export async function settles(server: Measurable): Promise<void> {
  const total = async () => {
    const { user, system } = await server.cpuSeconds()
    return user + system
  }
  let before = await total()
  for (let check = 0; check < checks; check += 1) {
    await pause(checkMs)
    const now = await total()
    if (now - before < 0.02) return
    before = now
  }
}
