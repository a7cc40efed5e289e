/** A bucket of an S3-compatible service. */
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import {
  type Condition,
  type ListAsk,
  type ObjectBody,
  type ObjectContent,
  type ObjectFile,
  type ObjectHead,
  type ObjectPage,
  type Objects,
  ObjectsFailure,
  type ObjectVersion,
} from '../objects.ts'
import { failureOf, isAbsent, isStatus, wasRepeated } from './failure.ts'
import { Links } from './links.ts'
import type { S3Options } from './options.ts'
import { Requests } from './requests.ts'
import { Transfers } from './transfers.ts'

/** On a slow network more takes longer than a small request may. */
const smallBytes = 1024 * 1024
const pageKeys = 1000

export class Bucket implements Objects {
  readonly #requests: Requests
  readonly #transfers: Transfers
  readonly #links: Links | undefined
  #isConditional = false
  #removesConditionally = false

  constructor(options: S3Options) {
    this.#requests = new Requests(options)
    this.#transfers = new Transfers(this.#requests)
    this.#links = options.links && new Links(this.#requests, options.links)
  }

  get name(): string {
    return this.#requests.name
  }

  get isConditional(): boolean {
    return this.#isConditional
  }

  get removesConditionally(): boolean {
    return this.#removesConditionally
  }

  async probe(): Promise<void> {
    const key = `probe/${randomUUID()}`
    await this.read(key, pageKeys) // what is absent has to be told from what may not be read
    const version = await this.put(key, Buffer.from('probe'), 'absent')
    try {
      const again = await this.put(key, Buffer.from('again'), 'absent')
      const wrong = again === false && (await this.put(key, Buffer.from('again'), { version: '"wrong"' }))
      const right = wrong === false && version && (await this.put(key, Buffer.from('right'), { version }))
      this.#isConditional = typeof right === 'string'
      if (!(await this.read(key, pageKeys)))
        throw new ObjectsFailure('broken', `${this.name}: what was written cannot be read`)
      await this.list(key)
      this.#removesConditionally = await this.#keepsTo(key, right || version || '')
    } finally {
      await this.remove(key)
    }
  }

  head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined> {
    return this.#requests.small(`HEAD ${key}`, signal, async abortSignal => {
      const command = new HeadObjectCommand(this.#requests.at(key))
      const found = await orUndefined(this.#requests.client.send(command, { abortSignal }))
      return found && headOf({ ...found, Size: found.ContentLength })
    })
  }

