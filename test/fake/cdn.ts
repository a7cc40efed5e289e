/** Hosts that serve blobs behind signed URLs: bound to method, path and expiry, and averse to Authorization. */
import type { Digest } from '../../src/oci/digest.ts'
import { type Answer, answer, type Request, ranged } from './answer.ts'
import type { StoredBlob } from './bytes.ts'
import { same, sign } from './token.ts'

/** Every blob of every registry: what a CDN can reach. */
export type BlobPool = Map<Digest, StoredBlob>

export class Cdn {
  /** How long a URL is good. */
  lifeMs = 300_000
  readonly #pool: BlobPool
  readonly #now: () => number
  readonly #secret: string

  constructor(pool: BlobPool, now: () => number, secret: string) {
    this.#pool = pool
    this.#now = now
    this.#secret = secret
  }

  /** Path and query that give the blob to this method, for a while. */
  sign(method: string, digest: Digest): string {
    const path = `/blobs/${digest.replace(':', '/')}/data`
    const expires = String(Math.floor((this.#now() + this.lifeMs) / 1_000))
    const signature = this.#signature(method, path, expires)
    return `${path}?Expires=${expires}&Signature=${signature}&Key-Pair-Id=TEST`
  }

  /** Path under which a blob is served to anybody, as buckets of registry.k8s.io do. */
  open(digest: Digest): string {
    return `/open/${digest.replace(':', '/')}`
  }

  handle(request: Request): Answer {
    const match = /^\/(blobs|open)\/(sha\d+)\/([0-9a-f]+)(?:\/data)?$/.exec(request.path)
    if (!match) return xml(404, 'NoSuchKey', 'The specified key does not exist.')
    if (request.headers.authorization !== undefined) {
      return xml(400, 'InvalidArgument', 'Only one auth mechanism allowed')
    }
    if (match[1] === 'blobs') {
      const refusal = this.#refuse(request)
      if (refusal) return refusal
    }
    const blob = this.#pool.get(`${match[2]}:${match[3]}` as Digest)
    if (!blob) return xml(404, 'NoSuchKey', 'The specified key does not exist.')
    return ranged(request, blob.content, {
      'content-type': 'binary/octet-stream',
      etag: `"${match[3]?.slice(0, 32)}"`,
    })
  }

  #refuse({ method, path, query }: Request): Answer | undefined {
    const expires = query.get('Expires') ?? ''
    if (!same(this.#signature(method, path, expires), query.get('Signature') ?? '')) {
      return xml(403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match.')
    }
    if (this.#now() >= Number(expires) * 1_000) return xml(403, 'AccessDenied', 'Request has expired')
    return undefined
  }

  #signature(method: string, path: string, expires: string): string {
    return sign(this.#secret, `${method} ${path} ${expires}`)
  }
}

function xml(status: number, code: string, message: string): Answer {
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`
  return answer(status, body, { 'content-type': 'application/xml' })
}
