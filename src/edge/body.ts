/** The body of a request: read no faster than it is used, and no longer than its client sends. */
import { RegistryError } from '../oci/errors.ts'
import type { Body } from '../push/body.ts'
import type { Exchange } from './exchange.ts'

/** @param stalledMs how long the client may send nothing while we wait for it */
export function requestBody({ request, response }: Exchange, stalledMs: number): Body {
  const length = request.headers['content-length']
  async function* chunks(): AsyncGenerator<Buffer> {
    if (request.headers.expect !== undefined) response.writeContinue()
    let waiting = true
    const timer = setTimeout(() => {
      if (waiting) request.destroy(new Error(`the client sent no bytes for ${stalledMs} ms`))
    }, stalledMs).unref()
    try {
      for await (const chunk of request.iterator({ destroyOnReturn: false })) {
        waiting = false
        yield chunk as Buffer
        waiting = true
        timer.refresh()
      }
    } finally {
      clearTimeout(timer)
    }
  }
  return {
    length: length === undefined ? undefined : Number(length),
    chunks: chunks(),
    abort: reason => void request.destroy(reason),
  }
}

/**
 * The whole body of a manifest.
 *
 * @throws RegistryError MANIFEST_INVALID (413)
 */
export async function readManifest({ length, chunks }: Body, maxBytes: number): Promise<Buffer> {
  if ((length ?? 0) > maxBytes) throw tooLarge(maxBytes)
  const read: Buffer[] = []
  let size = 0
  for await (const chunk of chunks) {
    size += chunk.length
    if (size > maxBytes) throw tooLarge(maxBytes)
    read.push(chunk)
  }
  return Buffer.concat(read, size)
}

function tooLarge(maxBytes: number): RegistryError {
  return new RegistryError(
    'MANIFEST_INVALID',
    `the manifest has more than ${maxBytes} bytes (limits.manifest)`,
    {
      status: 413,
    },
  )
}