  async open(
    key: string,
    { first = 0, last, signal }: { first?: number; last?: number; signal?: AbortSignal } = {},
  ): Promise<ObjectBody | undefined> {
    const range = first > 0 || last !== undefined ? { Range: `bytes=${first}-${last ?? ''}` } : {}
    const command = new GetObjectCommand({ ...this.#requests.at(key), ...range })
    return this.#requests.small(`GET ${key}`, signal, async abortSignal => {
      const found = await orUndefined(this.#requests.client.send(command, { abortSignal }))
      if (!found) return undefined
      const { Body, ContentLength, ContentRange, ETag } = found
      if (!(Body instanceof Readable) || ContentLength === undefined)
        throw new ObjectsFailure('broken', `${this.name}: GET ${key}: an answer without bytes`)
      const ranged = /^bytes (\d+)-\d+\/(\d+)$/.exec(ContentRange ?? '')
      return {
        body: this.#translated(Body, key, signal),
        first: Number(ranged?.[1] ?? 0),
        total: Number(ranged?.[2] ?? ContentLength),
        version: ETag ?? '',
      }
    })
  }

  async read(key: string, maxBytes: number, signal?: AbortSignal): Promise<ObjectContent | undefined> {
    return this.#requests.small(`GET ${key}`, signal, async abortSignal => {
      const opened = await this.open(key, { signal: abortSignal })
      if (!opened) return undefined
      const { body, total, version } = opened
      if (total > maxBytes) {
        body.destroy()
        throw new ObjectsFailure('broken', `${this.name}: ${key} has ${total} bytes, ${maxBytes} at most`)
      }
      const chunks: Buffer[] = []
      for await (const chunk of body) chunks.push(chunk as Buffer)
      return { content: Buffer.concat(chunks), version }
    })
  }

  put(key: string, content: Buffer, condition?: Condition): Promise<ObjectVersion | false> {
    const put = async (abortSignal: AbortSignal) => {
      const command = new PutObjectCommand({
        ...this.#requests.at(key),
        Body: content,
        ...conditionOf(condition),
      })
      try {
        return (await this.#requests.client.send(command, { abortSignal })).ETag ?? ''
      } catch (error) {
        if (!condition || !isRefusal(error)) throw error
        return wasRepeated(error) ? this.#ifOurs(key, content) : false
      }
    }
    return content.length > smallBytes
      ? this.#requests.long(`PUT ${key}`, undefined, put)
      : this.#requests.small(`PUT ${key}`, undefined, put)
  }

  putFile(key: string, file: ObjectFile): Promise<ObjectVersion | false> {
    return this.#transfers.putFile(key, file, content => this.put(key, content))
  }

  async copy(from: string, to: string): Promise<boolean> {
    const found = await this.head(from)
    return found !== undefined && this.#transfers.copy(from, to, found.size)
  }

  remove(key: string, version?: ObjectVersion): Promise<boolean> {
    return this.#remove(key, this.#removesConditionally ? version : undefined)
  }

  /** Whether a DELETE of another version is refused, and one of this version is not; some services know no conditions there. */
  async #keepsTo(key: string, version: ObjectVersion): Promise<boolean> {
    try {
      return !(await this.#remove(key, '"wrong"')) && (await this.#remove(key, version))
    } catch (error) {
      if (error instanceof ObjectsFailure && ['broken', 'denied'].includes(error.trouble)) return false
      throw error
    }
  }

  #remove(key: string, version: ObjectVersion | undefined): Promise<boolean> {
    return this.#requests.small(`DELETE ${key}`, undefined, async abortSignal => {
      const condition = version === undefined ? {} : { IfMatch: version }
      try {
        await this.#requests.client.send(
          new DeleteObjectCommand({ ...this.#requests.at(key), ...condition }),
          { abortSignal },
        )
        return true
      } catch (error) {
        if (isAbsent(error)) return true
        if (isStatus(error, 412)) return false
        throw error
      }
    })
  }

  list(prefix: string, { delimiter, after, limit = pageKeys, signal }: ListAsk = {}): Promise<ObjectPage> {
    return this.#requests.small(`LIST ${prefix}`, signal, async abortSignal => {
      const command = new ListObjectsV2Command({
        Bucket: this.#requests.bucket,
        Prefix: this.#requests.key(prefix),
        ...(delimiter === undefined ? {} : { Delimiter: delimiter }),
        ...(after === undefined ? {} : { ContinuationToken: after }),
        MaxKeys: limit,
      })
      const {
        Contents = [],
        CommonPrefixes = [],
        NextContinuationToken,
      } = await this.#requests.client.send(command, {
        abortSignal,
      })
      return {
        objects: Contents.map(found => ({ key: this.#requests.ownKey(found.Key ?? ''), ...headOf(found) })),
        prefixes: CommonPrefixes.map(({ Prefix = '' }) => this.#requests.ownKey(Prefix)),
        next: NextContinuationToken,
      }
    })
  }

  async link(key: string): Promise<string | undefined> {
    return this.#links?.to(key)
  }

  async reap(olderThanMs: number, now: number): Promise<number> {
    const { bucket: Bucket } = this.#requests
    const command = new ListMultipartUploadsCommand({ Bucket, Prefix: this.#requests.key('') })
    const found = await this.#requests.small('LIST uploads', undefined, abortSignal =>
      this.#requests.client.send(command, { abortSignal }),
    )
    const old = (found.Uploads ?? []).filter(
      ({ Initiated }) => Initiated !== undefined && Initiated.getTime() <= now - olderThanMs,
    )
    for (const { Key, UploadId } of old) {
      const abort = new AbortMultipartUploadCommand({ Bucket, Key, UploadId })
      await this.#requests.small(`ABORT ${Key}`, undefined, abortSignal =>
        orUndefined(this.#requests.client.send(abort, { abortSignal })),
      )
    }
    return old.length
  }

  close(): void {
    this.#links?.close()
    this.#requests.close()
  }

  /** An earlier try of the same write may be what stands in its way. */
  async #ifOurs(key: string, content: Buffer): Promise<ObjectVersion | false> {
    const found = await this.read(key, content.length)
    return found?.content.equals(content) ? found.version : false
  }

  #translated(body: Readable, key: string, signal: AbortSignal | undefined): Readable {
    const what = `${this.name}: GET ${key}`
    const read = async function* () {
      try {
        yield* body as AsyncIterable<Buffer>
      } catch (error) {
        signal?.throwIfAborted()
        throw failureOf(error, what)
      }
    }
    const translated = Readable.from(read(), { objectMode: false, highWaterMark: 256 * 1024 })
    const end = () => body.destroy()
    translated.once('close', () => {
      signal?.removeEventListener('abort', end)
      end() // also of one that nobody has begun to read
    })
    signal?.addEventListener('abort', end, { once: true })
    return translated
  }
}

interface Described {
  readonly Size?: number | undefined
  readonly ETag?: string | undefined
  readonly LastModified?: Date | undefined
}

function headOf({ Size = 0, ETag = '', LastModified }: Described): ObjectHead {
  return { size: Size, version: ETag, changedAt: LastModified?.getTime() ?? 0 }
}

function conditionOf(condition: Condition | undefined): { IfNoneMatch?: string; IfMatch?: string } {
  if (condition === undefined) return {}
  return condition === 'absent' ? { IfNoneMatch: '*' } : { IfMatch: condition.version }
}

/** The condition did not hold: also 409 of a write that came at the same time, and 404 where nothing is there to match. */
function isRefusal(error: unknown): boolean {
  return isStatus(error, 412) || isStatus(error, 409) || isAbsent(error)
}

async function orUndefined<T>(sent: Promise<T>): Promise<T | undefined> {
  try {
    return await sent
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}
