/** Addresses that let whoever has them read one object for a while. */
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { type Clock, systemClock } from '../../runtime/clock.ts'
import type { LinkOptions } from './options.ts'
import { plainRequests, type Requests } from './requests.ts'

/** What ends sooner ends before a slow client has begun. */
const leastMs = 60_000

export class Links {
  readonly #requests: Pick<Requests, 'client' | 'at' | 'small'>
  readonly #options: LinkOptions
  readonly #clock: Clock
  /** Signs, and talks to nobody. */
  readonly #signer: S3Client

  constructor(
    requests: Pick<Requests, 'client' | 'at' | 'small'>,
    options: LinkOptions,
    clock: Clock = systemClock,
  ) {
    this.#requests = requests
    this.#options = options
    this.#clock = clock
    const { credentials, region, forcePathStyle } = requests.client.config
    this.#signer =
      options.endpoint === undefined
        ? requests.client
        : new S3Client({ ...plainRequests, endpoint: options.endpoint, credentials, region, forcePathStyle })
  }

  /** Undefined where the credentials end too soon. Rejects with ObjectsFailure. */
  to(key: string): Promise<string | undefined> {
    const { client } = this.#requests
    return this.#requests.small(`link ${key}`, undefined, async () => {
      const { expiration } = await client.config.credentials()
      const now = this.#clock.now() + client.config.systemClockOffset
      const lastsMs = expiration === undefined ? Number.POSITIVE_INFINITY : expiration.getTime() - now
      if (lastsMs < leastMs) return undefined
      return getSignedUrl(this.#signer, new GetObjectCommand(this.#requests.at(key)), {
        expiresIn: Math.floor(Math.min(this.#options.validMs, lastsMs) / 1000),
        signingDate: new Date(now),
      })
    })
  }

  close(): void {
    this.#signer.destroy()
  }
}
