/** What all that a pushing client does is made of: requests whose effects and answers are written down. */

import { digestOf } from '../../../src/oci/digest.ts'
import type { StoredBlob } from '../../fake/bytes.ts'
import { workersOfSuite } from '../../support/servers.ts'
import type { Ledger, Name, Step, Value } from './crash-ledger.ts'
import { type Sending, type Sent, send } from './crash-send.ts'

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

export interface ClientOptions {
  readonly site: Site
  readonly name: string
  readonly random: () => number
  /** Bytes of the largest blob. */
  readonly maxBytes: number
}

interface Change extends Sending {
  readonly effects: Iterable<readonly [Name, Value]>
  readonly expected: number
}

export class PushClient {
  readonly site: Site
  readonly name: string
  url = ''
  readonly #random: () => number
  readonly #maxBytes: number
  #count = 0

  constructor({ site, name, random, maxBytes }: ClientOptions) {
    this.site = site
    this.name = name
    this.#random = random
    this.#maxBytes = maxBytes
  }

  /** @param location a path, or a URL of this registry */
  send(location: string, sending?: Sending): Promise<Sent> {
    return send(new URL(location, this.url).href, sending)
  }

  /** @param path below `/v2/` */
  async change(path: string, { effects, expected, ...sending }: Change): Promise<void> {
    const step = this.site.ledger.begin(effects)
    const sent = await this.send(`/v2/${path}`, sending)
    if (sent.status !== expected) throw wrong(`${sending.method} ${path}`, sent)
    this.answered(step, sent)
  }

  async postBlob(repository: string, content: Buffer): Promise<Held> {
    const digest = digestOf(content)
    await this.change(`${repository}/blobs/uploads/?digest=${digest}`, {
      effects: [[`blob ${repository} ${digest}`, 'held']],
      expected: 201,
      method: 'POST',
      body: content,
    })
    return { repository, digest }
  }

  answered(step: Step, { port }: Sent): void {
    step.port = port
    this.site.onAnswer()
  }

  /** Content that nobody else pushes. */
  content(): Buffer {
    this.#count += 1
    const seed = Buffer.from(`${this.name} ${this.#count} ${this.#random()} `)
    return Buffer.alloc(64 + Math.floor(this.#random() ** 3 * this.#maxBytes), seed)
  }

  repository(): string {
    return this.pick(this.site.repositories) ?? ''
  }

  pick<T>(list: readonly T[]): T | undefined {
    return list[Math.floor(this.#random() * list.length)]
  }

  take<T>(list: T[]): T | undefined {
    return list.splice(Math.floor(this.#random() * list.length), 1)[0]
  }
}

export function wrong(what: string, { status, body }: Sent): Error {
  const error = new Error(`${what} was answered ${status}: ${body.toString()}`)
  // A server lives a moment longer than its primary, and says that nobody is there.
  return status === 503 && workersOfSuite > 1 ? Object.assign(error, { code: 'ECONNRESET' }) : error
}
