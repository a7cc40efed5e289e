/** Layover and distribution side by side: each with a store of its own on the same disk, held to the same cores. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ContentSpec } from '../content.ts'
import { findDistribution, startDistribution } from '../distribution.ts'
import type { PushResult, Way } from '../pushing.ts'
import { pin, type Server } from '../server.ts'
import type { Site } from '../site.ts'

export const repository = 'local/bench'
/** With one core for the server, the clients get the other. */
const serverCore = '0'
const clientCore = '1'

export interface Rival {
  server: Server
  /** Where it keeps the bytes of a blob, by the hex of its digest. */
  storedAt: (hex: string) => string
}

export interface Rivals extends AsyncDisposable {
  ours: Rival
  /** Undefined: not installed here. */
  theirs: Rival | undefined
  /** How the other one is called in a figure. */
  comparedWith: string
}

/** @param oneCore the servers on one core, the clients on the other; otherwise everything on every core */
export async function startRivals(site: Site, { oneCore }: { oneCore: boolean }): Promise<Rivals> {
  const cores = oneCore ? serverCore : undefined
  if (oneCore) pin(site.client.pid, clientCore)
  await using started = new AsyncDisposableStack()
  const layover = started.use(await site.startLayover({ cores }))
  const ours: Rival = { server: layover, storedAt: hex => blobIn(join(layover.store, 'pushed'), hex) }
  const found = findDistribution()
  let theirs: Rival | undefined
  if (found !== undefined) {
    const home = site.newPath()
    const server = started.use(await startDistribution(found.program, { home, cores }))
    const blobs = join(home, 'data', 'docker', 'registry', 'v2', 'blobs')
    theirs = { server, storedAt: hex => join(blobIn(blobs, hex), 'data') }
  }
  const running = started.move()
  return {
    ours,
    theirs,
    comparedWith:
      found === undefined ? 'distribution v3 is not installed' : `distribution ${versionOf(found.version)}`,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

/** The same to each, the first to go changing from round to round. */
export async function inTurn<T>(
  { ours, theirs }: Rivals,
  round: number,
  run: (rival: Rival) => Promise<T>,
): Promise<{ ours: T; theirs: T | undefined }> {
  if (theirs === undefined) return { ours: await run(ours), theirs: undefined }
  if (round % 2 === 0) return { ours: await run(ours), theirs: await run(theirs) }
  const first = await run(theirs)
  return { ours: await run(ours), theirs: first }
}

interface Pushing {
  specs: readonly ContentSpec[]
  clients: number
  way: Way
}

/** Starts with nothing left to be written to the disk; throws unless every push was taken and kept. */
export async function push(site: Site, { server }: Rival, pushing: Pushing): Promise<PushResult> {
  execFileSync('sync')
  const result = await site.client.call('push', { url: server.url, repository, ...pushing })
  const refused = result.pushes.filter(({ status }) => status !== 201)
  if (refused.length > 0)
    throw new Error(
      `${refused.length} of ${result.pushes.length} pushes failed, first with ${refused[0]?.status}`,
    )
  return result
}

/** Room for the next round. */
export async function forget({ storedAt }: Rival, hex: string): Promise<void> {
  const path = storedAt(hex)
  if (!existsSync(path)) throw new Error(`a blob that was taken is not at ${path}`)
  await rm(path)
}

function blobIn(folder: string, hex: string): string {
  return join(folder, 'sha256', hex.slice(0, 2), hex)
}

function versionOf(said: string): string {
  return / v(\d[\d.]*)/.exec(said)?.[1] ?? said
}
