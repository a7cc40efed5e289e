/** A client that pushes, moves and deletes at random, and writes down what it was told. */
import { digestOf } from '../../../src/oci/digest.ts'
import { type ClientOptions, type Held, PushClient, type Site, wrong } from './crash-client.ts'
import type { Name, Value } from './crash-ledger.ts'
import type { Sending } from './crash-send.ts'
import { OpenUploads } from './crash-uploads.ts'

const imageType = 'application/vnd.oci.image.manifest.v1+json'
const emptyConfig = Buffer.from('{}')

export class Pusher {
  readonly #client: PushClient
  readonly #uploads: OpenUploads
  #shared = 0
  #loose: Held[] = []
  #manifests: Held[] = []

  constructor(options: ClientOptions) {
    this.#client = new PushClient(options)
    this.#uploads = new OpenUploads(this.#client)
  }

  /** Goes on until nobody answers any more, or so many actions are done. An answer that is wrong rejects. */
  async run(url: string, actions = Number.POSITIVE_INFINITY): Promise<void> {
    this.#client.url = url
    this.#loose = []
    this.#manifests = []
    for (let count = 0; count < actions; count += 1) {
      try {
        await this.#act()
      } catch (error) {
        if (isConnectionLost(error)) return
        throw error
      }
    }
  }

  /** Ends the uploads that a crash left. */
  async finishUploads(url: string): Promise<void> {
    this.#client.url = url
    await this.#uploads.finish()
  }

