/** A pushing client of a soak: builds that are pushed, pulled back and deleted, and tags that a rule deletes. */
import { Content, type ContentSpec, KiB, MiB } from '../content.ts'
import type { Asker } from './asker.ts'
import { type Manifest, manifestOf } from './catalogue.ts'
import { think } from './pulling.ts'

const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const octets = { 'content-type': 'application/octet-stream' }
/** Builds that are held at once; the oldest goes by deletes. */
const keptBuilds = 12
/** As the rule for `pr-*` says, less one that may be on its way. */
const sureTags = 4
const thinkMs = 150

export class Builder {
  readonly #asker: Asker
  readonly #repository: string
  readonly #firstSeed: number
  #builds: { tag: string; manifest: Manifest }[] = []
  #count = 0

  /** @param number apart from all others */
  constructor(asker: Asker, number: number) {
    this.#asker = asker
    this.#repository = `local/builder-${number}`
    this.#firstSeed = 1e12 * (number + 1)
  }

  async run(): Promise<void> {
    const { stopped } = this.#asker
    while (!stopped.aborted) {
      await this.#build()
      await this.#check()
      while (this.#builds.length > keptBuilds) await this.#deleteOldest()
      await think(this.#asker, thinkMs)
    }
  }

  async #build(): Promise<void> {
    const { random } = this.#asker
    this.#count += 1
    const own = (size: number, at: number): ContentSpec => ({
      seed: this.#firstSeed + this.#count * 10 + at,
      size,
    })
    const sizes = [
      2 * KiB,
      random.logNormal(40 * KiB, 1),
      Math.min(8 * MiB, random.logNormal(500 * KiB, 1.5)),
    ]
    const manifest = manifestOf(sizes.map(size => Math.max(64, Math.ceil(size))).map(own), {})
    for (const [digest, spec] of manifest.blobs)
      if (!(await this.#pushBlob(digest, new Content(spec)))) return
    const tag = `build-${this.#count}`
    for (const name of [tag, `pr-${this.#count}`]) if (!(await this.#put(name, manifest))) return
    this.#builds.push({ tag, manifest })
    this.#asker.tally.pushes += 1
  }

  async #put(tag: string, { body }: Manifest): Promise<boolean> {
    const sending = { method: 'PUT', headers: { 'content-type': manifestType }, body: Buffer.from(body) }
    return (await this.#asker.ask(`/v2/${this.#repository}/manifests/${tag}`, [201], sending)) !== undefined
  }

  async #pushBlob(digest: string, content: Content): Promise<boolean> {
    const uploads = `/v2/${this.#repository}/blobs/uploads/`
    if (this.#asker.random.chance(0.4)) {
      const sending = { method: 'POST', headers: octets, body: content }
      return (await this.#asker.ask(`${uploads}?digest=${digest}`, [201], sending)) !== undefined
    }
    const session = await this.#asker.ask(uploads, [202], { method: 'POST' })
    const location = session?.headers.location
    if (location === undefined) return false
    if (this.#asker.random.chance(0.05)) return false // an upload that nobody goes on with
    const path = `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`
    return (
      (await this.#asker.ask(path, [201], { method: 'PUT', headers: octets, body: content })) !== undefined
    )
  }

  /** A build that was pushed some time ago, and the tags that the rule keeps. */
  async #check(): Promise<void> {
    const { random } = this.#asker
    const build = this.#builds[random.integer(0, this.#builds.length - 1)]
    if (!build) return
    const answer = await this.#asker.ask(`/v2/${this.#repository}/manifests/${build.tag}`, [200])
    if (answer && answer.body.toString() !== build.manifest.body)
      this.#asker.wrong(`${this.#repository}:${build.tag} is another manifest`)
    for (const [digest, { size }] of build.manifest.blobs)
      await this.#asker.blob(this.#repository, digest, { size })
    const recent = this.#builds.slice(-sureTags)
    const kept = recent[random.integer(0, recent.length - 1)]?.tag.replace('build', 'pr')
    if (kept) await this.#asker.ask(`/v2/${this.#repository}/manifests/${kept}`, [200], { method: 'HEAD' })
  }

  /** The tag, the manifest with every other tag of it, the blobs; and it is gone then. */
  async #deleteOldest(): Promise<void> {
    const [oldest, ...rest] = this.#builds
    this.#builds = rest
    if (!oldest) return
    const { digest, blobs } = oldest.manifest
    const at = (what: string) => `/v2/${this.#repository}/${what}`
    await this.#asker.ask(at(`manifests/${oldest.tag}`), [202], { method: 'DELETE' })
    await this.#asker.ask(at(`manifests/${digest}`), [202], { method: 'DELETE' })
    for (const blob of blobs.keys()) await this.#asker.ask(at(`blobs/${blob}`), [202], { method: 'DELETE' })
    const gone = await this.#asker.ask(at(`manifests/${oldest.tag}`), [404, 200])
    if (gone?.status === 200) this.#asker.wrong(`${this.#repository}:${oldest.tag} was deleted and came`)
  }
}
