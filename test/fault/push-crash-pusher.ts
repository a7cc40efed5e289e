/** A client that pushes, moves and deletes at random, and writes down what it was told. */
import { digestOf } from '../../src/oci/digest.ts'
import type { StoredBlob } from '../fake/bytes.ts'
import type { Ledger, Name, Step, Value } from './push-crash-ledger.ts'
import { type Sending, type Sent, send } from './push-crash-send.ts'

const imageType = 'application/vnd.oci.image.manifest.v1+json'
const emptyConfig = Buffer.from('{}')

/** An upload that was begun, for whoever goes on with it. */
export interface OpenUpload {
  readonly repository: string
  readonly location: string
  readonly content: Buffer
  /** Bytes that were answered 202. */
  accepted: number
  /** The closing PUT is on its way, and may have been done. */
  isClosing: boolean
}

export interface Held {
  readonly repository: string
  readonly digest: string
}

/** What the clients of one registry know of each other. */
export interface Site {
  readonly ledger: Ledger
  readonly repositories: readonly string[]
  /** Blobs that nobody deletes. */
  readonly mountable: Held[]
  /** Blobs of a registry behind this one, and its repository. */
  readonly proxied: { readonly repository: string; readonly blobs: readonly StoredBlob[] }
  /** Subject of manifests by manifest name. */
  readonly subjects: Map<Name, string>
  /** Names that a crash found with a request under way. */
  readonly halfDone: Set<Name>
  /** Called at each answer that promises something. */
  onAnswer: () => void
}

interface PusherOptions {
  readonly site: Site
  readonly name: string
  readonly random: () => number
  /** Bytes of the largest blob. */
  readonly maxBytes: number
}

export class Pusher {
  readonly uploads = new Set<OpenUpload>()
  readonly #site: Site
  readonly #name: string
  readonly #random: () => number
  readonly #maxBytes: number
  #url = ''
  #count = 0
  #loose: Held[] = []
  #manifests: Held[] = []

  constructor({ site, name, random, maxBytes }: PusherOptions) {
    this.#site = site
    this.#name = name
    this.#random = random
    this.#maxBytes = maxBytes
  }