  async #act(): Promise<void> {
    const actions = [
      () => this.#pushWhole(),
      () => this.#pushShared(),
      () => this.#pushShared(),
      () => this.#pushInTwo(),
      () => this.#uploads.pushInChunks(this.#client.pick([2, 3, 4]) ?? 2),
      () => this.#mount(),
      () => this.#mountProxied(),
      () => this.#moveTag(),
      () => this.#moveTag(),
      () => this.#pushTagged(),
      () => this.#refer(),
      () => this.#deleteTag(),
      () => this.#deleteManifest(),
      () => this.#deleteBlob(),
    ]
    await this.#client.pick(actions)?.()
  }

  async #pushWhole(): Promise<void> {
    const { content, repository } = this.#something()
    this.#loose.push(await this.#client.postBlob(repository, content))
  }

  /** What all clients push to one repository, most of them at about the same time. */
  async #pushShared(): Promise<void> {
    this.#shared += 1
    const content = Buffer.alloc(1_000, `shared ${this.#shared} `)
    const { repositories } = this.#site
    const repository = repositories[this.#shared % repositories.length] ?? ''
    this.#site.mountable.push(await this.#client.postBlob(repository, content))
  }

  async #pushInTwo(): Promise<void> {
    this.#site.mountable.push(await this.#uploads.pushInTwo())
  }

  async #mount(): Promise<void> {
    const source = this.#client.pick(this.#site.mountable)
    if (source) await this.#mountFrom(source)
  }

  async #mountProxied(): Promise<void> {
    const { repository, blobs } = this.#site.proxied
    const blob = this.#client.pick(blobs)
    if (!blob) return
    const pulled = await this.#client.send(`/v2/${repository}/blobs/${blob.digest}`)
    if (pulled.status !== 200 || pulled.body.length !== blob.size) return // cut off by the kill
    await this.#mountFrom({ repository, digest: blob.digest })
  }

  async #mountFrom({ repository: from, digest }: Held): Promise<void> {
    const { ledger } = this.#site
    const to = this.#client.repository()
    const step = ledger.begin([[`blob ${to} ${digest}`, 'held']])
    const path = `/v2/${to}/blobs/uploads/?mount=${digest}&from=${from}`
    const sent = await this.#client.send(path, { method: 'POST' })
    if (sent.status === 201) {
      this.#client.answered(step, sent)
      return
    }
    if (sent.status !== 202) throw wrong('a mount', sent)
    ledger.refused(step) // what is cached is not linked yet
    await this.#client.send(String(sent.headers.location), { method: 'DELETE' })
  }

  async #moveTag(): Promise<void> {
    await this.#pushManifest({ tags: [this.#tag()], underTag: true })
  }

  async #pushTagged(): Promise<void> {
    await this.#pushManifest({ tags: [...new Set([this.#tag(), this.#tag()])] })
  }

  async #refer(): Promise<void> {
    const subject = this.#client.pick(this.#manifests)
    if (subject) await this.#pushManifest({ tags: [], subject })
  }

  /** A manifest that nobody else pushes, with its config and layer. */
  async #pushManifest(how: { tags: readonly string[]; underTag?: boolean; subject?: Held }): Promise<void> {
    const { content, repository } = this.#something(how.subject?.repository)
    for (const blob of [emptyConfig, content]) await this.#client.postBlob(repository, blob)
    const { digest, sending } = imageOf(content, how.subject?.digest)
    const name: Name = `manifest ${repository} ${digest}`
    if (how.subject) this.#site.subjects.set(name, how.subject.digest)
    const [tag] = how.tags
    const reference = how.underTag ? tag : `${digest}?${how.tags.map(tag => `tag=${tag}`).join('&')}`
    const tagged = how.tags.map((tag): [Name, Value] => [`tag ${repository} ${tag}`, digest])
    const effects: [Name, Value][] = [[name, 'held'], ...tagged]
    await this.#client.change(`${repository}/manifests/${reference}`, { effects, expected: 201, ...sending })
    this.#manifests.push({ repository, digest })
  }

  async #deleteTag(): Promise<void> {
    const [repository, tag] = [this.#client.repository(), this.#tag()]
    const name: Name = `tag ${repository} ${tag}`
    if (this.#site.ledger.value(name) !== 'absent')
      await this.#delete(`${repository}/manifests/${tag}`, [name])
  }

  async #deleteManifest(): Promise<void> {
    const held = this.#client.take(this.#manifests)
    if (!held) return
    const { repository, digest } = held
    const tags = this.#tags()
      .map((tag): Name => `tag ${repository} ${tag}`)
      .filter(name => this.#site.ledger.value(name) === digest)
    await this.#delete(`${repository}/manifests/${digest}`, [`manifest ${repository} ${digest}`, ...tags])
  }

  async #deleteBlob(): Promise<void> {
    const held = this.#client.take(this.#loose)
    if (!held) return
    const { repository, digest } = held
    await this.#delete(`${repository}/blobs/${digest}`, [`blob ${repository} ${digest}`])
  }

  async #delete(path: string, names: readonly Name[]): Promise<void> {
    const effects = names.map((name): [Name, Value] => [name, 'absent'])
    await this.#client.change(path, { effects, expected: 202, method: 'DELETE' })
  }

  #something(repository = this.#client.repository()) {
    return { content: this.#client.content(), repository }
  }

  /** A client moves no tags but its own. */
  #tags(): string[] {
    return [1, 2, 3].map(number => `${this.#client.name}-${number}`)
  }

  #tag(): string {
    return this.#client.pick(this.#tags()) ?? ''
  }

  get #site(): Site {
    return this.#client.site
  }
}

function imageOf(layer: Buffer, subject: string | undefined): { digest: string; sending: Sending } {
  const body = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: imageType,
      artifactType: 'application/vnd.test',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(emptyConfig), size: 2 },
      layers: [{ mediaType: 'application/octet-stream', digest: digestOf(layer), size: layer.length }],
      ...(subject === undefined ? {} : { subject: { mediaType: imageType, digest: subject, size: 1 } }),
    }),
  )
  return { digest: digestOf(body), sending: { method: 'PUT', headers: { 'content-type': imageType }, body } }
}

function isConnectionLost(error: unknown): boolean {
  const lost = ['ECONNRESET', 'ECONNREFUSED', 'EPIPE']
  return error instanceof Error && 'code' in error && lost.includes(String(error.code))
}
