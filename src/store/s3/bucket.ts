/** A bucket of an S3-compatible service. */
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { rootCertificates } from 'node:tls'
import {
  AbortMultipartUploadCommand,
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { Locks } from '../../stream/locks.ts'
import { Semaphore } from '../../stream/semaphore.ts'
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
import type { S3Options } from './options.ts'
import { partBytes, putInParts } from './parts.ts'

/** A larger file goes in parts of this size. */
const usualPartBytes = 8 * 1024 * 1024
/** Parts in memory at once, over all uploads. */
const maxParts = 8
/** Parts of one upload at once. */
const maxPartsOfOne = 4
/** What is larger is copied in parts: within the service that takes no time of ours. */
const copyPartBytes = 512 * 1024 * 1024
/** With back-off in between: a service that throttles is given time. */
const maxAttempts = 5
const pageKeys = 1000

export class Bucket implements Objects {
  readonly name: string
  readonly #options: S3Options
  readonly #client: S3Client
  readonly #parts = new Semaphore(maxParts)
  readonly #reading = new Locks()
  readonly #closing = new AbortController()
  #isConditional = false

  constructor(options: S3Options) {
    const { bucket, region, endpoint, prefix, pathStyle, credentials, ca, timeouts, connections } = options
    this.#options = options
    this.name = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`
    const agent = { keepAlive: true, maxSockets: connections }
    this.#client = new S3Client({
      region,
      ...(endpoint === undefined ? {} : { endpoint }),
      forcePathStyle: pathStyle,
      ...(credentials ? { credentials } : {}),
      maxAttempts,
      // Services other than AWS know neither the newer checksums nor the trailers that carry them.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        connectionTimeout: timeouts.connectMs,
        socketTimeout: timeouts.idleMs,
        httpAgent: agent,
        httpsAgent: { ...agent, ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }) },
      },
    })
  }

  get isConditional(): boolean {
    return this.#isConditional
  }

  async probe(): Promise<void> {
    const key = `probe/${randomUUID()}`
    const version = await this.put(key, Buffer.from('probe'), 'absent')
    try {
      const again = await this.put(key, Buffer.from('again'), 'absent')
      const wrong = again === false && (await this.put(key, Buffer.from('again'), { version: '"wrong"' }))
      const right = wrong === false && version && (await this.put(key, Buffer.from('right'), { version }))
      this.#isConditional = typeof right === 'string'
      if (!(await this.read(key, pageKeys)))
        throw new ObjectsFailure('broken', `${this.name}: what was written cannot be read`)
    } finally {
      await this.remove(key)
    }
  }

  head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined> {
    return this.#small(`HEAD ${key}`, signal, async abortSignal => {
      const command = new HeadObjectCommand(this.#at(key))
      const found = await orUndefined(this.#client.send(command, { abortSignal }))
      return found && headOf({ ...found, Size: found.ContentLength })
    })
  }

  async open(
    key: string,
    { first = 0, last, signal }: { first?: number; last?: number; signal?: AbortSignal } = {},
  ): Promise<ObjectBody | undefined> {
    const range = first > 0 || last !== undefined ? { Range: `bytes=${first}-${last ?? ''}` } : {}
    const command = new GetObjectCommand({ ...this.#at(key), ...range })
    return this.#small(`GET ${key}`, signal, async abortSignal => {
      const found = await orUndefined(this.#client.send(command, { abortSignal }))
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
    return this.#small(`GET ${key}`, signal, async abortSignal => {
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
    return this.#small(`PUT ${key}`, undefined, async abortSignal => {
      const command = new PutObjectCommand({ ...this.#at(key), Body: content, ...conditionOf(condition) })
      try {
        return (await this.#client.send(command, { abortSignal })).ETag ?? ''
      } catch (error) {
        if (!condition || !isRefusal(error)) throw error
        return wasRepeated(error) ? this.#ifOurs(key, content) : false
      }
    })
  }

  async putFile(key: string, file: ObjectFile): Promise<ObjectVersion | false> {
    const { size, sent, isRight = () => true } = file
    if (size <= usualPartBytes) {
      const release = await this.#parts.acquire()
      try {
        const content = await readPart(file, 0, size)
        sent?.(content)
        return (await isRight()) && (await this.put(key, content))
      } finally {
        release()
      }
    }
    const bytes = partBytes(size, usualPartBytes)
    return this.#long(`PUT ${key}`, file.signal, abortSignal =>
      putInParts(this.#client, this.#at(key), {
        count: Math.ceil(size / bytes),
        atOnce: maxPartsOfOne,
        put: (UploadId, number) => this.#putPart(key, file, { UploadId, number, bytes, abortSignal }),
        isRight,
      }),
    )
  }

  async copy(from: string, to: string): Promise<boolean> {
    const found = await this.head(from)
    if (!found) return false
    const source = { CopySource: encodeURI(`${this.#options.bucket}/${this.#key(from)}`) }
    const { size } = found
    return this.#long(`COPY ${from}`, undefined, async abortSignal => {
      if (size <= copyPartBytes) {
        const command = new CopyObjectCommand({ ...this.#at(to), ...source })
        return (await orUndefined(this.#client.send(command, { abortSignal }))) !== undefined
      }
      const bytes = partBytes(size, copyPartBytes)
      const version = await putInParts(this.#client, this.#at(to), {
        count: Math.ceil(size / bytes),
        atOnce: maxPartsOfOne,
        put: async (UploadId, number) => {
          const first = (number - 1) * bytes
          const command = new UploadPartCopyCommand({
            ...this.#at(to),
            ...source,
            UploadId,
            PartNumber: number,
            CopySourceRange: `bytes=${first}-${Math.min(size, first + bytes) - 1}`,
          })
          return (await this.#client.send(command, { abortSignal })).CopyPartResult?.ETag
        },
      })
      return version !== false
    })
  }

  remove(key: string, version?: ObjectVersion): Promise<boolean> {
    return this.#small(`DELETE ${key}`, undefined, async abortSignal => {
      const condition = version === undefined ? {} : { IfMatch: version }
      try {
        await this.#client.send(new DeleteObjectCommand({ ...this.#at(key), ...condition }), { abortSignal })
        return true
      } catch (error) {
        if (isAbsent(error)) return true
        if (isStatus(error, 412)) return false
        throw error
      }
    })
  }

  list(prefix: string, { delimiter, after, limit = pageKeys, signal }: ListAsk = {}): Promise<ObjectPage> {
    return this.#small(`LIST ${prefix}`, signal, async abortSignal => {
      const command = new ListObjectsV2Command({
        Bucket: this.#options.bucket,
        Prefix: this.#key(prefix),
        ...(delimiter === undefined ? {} : { Delimiter: delimiter }),
        ...(after === undefined ? {} : { ContinuationToken: after }),
        MaxKeys: limit,
      })
      const {
        Contents = [],
        CommonPrefixes = [],
        NextContinuationToken,
      } = await this.#client.send(command, {
        abortSignal,
      })
      return {
        objects: Contents.map(found => ({ key: this.#ownKey(found.Key ?? ''), ...headOf(found) })),
        prefixes: CommonPrefixes.map(({ Prefix = '' }) => this.#ownKey(Prefix)),
        next: NextContinuationToken,
      }
    })
  }

  async reap(olderThanMs: number, now: number): Promise<number> {
    const { bucket: Bucket } = this.#options
    const command = new ListMultipartUploadsCommand({ Bucket, Prefix: this.#key('') })
    const found = await this.#small('LIST uploads', undefined, abortSignal =>
      this.#client.send(command, { abortSignal }),
    )
    const old = (found.Uploads ?? []).filter(
      ({ Initiated }) => Initiated !== undefined && Initiated.getTime() <= now - olderThanMs,
    )
    for (const { Key, UploadId } of old) {
      const abort = new AbortMultipartUploadCommand({ Bucket, Key, UploadId })
      await this.#small(`ABORT ${Key}`, undefined, abortSignal =>
        orUndefined(this.#client.send(abort, { abortSignal })),
      )
    }
    return old.length
  }

  close(): void {
    this.#closing.abort(new ObjectsFailure('unreachable', `${this.name}: closed`))
    this.#client.destroy()
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
        ...this.#at(key),
        UploadId,
        PartNumber: number,
        Body: content,
      })
      return (await this.#client.send(command, { abortSignal })).ETag
    } finally {
      release()
    }
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

  /** A request that is answered at once, up to the headers of its answer. */
  async #small<T>(
    what: string,
    signal: AbortSignal | undefined,
    task: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const limit = new AbortController()
    const timer = setTimeout(() => limit.abort(), this.#options.timeouts.requestMs)
    try {
      return await this.#run(what, signal, { limit: limit.signal, task })
    } finally {
      clearTimeout(timer) // the body that follows may take longer
    }
  }

  /** As long as something moves. */
  #long<T>(
    what: string,
    signal: AbortSignal | undefined,
    task: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return this.#run(what, signal, { limit: undefined, task })
  }

  async #run<T>(
    what: string,
    signal: AbortSignal | undefined,
    { limit, task }: { limit: AbortSignal | undefined; task: (signal: AbortSignal) => Promise<T> },
  ): Promise<T> {
    const ends = [signal, limit, this.#closing.signal].filter(end => end !== undefined)
    try {
      return await task(AbortSignal.any(ends))
    } catch (error) {
      signal?.throwIfAborted()
      throw failureOf(error, `${this.name}: ${what}`, limit)
    }
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#options.bucket, Key: this.#key(key) }
  }

  #key(key: string): string {
    const { prefix } = this.#options
    return prefix === '' ? key : `${prefix}/${key}`
  }

  #ownKey(key: string): string {
    const { prefix } = this.#options
    return prefix === '' ? key : key.slice(prefix.length + 1)
  }
}

interface Part {
  readonly UploadId: string
  readonly number: number
  readonly bytes: number
  readonly abortSignal: AbortSignal
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

async function readPart({ file }: ObjectFile, first: number, bytes: number): Promise<Buffer> {
  const content = Buffer.allocUnsafeSlow(bytes)
  for (let read = 0; read < bytes; ) {
    const count = await file.read(content.subarray(read), first + read)
    if (count === 0) throw new Error(`${file.path} ended before its ${first + bytes} bytes`)
    read += count
  }
  return content
}
