/** Large objects: in parts, several at once and few in memory. */
import { CopyObjectCommand, UploadPartCommand, UploadPartCopyCommand } from '@aws-sdk/client-s3'
import { Locks } from '../../stream/locks.ts'
import { Semaphore } from '../../stream/semaphore.ts'
import type { ObjectFile, ObjectVersion } from '../objects.ts'
import { isAbsent } from './failure.ts'
import { partBytes, putInParts } from './parts.ts'
import type { Requests } from './requests.ts'

/** A larger file goes in parts of this size. */
const usualPartBytes = 8 * 1024 * 1024
/** Parts in memory at once, over all uploads. */
const maxParts = 8
/** Parts of one upload at once. */
const maxPartsOfOne = 4
/** What is larger is copied in parts: within the service that takes no time of ours. */
const copyPartBytes = 512 * 1024 * 1024

export class Transfers {
  readonly #requests: Requests
  readonly #parts = new Semaphore(maxParts)
  readonly #reading = new Locks()

  constructor(requests: Requests) {
    this.#requests = requests
  }

  /** @param put for a file that is no larger than a part */
  async putFile(
    key: string,
    file: ObjectFile,
    put: (content: Buffer) => Promise<ObjectVersion | false>,
  ): Promise<ObjectVersion | false> {
    const { size, sent, isRight = () => true } = file
    if (size <= usualPartBytes) {
      const release = await this.#parts.acquire()
      try {
        const content = await readPart(file, 0, size)
        sent?.(content)
        return (await isRight()) && (await put(content))
      } finally {
        release()
      }
    }
    const bytes = partBytes(size, usualPartBytes)
    return this.#requests.long(`PUT ${key}`, file.signal, abortSignal =>
      putInParts(this.#requests.client, this.#requests.at(key), {
        count: Math.ceil(size / bytes),
        atOnce: maxPartsOfOne,
        put: (UploadId, number) => this.#putPart(key, file, { UploadId, number, bytes, abortSignal }),
        isRight,
      }),
    )
  }

  /** False when there is nothing at `from`. */
  copy(from: string, to: string, size: number): Promise<boolean> {
    const { client, bucket } = this.#requests
    const source = { CopySource: encodeURI(`${bucket}/${this.#requests.key(from)}`) }
    return this.#requests.long(`COPY ${from}`, undefined, async abortSignal => {
      if (size <= copyPartBytes) {
        const command = new CopyObjectCommand({ ...this.#requests.at(to), ...source })
        return ifThere(client.send(command, { abortSignal }))
      }
      const bytes = partBytes(size, copyPartBytes)
      const version = await putInParts(this.#requests.client, this.#requests.at(to), {
        count: Math.ceil(size / bytes),
        atOnce: maxPartsOfOne,
        put: async (UploadId, number) => {
          const first = (number - 1) * bytes
          const command = new UploadPartCopyCommand({
            ...this.#requests.at(to),
            ...source,
            UploadId,
            PartNumber: number,
            CopySourceRange: `bytes=${first}-${Math.min(size, first + bytes) - 1}`,
          })
          return (await this.#requests.client.send(command, { abortSignal })).CopyPartResult?.ETag
        },
      })
      return version !== false
    })
  }

  /** Parts are read one after the other, in their order, and sent side by side. */
  async #putPart(key: string, file: ObjectFile, part: Part): Promise<string | undefined> {
    const { UploadId, number, bytes, abortSignal } = part
    const first = (number - 1) * bytes
    const read = this.#reading.hold({ exclusive: [UploadId] }, async () => {
      const release = await this.#parts.acquire()
      try {
        const content = await readPart(file, first, Math.min(bytes, file.size - first))
        file.sent?.(content)
        return { content, release }
      } catch (error) {
        release()
        throw error
      }
    })
    const { content, release } = await read
    try {
      const command = new UploadPartCommand({
        ...this.#requests.at(key),
        UploadId,
        PartNumber: number,
        Body: content,
      })
      return (await this.#requests.client.send(command, { abortSignal })).ETag
    } finally {
      release()
    }
  }
}

interface Part {
  readonly UploadId: string
  readonly number: number
  readonly bytes: number
  readonly abortSignal: AbortSignal
}

async function ifThere(sent: Promise<unknown>): Promise<boolean> {
  try {
    await sent
    return true
  } catch (error) {
    if (isAbsent(error)) return false
    throw error
  }
}

async function readPart({ file }: ObjectFile, first: number, bytes: number): Promise<Buffer> {
  const content = Buffer.allocUnsafeSlow(bytes)
  for (let read = 0; read < bytes; ) {
    const count = await file.read(content.subarray(read), first + read)
    if (count === 0) throw new Error(`${file.path} ended before its ${first + bytes} bytes`)
    read += count
  }
  return content
}
