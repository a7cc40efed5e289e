/** Uploads in several requests, which a crash may leave open for their client to go on with. */
import { digestOf } from '../../../src/oci/digest.ts'
import { type Held, type PushClient, wrong } from './crash-client.ts'
import type { Sent } from './crash-send.ts'

interface OpenUpload {
  readonly repository: string
  readonly location: string
  readonly content: Buffer
  /** Bytes that were answered 202. */
  accepted: number
  /** The closing PUT is on its way, and may have been done. */
  isClosing: boolean
}

export class OpenUploads {
  readonly #client: PushClient
  readonly #open = new Set<OpenUpload>()

  constructor(client: PushClient) {
    this.#client = client
  }

  async pushInTwo(): Promise<Held> {
    const upload = await this.#start()
    await this.#close(upload, 0)
    return { repository: upload.repository, digest: digestOf(upload.content) }
  }

  /** @param chunks so many, the last of them in the closing PUT */
  async pushInChunks(chunks: number): Promise<void> {
    const upload = await this.#start()
    const { content, location } = upload
    const step = Math.ceil(content.length / chunks)
    while (content.length - upload.accepted > step) {
      const { accepted } = upload
      const body = content.subarray(accepted, accepted + step)
      const headers = { 'content-range': `${accepted}-${accepted + body.length - 1}` }
      const sent = await this.#client.send(location, { method: 'PATCH', headers, body })
      if (sent.status !== 202 || offsetOf(sent) !== accepted + body.length) throw wrong('a chunk', sent)
      upload.accepted += body.length
      this.#client.site.onAnswer()
    }
    await this.#close(upload, upload.accepted)
  }

  /** Ends what a crash left open, each where the registry says that it stands. */
  async finish(): Promise<void> {
    for (const upload of this.#open) {
      const offset = await this.#offsetAfterCrash(upload)
      if (offset === undefined) this.#open.delete(upload)
      else await this.#close(upload, offset)
    }
  }

  /** Undefined: the upload has become its blob. */
  async #offsetAfterCrash(upload: OpenUpload): Promise<number | undefined> {
    const { repository, location, content, accepted, isClosing } = upload
    const status = await this.#client.send(location)
    if (status.status === 404 && isClosing) {
      const path = `/v2/${repository}/blobs/${digestOf(content)}`
      const blob = await this.#client.send(path, { method: 'HEAD' })
      if (blob.status !== 200) throw wrong(`${path}, whose upload is gone,`, blob)
      return undefined
    }
    if (status.status !== 204) throw wrong('the status of an upload', status)
    const offset = offsetOf(status)
    if (!isClosing && (offset < accepted || offset > content.length))
      throw new Error(`${accepted} bytes of ${content.length} were accepted, and ${offset} are there`)
    return offset
  }

  async #start(): Promise<OpenUpload> {
    const content = this.#client.content()
    const repository = this.#client.repository()
    const sent = await this.#client.send(`/v2/${repository}/blobs/uploads/`, { method: 'POST' })
    if (sent.status !== 202) throw wrong('the start of an upload', sent)
    const location = String(sent.headers.location)
    const upload = { repository, location, content, accepted: 0, isClosing: false }
    this.#open.add(upload)
    this.#client.site.onAnswer()
    return upload
  }

  async #close(upload: OpenUpload, offset: number): Promise<void> {
    upload.isClosing = true
    const { repository, location, content } = upload
    const digest = digestOf(content)
    const { ledger } = this.#client.site
    const step = ledger.begin([[`blob ${repository} ${digest}`, 'held']])
    const body = content.subarray(offset)
    const sent = await this.#client.send(`${location}?digest=${digest}`, { method: 'PUT', body })
    if (sent.status !== 201) throw wrong('the end of an upload', sent)
    this.#open.delete(upload)
    this.#client.answered(step, sent)
  }
}

/** `0-0` is no byte at all: every blob of these clients has more than one. */
function offsetOf({ headers }: Sent): number {
  const last = Number(/^0-(\d+)$/.exec(headers.range ?? '')?.[1])
  return last === 0 ? 0 : last + 1
}
