/** A store that is pushed to, its backup beside it, and what a store holds as its files say. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Restored, restoreBackup } from '../../../src/backup/restore.ts'
import { type Taken, takeBackup } from '../../../src/backup/take.ts'
import type { Holdings } from '../../../src/index/local/holdings.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { type Digest, dashed, digestOf } from '../../../src/oci/digest.ts'
import { viewManifest } from '../../../src/oci/manifest.ts'
import { Layout } from '../../../src/store/layout.ts'
import { keyOf } from '../../conformance/index-samples.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { openHoldings, pushedManifest } from '../index/holdings-rig.ts'

export interface Image {
  readonly digest: Digest
  readonly blobs: readonly Digest[]
}

export async function backupRig() {
  const rig = await openHoldings()
  const dir = await tempDir()
  const { holdings } = rig.assemble()
  const lines: Record<string, unknown>[] = []
  const log = createLogger('info', {
    write: line => lines.push(JSON.parse(line) as Record<string, unknown>),
  })
  const pusher = new ImagePusher(rig.store, holdings)
  return {
    ...rig,
    holdings,
    pusher,
    lines,
    folder: dir.join('backup'),
    restored: dir.join('restored'),
    take: (more: { verify?: boolean } = {}): Promise<Taken> =>
      takeBackup({ root: rig.path, path: dir.join('backup'), log, ...more }),
    restore: (more: { replace?: boolean; verify?: boolean; root?: string } = {}): Promise<Restored> =>
      restoreBackup({ root: dir.join('restored'), path: dir.join('backup'), log, ...more }),
    async [Symbol.asyncDispose]() {
      await holdings.stop()
      await rig[Symbol.asyncDispose]()
      await dir[Symbol.asyncDispose]()
    },
  }
}

type RigStore = Awaited<ReturnType<typeof openHoldings>>['store']

export class ImagePusher {
  readonly #store: RigStore
  readonly #holdings: Holdings

  constructor(store: RigStore, holdings: Holdings) {
    this.#store = store
    this.#holdings = holdings
  }

  async blob(repository: string, text: string): Promise<Digest> {
    const content = Buffer.from(text)
    const digest = digestOf(content)
    await this.#store.pushed.put(digest, content)
    await this.#holdings.putBlob(keyOf(repository, '_local'), digest, { size: content.length })
    return digest
  }

  /** An image of one layer a text, under the tags. */
  async image(
    repository: string,
    texts: readonly string[],
    { tags = [], subject }: { tags?: readonly string[]; subject?: Digest } = {},
  ): Promise<Image> {
    const blobs: Digest[] = []
    for (const text of texts) blobs.push(await this.blob(repository, text))
    const layers = blobs.map((digest, at) => ({
      mediaType: 'application/octet-stream',
      digest,
      size: Buffer.byteLength(texts[at] ?? ''),
    }))
    const about = subject && { subject: { mediaType: 'application/json', digest: subject, size: 1 } }
    return { digest: await this.manifest(repository, { layers, ...about }, tags), blobs }
  }

  async manifest(repository: string, content: object, tags: readonly string[]): Promise<Digest> {
    const body = Buffer.from(JSON.stringify(content))
    const digest = digestOf(body)
    await this.#store.pushed.put(digest, body)
    await this.#holdings.putManifest(keyOf(repository, '_local'), digest, pushedManifest(body, tags))
    return digest
  }
}

/** Of each record its path below `names/_local`, and its text. */
export async function recordsIn(root: string): Promise<Map<string, string>> {
  const folder = join(root, 'names', '_local')
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  const files = entries.filter(entry => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  return new Map(
    await Promise.all(
      files.map(
        async path => [path.slice(folder.length + 1), await readFile(path, 'utf8')] as [string, string],
      ),
    ),
  )
}

/** What each record of the store lacks: every tag its manifest, every manifest and blob its right bytes, every manifest what it lists. */
export async function lackingIn(root: string): Promise<string[]> {
  const records = await recordsIn(root)
  const lacking = await Promise.all(
    [...records].map(async ([path, text]) => {
      const [, repository = '', kind = '', name = ''] = /^(.*)\/(_\w+)\/(.*)$/.exec(path) ?? []
      const needed =
        kind === '_tags'
          ? [`_manifests/${(JSON.parse(text) as { digest: string }).digest.replace(':', '-')}`]
          : await neededBy(new Layout(root), kind, name)
      return needed
        .filter(need => need === 'its bytes' || !records.has(`${repository}/${need}`))
        .map(need => `${path}: ${need}`)
    }),
  )
  return lacking.flat()
}

async function neededBy(layout: Layout, kind: string, name: string): Promise<string[]> {
  if (kind !== '_manifests' && kind !== '_blobs') return []
  const digest = name.replace('-', ':') as Digest
  const body = await readFile(layout.pushed(digest)).catch(() => undefined)
  if (!body || digestOf(body) !== digest) return ['its bytes']
  const view = kind === '_manifests' ? viewManifest(body) : undefined
  return [
    ...(view?.blobs ?? []).map(blob => `_blobs/${dashed(blob.digest)}`),
    ...(view?.manifests ?? []).map(child => `_manifests/${dashed(child.digest)}`),
  ]
}
