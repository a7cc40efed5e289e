/** Requests to a bucket: where, for how long, and what their failures mean. */
import { S3Client } from '@aws-sdk/client-s3'
import { ObjectsFailure } from '../objects.ts'
import { failureOf } from './failure.ts'
import { Handler } from './handler.ts'
import type { S3Options } from './options.ts'

/** With back-off in between: a service that throttles is given time. */
const maxAttempts = 5

/** Services other than AWS know neither the newer checksums nor the trailers that carry them. */
export const plainRequests = {
  requestChecksumCalculation: 'WHEN_REQUIRED',
  responseChecksumValidation: 'WHEN_REQUIRED',
} as const

export class Requests {
  /** For messages. */
  readonly name: string
  readonly bucket: string
  readonly client: S3Client
  readonly #options: S3Options
  readonly #closing = new AbortController()

  constructor(options: S3Options) {
    const { bucket, region, endpoint, prefix, pathStyle, credentials } = options
    this.#options = options
    this.bucket = bucket
    this.name = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`
    this.client = new S3Client({
      region,
      ...(endpoint === undefined ? {} : { endpoint }),
      forcePathStyle: pathStyle,
      ...(credentials ? { credentials } : {}),
      maxAttempts,
      ...plainRequests,
      requestHandler: new Handler(options),
      expectContinueHeader: false, // a refusal is rare, and undici does not wait for leave
    })
  }

  /** A request that is answered at once, up to the headers of its answer. */
  async small<T>(
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
  long<T>(
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

  at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#options.bucket, Key: this.key(key) }
  }

  /** With the prefix. */
  key(key: string): string {
    const { prefix } = this.#options
    return prefix === '' ? key : `${prefix}/${key}`
  }

  /** Without the prefix. */
  ownKey(key: string): string {
    const { prefix } = this.#options
    return prefix === '' ? key : key.slice(prefix.length + 1)
  }

  close(): void {
    this.#closing.abort(new ObjectsFailure('unreachable', `${this.name}: closed`))
    this.client.destroy()
  }
}
