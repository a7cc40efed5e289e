/** What a garbage collection among a million blobs holds in memory, and whom it keeps waiting. */
import { execFile } from 'node:child_process'
import { copyFileSync, linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { blobRecord, manifestRecord } from '../../src/index/records.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-type.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'
import { Layout, localRegistry } from '../../src/store/layout.ts'
import { MiB } from '../content.ts'
import type { Figure } from '../figure.ts'
import { type Layover, mainOf } from '../layover.ts'
import type { Site } from '../site.ts'

const blobs = 1_000_000
const quickBlobs = 20_000
const layersOfOneImage = 10
/** Every so many images one that no manifest lists. */
const garbageEach = 10
/** Half of all blobs are in one repository, the others in ones of a thousand. */
const blobsOfSmallOne = 1_000
/** Below what file systems allow. */
const namesOfOneFile = 50_000
const longAgo = Date.now() - 90 * 86_400_000
const blobBytes = 1024

const settleMs = 10_000
const sampleMs = 100
const sliceSeconds = 1
const goalBytes = 100 * MiB
const goalMs = 50

export async function collection(site: Site): Promise<Figure[]> {
  const home = site.newPath()
  await (await site.startLayover({ home }))[Symbol.asyncDispose]() // makes the store
  fill(new Layout(join(home, 'data')), home, site.quick ? quickBlobs : blobs)
  const store = { grace: '1s', collectEvery: 0, scrubEvery: 0 }
  await using layover = await site.startLayover({ home, store })
  await pause(site.quick ? 0 : settleMs)
  const idle = (await layover.memoryBytes()).proportional
  const startedMs = performance.now()
  const collecting = collect(site, home)
  const [most, longest] = await Promise.all([
    mostMemory(layover, collecting),
    longestAnswer(site, layover, collecting),
  ])
  const told = (await collecting).stdout.trim().split('\n').at(-1)
  const seconds = (performance.now() - startedMs) / 1000
  return [
    {
      figure: 'PSS above idle while a million blobs are collected, a tenth of them garbage',
      goal: '≤ 100 MiB',
      measured: `${((most - idle) / MiB).toFixed(0)} MiB; idle ${(idle / MiB).toFixed(0)} MiB; ${seconds.toFixed(1)} s: ${told}`,
      reached: most - idle <= goalBytes,
    },
    {
      figure: 'longest answer to a ping meanwhile',
      goal: `≤ ${goalMs} ms`,
      measured: `${longest.toFixed(1)} ms`,
      reached: longest <= goalMs,
    },
  ]
}

function collect({ built }: Site, home: string) {
  const command = [mainOf({ built }), 'gc', '--config', join(home, 'upstreams.yaml')]
  return promisify(execFile)(process.execPath, command)
}

async function mostMemory(layover: Layover, until: Promise<unknown>): Promise<number> {
  let most = 0
  do most = Math.max(most, (await layover.memoryBytes()).proportional)
  while (!(await Promise.race([until.then(() => true), pause(sampleMs, false)])))
  return most
}

async function longestAnswer(site: Site, { url }: Layover, until: Promise<unknown>): Promise<number> {
  let longest = 0
  do {
    const load = await site.client.call('drain', { url: `${url}/v2/`, connections: 1, seconds: sliceSeconds })
    longest = Math.max(longest, load.longestMs)
  } while (!(await Promise.race([until.then(() => true), pause(0, false)])))
  return longest
}

/** As years of pushes leave it. A further name of a file is a change of the file, hence garbage has files of its own. */
function fill(layout: Layout, home: string, count: number): void {
  const bytes = new Names(join(home, 'bytes'), Buffer.alloc(blobBytes))
  const record = JSON.stringify(blobRecord({ size: blobBytes, isPublic: false }, longAgo, 'push'))
  const links = new Names(join(home, 'link'), record)
  for (let first = 0; first < count; first += layersOfOneImage) {
    const small = `local/app/r${Math.floor(first / blobsOfSmallOne)}`
    const repository = parseRepositoryName(first < count / 2 ? 'local/big' : small)
    const key = { registry: localRegistry, repository }
    const digests = Array.from({ length: layersOfOneImage }, (_, nth) =>
      digestOf(Buffer.from(`blob ${first + nth}`)),
    )
    const isGarbage = (first / layersOfOneImage) % garbageEach === 0
    for (const digest of digests) {
      if (isGarbage) write(layout.pushed(digest), Buffer.alloc(blobBytes))
      else bytes.add(layout.pushed(digest))
      links.add(layout.blob(key, digest))
    }
    if (isGarbage) continue
    const body = image(digests)
    const digest = digestOf(Buffer.from(body))
    write(layout.pushed(digest), body)
    write(layout.manifest(key, digest), JSON.stringify(manifestRecord(entryOf(body), 'push')))
  }
}

/** One content under many names. */
class Names {
  readonly #content: string
  #original: string
  #count = 0

  constructor(path: string, content: string | Buffer) {
    write(path, content)
    this.#content = path
    this.#original = path
  }

  add(path: string): void {
    mkdirSync(dirname(path), { recursive: true })
    this.#count += 1
    if (this.#count % namesOfOneFile > 0) linkSync(this.#original, path)
    else {
      copyFileSync(this.#content, path)
      this.#original = path
    }
  }
}

function image(layers: readonly Digest[]): string {
  const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip'
  const [config, ...others] = layers.map(digest => ({ mediaType, digest, size: blobBytes }))
  return JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: others })
}

function entryOf({ length: size }: string) {
  const none = { artifactType: undefined, subject: undefined, annotations: undefined, pulledAt: undefined }
  return { ...none, mediaType: mediaTypes.ociManifest, size, at: longAgo, isPublic: false }
}

function write(path: string, content: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
}
