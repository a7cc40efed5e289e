/** A reader on its own: the disk took no more of the blob, so the rest comes straight from upstream, verified all the same. */
import type { Hash } from 'node:crypto'
import { algorithmOf, type Digest, digestFrom, hashFor } from '../../oci/digest.ts'
import type { SharedFile } from '../../store/files/file.ts'
import type { Bytes } from '../../stream/bytes.ts'
import type { Semaphore } from '../../stream/semaphore.ts'
import type { BlobBody } from '../../upstream/upstream.ts'
import { UpstreamError } from '../../upstream/upstream-error.ts'
import type { Source } from './source.ts'

/** The last bytes of a body wait for the digest, so that nobody gets all of a blob that is not right. */
export const heldBackBytes = 64 * 1024

/** What a flight left behind: its first `watermark` bytes are in the file. */
export interface Remains {
  readonly digest: Digest
  /** Bytes of the whole, as the reader may have been told already. */
  readonly size: number | undefined
  readonly source: Source
  readonly file: SharedFile | undefined
  readonly watermark: number
}

/** Positions may only be read forwards, as a response does. */
export class Alone implements Bytes {
  readonly #remains: Remains
  readonly #body: BlobBody
  readonly #tail: AsyncGenerator<Buffer>
  readonly #release: () => void
  #chunk: Buffer = Buffer.alloc(0)
  #chunkEnd: number

  /** @param lone bounds how many readers go on alone at once */
  static async open(remains: Remains, lone: Semaphore, signal: AbortSignal): Promise<Alone> {
    const release = await lone.acquire()
    try {
      signal.throwIfAborted()
      const { digest, source, watermark } = remains
      const body = await source.open(digest, { first: watermark, attempt: 0, signal })
      if (body.first <= watermark) return new Alone(remains, body, release)
      body.body.destroy()
      throw new UpstreamError(
        source.name,
        'corrupt',
        `${source.name} answered a range from ${watermark} with one from ${body.first}`,
      )
    } catch (error) {
      release()
      throw error
    }
  }

  private constructor(remains: Remains, body: BlobBody, release: () => void) {
    this.#remains = remains
    this.#body = body
    this.#release = release
    this.#chunkEnd = remains.watermark
    this.#tail = verifiedTail(remains, body)
  }

  /** Bytes of the whole blob, as upstream says. */
  get size(): number | undefined {
    return this.#body.total
  }

  async read(target: Buffer, position: number): Promise<readonly Buffer[]> {
    const { file, watermark } = this.#remains
    if (file && position < watermark) return file.readFrom(position, target.subarray(0, watermark - position))
    while (position >= this.#chunkEnd) {
      const { done, value } = await this.#tail.next()
      if (done) return []
      this.#chunk = value
      this.#chunkEnd += value.length
    }
    const from = this.#chunk.length - (this.#chunkEnd - position)
    return [this.#chunk.subarray(from, from + target.length)]
  }

  close(): void {
    this.#body.body.destroy()
    this.#release()
  }
}

/** Upstream's bytes from the watermark on; the last of them only if everything from the blob's start has the digest. */
async function* verifiedTail(remains: Remains, body: BlobBody): AsyncGenerator<Buffer> {
  const { digest, size = Number.POSITIVE_INFINITY, source, watermark } = remains
  const hash = await prefixHash(remains)
  const held: Buffer[] = []
  let heldBytes = 0
  let received = watermark
  let skip = watermark - body.first
  for await (const whole of body.body as AsyncIterable<Buffer>) {
    const chunk = whole.subarray(skip)
    skip = Math.max(0, skip - whole.length)
    received += chunk.length
    if (received > size)
      throw new UpstreamError(
        source.name,
        'corrupt',
        `${source.name} sent more than the ${size} bytes of a blob`,
      )
    hash.update(chunk)
    held.push(chunk)
    heldBytes += chunk.length
    for (let [first] = held; first && heldBytes - first.length >= heldBackBytes; [first] = held) {
      held.shift()
      heldBytes -= first.length
      if (first.length > 0) yield first
    }
  }
  if (digestFrom(algorithmOf(digest), hash) !== digest) {
    throw new UpstreamError(
      source.name,
      'corrupt',
      `${source.name} sent bytes that do not have the digest ${digest}`,
    )
  }
  yield* held.filter(chunk => chunk.length > 0)
}

async function prefixHash({ digest, file, watermark }: Remains): Promise<Hash> {
  const hash = hashFor(digest)
  if (!file) return hash
  const buffer = Buffer.allocUnsafeSlow(1024 * 1024)
  for (let position = 0; position < watermark; ) {
    const count = await file.read(buffer.subarray(0, Math.min(buffer.length, watermark - position)), position)
    if (count === 0) throw new Error('a partial blob is shorter than what was written to it')
    hash.update(buffer.subarray(0, count))
    position += count
  }
  return hash
}
