/** Upstream sends bytes that are not what the digest says. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { MiB } from '../content.ts'
import type { Figure } from '../figure.ts'
import type { Layover } from '../layover.ts'
import { comesTrue, registry, type Site, storedAt } from '../site.ts'

/** The last one sends nothing before its digest is known. */
const sizes = [32 * MiB, MiB, 40_000]
const readers = 3
/** The file goes right after the readers' connections. */
const vanishMs = 2_000

export async function corrupt(site: Site): Promise<Figure[]> {
  await using layover = await site.startLayover()
  const figures: Figure[] = []
  for (const size of sizes) figures.push(await corruptBlob(site, layover, size))
  return [...figures, await corruptManifest(site, layover)]
}

async function corruptBlob(site: Site, layover: Layover, size: number): Promise<Figure> {
  const blob = await site.addBlob(size, { corruptAt: size / 2 })
  const url = layover.url + blob.path
  const broken = await site.client.call('bulk', { url, spec: blob.spec, readers, hash: true })
  const cleanlyWrong = broken.filter(({ status, bytes }) => status === 200 && bytes === size).length
  const kept = !(await comesTrue(() => traces(layover.store, blob.digest) === 0, vanishMs))
  await site.origin.call('mend', blob.digest)
  const next = await site.read(url, blob, { hash: true })
  const healed = next.right && blob.digest === `sha256:${next.sha256}`
  return figure(`blob of ${size} bytes, ${readers} readers`, {
    cleanlyWrong,
    kept,
    healed,
    seen: [...new Set(broken.map(({ status, bytes }) => `${status} with ${bytes} bytes`))].join(', '),
  })
}

async function corruptManifest(site: Site, layover: Layover): Promise<Figure> {
  const { digest, body } = await site.origin.call('addManifest', { tag: 'corrupt', fault: {} })
  const url = `${layover.url}/v2/${registry}/bench/app/manifests/${digest}`
  const broken = await site.client.call('ask', { url })
  const kept = !(await comesTrue(() => traces(layover.store, digest) === 0, vanishMs))
  await site.origin.call('mend', digest)
  const next = await site.client.call('ask', { url })
  return figure('manifest by digest', {
    cleanlyWrong: broken.status === 200 ? 1 : 0,
    kept,
    healed: next.status === 200 && Buffer.from(next.body).toString() === body,
    seen: String(broken.status),
  })
}

function figure(what: string, { cleanlyWrong, kept, healed, seen }: Outcome): Figure {
  return {
    figure: what,
    goal: 'none ends cleanly, nothing kept, next right',
    measured: `${cleanlyWrong} ended cleanly (${seen}), ${kept ? 'kept' : 'nothing kept'}, next ${healed ? 'right' : 'wrong'}`,
    reached: cleanlyWrong === 0 && !kept && healed,
  }
}

/** Files that hold some of it. */
function traces(store: string, digest: string): number {
  const partials = readdirSync(join(store, 'partial')).filter(name =>
    name.startsWith(digest.replace(':', '-')),
  )
  return partials.length + (existsSync(storedAt(store, digest)) ? 1 : 0)
}

interface Outcome {
  cleanlyWrong: number
  kept: boolean
  healed: boolean
  seen: string
}
