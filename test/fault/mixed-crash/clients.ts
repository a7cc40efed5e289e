/** Clients of the mixed load beside those that push: pulls of every kind, and content that comes, goes and comes again. */
import { digestOf } from '../../../src/oci/digest.ts'
import { readContent, type StoredBlob, seededBlob } from '../../fake/bytes.ts'
import { artifactOf, type Bundle } from '../../fake/content.ts'
import { type Download, openDownload } from '../download.ts'
import { type ClientOptions, PushClient, wrong } from '../push/crash-client.ts'
import { kiB, miB } from '../scene.ts'

export interface Round {
  readonly url: string
  /** Something was killed: from here on connections may break. */
  isBroken: boolean
  /** No client begins anything more. */
  isOver: boolean
}

export interface Images {
  readonly repository: string
  readonly bundles: readonly Bundle[]
}

/** Together many times what may be cached; some layers belong to several. */
export function makeImages(repository: string, random: () => number): Images {
  const shared = Array.from({ length: 6 }, (_, at) =>
    seededBlob(`base ${at}`, Math.ceil((1 + at) * 0.9 * miB)),
  )
  const bundles = Array.from({ length: 40 }, (_, at) => {
    const own = [1 + random() * 2, 20 + random() * 200, 300 + random() * 3_000].map((size, layer) =>
      seededBlob(`image ${at} ${layer}`, Math.ceil(size * kiB)),
    )
    const base = shared[Math.floor(random() ** 2 * shared.length)]
    return artifactOf(base ? [...own, base] : own)
  })
  return { repository, bundles }
}

export class Puller {
  readonly #images: Images
  readonly #random: () => number
  /** Whole bodies that were right. */
  right = 0

  constructor(images: Images, random: () => number) {
    this.#images = images
    this.#random = random
  }

  /** Rejects at an answer that is wrong, and at one that broke or failed though nothing was killed. */
  async run(round: Round): Promise<void> {
    while (!round.isOver) await this.pull(round)
  }

  /** One image as nodes pull it: the manifest, then what it lists. */
  async pull(
    round: Round,
    nth = Math.floor(this.#random() ** 3 * this.#images.bundles.length),
  ): Promise<void> {
    const bundle = this.#images.bundles[nth]
    if (!bundle) return
    const { root, blobs } = bundle
    const reference = this.#random() < 0.7 ? `${nth}` : bundle.digest
    if (!(await this.#ask(round, `manifests/${reference}`, { whole: root.body }))) return
    await Promise.all(blobs.map(blob => this.#read(round, blob)))
  }

  /** Every layer, whole. */
  async pullWhole(round: Round, nth: number): Promise<void> {
    const bundle = this.#images.bundles[nth]
    if (!bundle) return
    await this.#ask(round, `manifests/${nth}`, { whole: bundle.root.body })
    for (const { digest, content } of bundle.blobs)
      await this.#ask(round, `blobs/${digest}`, { whole: readContent(content) })
  }

  async #read(round: Round, { digest, size, content }: StoredBlob): Promise<void> {
    const path = `blobs/${digest}`
    const how = this.#random()
    if (how < 0.6 || size < 3) await this.#ask(round, path, { whole: readContent(content) })
    else if (how < 0.85) {
      const first = Math.floor(this.#random() * (size - 1))
      const end = first + 1 + Math.floor(this.#random() * (size - first))
      const range = `bytes=${first}-${how < 0.7 ? '' : end - 1}`
      await this.#ask(round, path, { range, whole: readContent(content, first, how < 0.7 ? size : end) })
    } else await this.#leave(round, path, Math.floor(this.#random() * size))
  }

  async #leave(round: Round, path: string, after: number): Promise<void> {
    try {
      const reader = await openDownload(this.#urlOf(round, path))
      await reader.take(after)
      reader.leave()
    } catch (error) {
      if (!round.isBroken) throw error
    }
  }

  /** Whether it came. */
  async #ask(
    round: Round,
    path: string,
    { range, whole }: { range?: string; whole: Buffer },
  ): Promise<boolean> {
    const headers = range === undefined ? {} : { range }
    const got = await openDownload(this.#urlOf(round, path), { headers }).then(
      reader => reader.finish(),
      (error: unknown) => {
        if (round.isBroken) return undefined
        throw error
      },
    )
    if (!got) return false
    const expected = range === undefined ? 200 : 206
    const isOdd = range !== undefined && got.status === 200 && got.whole
    if (got.whole && got.status === expected && got.bytes.equals(whole)) {
      this.right += 1
      return true
    }
    if (round.isBroken && !isOdd && (!got.whole || got.status >= 500)) return false
    throw new Error(describe(`${path} ${range ?? ''}`, got, whole))
  }

  #urlOf({ url }: Round, path: string): string {
    return `${url}/v2/${this.#images.repository}/${path}`
  }
}

function describe(what: string, { status, whole, bytes, headers }: Download, expected: Buffer): string {
  const ending = whole ? 'whole' : 'broken'
  const text = status >= 400 ? bytes.toString() : `${digestOf(bytes)} for ${digestOf(expected)}`
  return `${what} was answered ${status}, ${ending}, ${bytes.length} of ${expected.length} bytes (${headers['content-length']} announced): ${text}`
}

/** Pushes, mounts and deletes the same few contents over and over, while their bytes are being collected. */
export class Recycler {
  readonly #client: PushClient
  readonly #contents: readonly Buffer[]
  readonly #repositories: readonly string[]

  constructor(options: ClientOptions) {
    this.#client = new PushClient(options)
    this.#contents = [40, 5_000, 1_300_000].map(size => Buffer.alloc(size, `recycled by ${options.name} `))
    this.#repositories = [1, 2].map(number => `local/recycled/${options.name}-${number}`)
  }

  async run(round: Round): Promise<void> {
    this.#client.url = round.url
    try {
      while (!round.isOver) await this.#act()
    } catch (error) {
      if (!round.isBroken) throw error
      if (!isLost(error)) throw error
    }
  }

  async #act(): Promise<void> {
    const { site } = this.#client
    const content = this.#client.pick(this.#contents) ?? Buffer.alloc(0)
    const [repository = '', other = ''] =
      this.#client.pick([0, 1]) === 0 ? this.#repositories : this.#repositories.toReversed()
    const digest = digestOf(content)
    if (site.ledger.value(`blob ${repository} ${digest}`) === 'absent') {
      await this.#client.postBlob(repository, content)
      return
    }
    const got = await this.#client.send(`/v2/${repository}/blobs/${digest}`)
    const isCut = got.status === 200 && got.body.length === 0 // by a kill: `send` says it so
    if (got.status !== 200 || !(isCut || got.body.equals(content)))
      throw wrong(`a pushed blob ${digest}`, got)
    if (this.#client.pick([0, 1]) === 0) {
      const path = `${other}/blobs/uploads/?mount=${digest}&from=${repository}`
      await this.#client.change(path, {
        effects: [[`blob ${other} ${digest}`, 'held']],
        expected: 201,
        method: 'POST',
      })
    } else {
      const path = `${repository}/blobs/${digest}`
      const effects = [[`blob ${repository} ${digest}`, 'absent']] as const
      await this.#client.change(path, { effects, expected: 202, method: 'DELETE' })
    }
  }
}

/** What a client may meet of a kill: a broken connection, or the word of a server whose primary is gone. */
export function isLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? String(error.code) : ''
  return ['ECONNRESET', 'ECONNREFUSED', 'EPIPE'].includes(code) || /was answered 503/.test(error.message)
}