  /** Goes on until nobody answers any more, or so many actions are done. An answer that is wrong rejects. */
  async run(url: string, actions = Number.POSITIVE_INFINITY): Promise<void> {
    this.#url = url
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

  /** Ends an upload that a crash left, where the registry says it stands. */
  async finish(upload: OpenUpload, url: string): Promise<void> {
    this.#url = url
    this.uploads.delete(upload)
    const { repository, location, content, accepted, isClosing } = upload
    const digest = digestOf(content)
    const status = await this.#send(location)
    if (status.status === 404 && isClosing) {
      const blob = await this.#send(`/v2/${repository}/blobs/${digest}`, { method: 'HEAD' })
      if (blob.status !== 200) throw new Error(`${digest} has neither its upload any more nor is it held`)
      return
    }
    if (status.status !== 204) throw wrong('the status of an upload', status)
    const offset = offsetOf(status)
    if (!isClosing && (offset < accepted || offset > content.length))
      throw new Error(
        `${accepted} bytes of an upload were accepted, ${offset} of ${content.length} are there`,
      )
    await this.#close(upload, offset)
  }

  async #act(): Promise<void> {
    const actions = [
      () => this.#pushWhole(),
      () => this.#pushInTwo(),
      () => this.#pushInChunks(),
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
    await this.#pick(actions)?.()
  }

  async #pushWhole(): Promise<void> {
    const content = this.#content()
    const digest = digestOf(content)
    const repository = this.#repository()
    await this.#change(
      [[`blob ${repository} ${digest}`, 'held']],
      201,
      `${repository}/blobs/uploads/?digest=${digest}`,
      {
        method: 'POST',
        body: content,
      },
    )
    this.#loose.push({ repository, digest })
  }

  async #pushInTwo(): Promise<void> {
    const upload = await this.#start(this.#content())
    await this.#close(upload, 0)
    this.#site.mountable.push({ repository: upload.repository, digest: digestOf(upload.content) })
  }

  async #pushInChunks(): Promise<void> {
    const upload = await this.#start(this.#content())
    const { content, location } = upload
    const step = Math.ceil(content.length / (2 + Math.floor(this.#random() * 3)))
    while (content.length - upload.accepted > step) {
      const { accepted } = upload
      const chunk = content.subarray(accepted, accepted + step)
      const range = `${accepted}-${accepted + chunk.length - 1}`
      const sent = await this.#send(location, {
        method: 'PATCH',
        headers: { 'content-range': range },
        body: chunk,
      })
      if (sent.status !== 202 || offsetOf(sent) !== accepted + chunk.length) throw wrong('a chunk', sent)
      upload.accepted += chunk.length
      this.#site.onAnswer()
    }
    await this.#close(upload, upload.accepted)
  }

  async #mount(): Promise<void> {
    const source = this.#pick(this.#site.mountable)
    if (!source) return
    await this.#mountFrom(source, this.#repository())
  }

  async #mountProxied(): Promise<void> {
    const { repository, blobs } = this.#site.proxied
    const blob = this.#pick(blobs)
    if (!blob) return
    const pulled = await this.#send(`/v2/${repository}/blobs/${blob.digest}`)
    if (pulled.status !== 200 || pulled.body.length !== blob.size) return // cut off by the kill
    await this.#mountFrom({ repository, digest: blob.digest }, this.#repository())
  }

  async #mountFrom({ repository: from, digest }: Held, to: string): Promise<void> {
    const name: Name = `blob ${to} ${digest}`
    const step = this.#site.ledger.begin([[name, 'held']])
    const sent = await this.#send(`/v2/${to}/blobs/uploads/?mount=${digest}&from=${from}`, { method: 'POST' })
    if (sent.status === 201) return this.#answered(step, sent)
    if (sent.status !== 202) throw wrong('a mount', sent)
    this.#site.ledger.refused(step) // what is cached is not linked yet
    await this.#send(String(sent.headers.location), { method: 'DELETE' })
  }

  async #moveTag(): Promise<void> {
    const repository = this.#repository()
    const manifest = await this.#manifest(repository)
    const tag = this.#tag()
    await this.#change(
      [
        [`manifest ${repository} ${manifest.digest}`, 'held'],
        [`tag ${repository} ${tag}`, manifest.digest],
      ],
      201,
      `${repository}/manifests/${tag}`,
      manifest.sending,
    )
    this.#manifests.push({ repository, digest: manifest.digest })
  }

  async #pushTagged(): Promise<void> {
    const repository = this.#repository()
    const { digest, sending } = await this.#manifest(repository)
    const tags = [...new Set([this.#tag(), this.#tag()])]
    await this.#change(
      [
        [`manifest ${repository} ${digest}`, 'held'],
        ...tags.map((tag): [Name, Value] => [`tag ${repository} ${tag}`, digest]),
      ],
      201,
      `${repository}/manifests/${digest}?${tags.map(tag => `tag=${tag}`).join('&')}`,
      sending,
    )
    this.#manifests.push({ repository, digest })
  }

  async #refer(): Promise<void> {
    const subject = this.#pick(this.#manifests)
    if (!subject) return
    const { repository } = subject
    const { digest, sending } = await this.#manifest(repository, subject.digest)
    const name: Name = `manifest ${repository} ${digest}`
    this.#site.subjects.set(name, subject.digest)
    await this.#change([[name, 'held']], 201, `${repository}/manifests/${digest}`, sending)
    this.#manifests.push({ repository, digest })
  }

  async #deleteTag(): Promise<void> {
    const repository = this.#repository()
    const name: Name = `tag ${repository} ${this.#tag()}`
    if (this.#site.ledger.value(name) === 'absent') return
    await this.#change([[name, 'absent']], 202, `${repository}/manifests/${name.split(' ')[2]}`, {
      method: 'DELETE',
    })
  }

  async #deleteManifest(): Promise<void> {
    const held = this.#take(this.#manifests)
    if (!held) return
    const { repository, digest } = held
    const tags = this.#tags()
      .map((tag): Name => `tag ${repository} ${tag}`)
      .filter(name => this.#site.ledger.value(name) === digest)
    const effects = [`manifest ${repository} ${digest}` as Name, ...tags].map((name): [Name, Value] => [
      name,
      'absent',
    ])
    await this.#change(effects, 202, `${repository}/manifests/${digest}`, { method: 'DELETE' })
  }

  async #deleteBlob(): Promise<void> {
    const held = this.#take(this.#loose)
    if (!held) return
    const { repository, digest } = held
    await this.#change([[`blob ${repository} ${digest}`, 'absent']], 202, `${repository}/blobs/${digest}`, {
      method: 'DELETE',
    })
  }

  /** A manifest that nobody else pushes, with its config and layer pushed. */
  async #manifest(repository: string, subject?: string) {
    const layer = this.#content()
    for (const blob of [emptyConfig, layer]) {
      const digest = digestOf(blob)
      await this.#change(
        [[`blob ${repository} ${digest}`, 'held']],
        201,
        `${repository}/blobs/uploads/?digest=${digest}`,
        {
          method: 'POST',
          body: blob,
        },
      )
    }
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
    const sending: Sending = { method: 'PUT', headers: { 'content-type': imageType }, body }
    return { digest: digestOf(body), sending }
  }

  async #start(content: Buffer): Promise<OpenUpload> {
    const repository = this.#repository()
    const sent = await this.#send(`/v2/${repository}/blobs/uploads/`, { method: 'POST' })
    if (sent.status !== 202) throw wrong('the start of an upload', sent)
    const upload = {
      repository,
      location: String(sent.headers.location),
      content,
      accepted: 0,
      isClosing: false,
    }
    this.uploads.add(upload)
    this.#site.onAnswer()
    return upload
  }

  async #close(upload: OpenUpload, offset: number): Promise<void> {
    upload.isClosing = true
    const { repository, location, content } = upload
    const digest = digestOf(content)
    const step = this.#site.ledger.begin([[`blob ${repository} ${digest}`, 'held']])
    const body = content.subarray(offset)
    const sent = await this.#send(`${location}${location.includes('?') ? '&' : '?'}digest=${digest}`, {
      method: 'PUT',
      body,
    })
    if (sent.status !== 201) throw wrong('the end of an upload', sent)
    this.uploads.delete(upload)
    this.#answered(step, sent)
  }

  /** @param path below `/v2/` */
  async #change(
    effects: Iterable<readonly [Name, Value]>,
    expected: number,
    path: string,
    sending: Sending,
  ): Promise<void> {
    const step = this.#site.ledger.begin(effects)
    const sent = await this.#send(`/v2/${path}`, sending)
    if (sent.status !== expected) throw wrong(`${sending.method} ${path}`, sent)
    this.#answered(step, sent)
  }

  #answered(step: Step, { port }: Sent): void {
    step.port = port
    this.#site.onAnswer()
  }

  #send(location: string, sending?: Sending): Promise<Sent> {
    return send(new URL(location, this.#url).href, sending)
  }

  /** Content that nobody else pushes. */
  #content(): Buffer {
    this.#count += 1
    const seed = Buffer.from(`${this.#name} ${this.#count} ${this.#random()} `)
    return Buffer.alloc(64 + Math.floor(this.#random() ** 3 * this.#maxBytes), seed)
  }

  /** A client moves no tags but its own. */
  #tags(): string[] {
    return [1, 2, 3].map(number => `${this.#name}-${number}`)
  }

  #tag(): string {
    return this.#pick(this.#tags()) ?? ''
  }

  #repository(): string {
    return this.#pick(this.#site.repositories) ?? ''
  }

  #pick<T>(list: readonly T[]): T | undefined {
    return list[Math.floor(this.#random() * list.length)]
  }

  #take(list: Held[]): Held | undefined {
    return list.splice(Math.floor(this.#random() * list.length), 1)[0]
  }
}

/** Every client's blob of this repository has more than one byte, so that `0-0` is no byte at all. */
function offsetOf({ headers }: Sent): number {
  const last = Number(/^0-(\d+)$/.exec(headers.range ?? '')?.[1])
  return last === 0 ? 0 : last + 1
}

function wrong(what: string, { status, body }: Sent): Error {
  return new Error(`${what} was answered ${status}: ${body.toString()}`)
}

function isConnectionLost(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    ['ECONNRESET', 'ECONNREFUSED', 'EPIPE'].includes(String(error.code))
  )
}
