/** Starting on a store that has seen a lot. */
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { ManifestRecord } from '../../src/index/records.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-type.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'
import { Layout } from '../../src/store/layout.ts'
import { type Figure, median, spread } from '../figure.ts'
import { nowMs } from '../monotonic.ts'
import { registry, type Site } from '../site.ts'

const manifests = 100_000
const perRepository = 1_000
const boots = 5
const goalMs = 500

export async function boot(site: Site): Promise<Figure[]> {
  const home = site.newPath()
  await fill(new Layout(join(home, 'data')))
  const readyMs: number[] = []
  const firstMs: number[] = []
  for (let start = 0; start < site.rounds(boots); start += 1) {
    await using layover = await site.startLayover({ home })
    const readyAtMs = nowMs()
    const { repository, digest } = manifestAt(start * 9_973)
    const answer = await site.client.call('ask', {
      url: `${layover.url}/v2/${registry}/${repository}/manifests/${digest}`,
    })
    if (answer.status !== 200) throw new Error(`a cached manifest was answered with ${answer.status}`)
    readyMs.push(layover.bootMs)
    firstMs.push(layover.bootMs + answer.endedMs - readyAtMs)
  }
  return [
    figure('from the start to the first 200 of /readyz', readyMs),
    figure('  and to the first manifest', firstMs),
  ]
}

function figure(what: string, values: number[]): Figure {
  return {
    figure: what,
    goal: '≤ 500 ms',
    measured: `${spread(values, 0, ' ms')}; the first, without an index, ${values[0]?.toFixed(0)} ms`,
    reached: median(values) <= goalMs,
  }
}

/** The store as if the manifests had been pulled; the index is missing, as after its loss. */
async function fill(layout: Layout): Promise<void> {
  await mkdir(layout.root, { recursive: true })
  await writeFile(layout.format, '{"v":1}\n')
  for (let at = 0; at < manifests; at += 200) {
    await Promise.all(Array.from({ length: 200 }, (_, offset) => store(layout, at + offset)))
  }
}

async function store(layout: Layout, at: number): Promise<void> {
  const { repository, digest, body } = manifestAt(at)
  const record: ManifestRecord = {
    v: 1,
    mediaType: mediaTypes.ociManifest,
    size: body.length,
    at: 1,
    source: 'upstream',
    public: true,
  }
  await write(layout.cached(digest), body)
  await write(layout.manifest({ registry, repository }, digest), JSON.stringify(record))
}

async function write(path: string, content: string | Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, content)
}

function manifestAt(at: number) {
  const layer = createHash('sha256').update(String(at)).digest('hex')
  const descriptor = (mediaType: string) => ({ mediaType, digest: `sha256:${layer}`, size: at })
  const config = descriptor('application/vnd.oci.image.config.v1+json')
  const layers = [descriptor('application/vnd.oci.image.layer.v1.tar+gzip')]
  const body = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers }),
  )
  return {
    repository: parseRepositoryName(`bench/app-${Math.floor(at / perRepository)}`),
    digest: digestOf(body),
    body,
  }
}
