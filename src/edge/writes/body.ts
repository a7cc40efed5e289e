/** The body of a request: read no faster than it is used, and no longer than its client sends. */
import { RegistryError } from '../../oci/errors.ts'
import { type Body, Gathered } from '../../push/body.ts'
import type { Room } from '../../stream/room.ts'
import type { Exchange } from '../exchange.ts'

/**
 * Node hands over a request before it refuses its framing: nothing is to be written meanwhile.
 *
 * @throws RegistryError UNSUPPORTED (501)
 */
export function assertFramed({ request }: Exchange): void {
  const encoding = request.headers['transfer-encoding']
  if (encoding === undefined || encoding.toLowerCase() === 'chunked') return
  throw new RegistryError('UNSUPPORTED', 'the body may be chunked, and nothing else', { status: 501 })
}

/** How fast a client has to send. */
export interface Pace {
  /** How long it may send nothing while we wait for it. */
  readonly stalledMs: number
  /** Bytes a second, over each `stalledMs`. */
  readonly slowest: number
}

export function requestBody({ request, response }: Exchange, { stalledMs, slowest }: Pace): Body {
  const length = request.headers['content-length']
  async function* chunks(): AsyncGenerator<Buffer> {
    if (request.headers.expect !== undefined) response.writeContinue()
    const least = (slowest * stalledMs) / 1000
    let waiting = true
    let sent = 0 // since the timer was set
    let looking: NodeJS.Immediate | undefined
    const look = () => {
      if (waiting) request.destroy(new Error(`the client sent ${sent} bytes in ${stalledMs} ms`))
      else sent = least // it was we who took so long
    }
    // What came while this process was busy is not late: it is read first.
    const timer = setTimeout(() => {
      looking = setImmediate(look)
    }, stalledMs).unref()
    try {
      for await (const chunk of request.iterator({ destroyOnReturn: false })) {
        waiting = false
        sent += (chunk as Buffer).length
        yield chunk as Buffer
        waiting = true
        if (sent < least) continue
        sent = 0
        clearImmediate(looking)
        timer.refresh()
      }
    } finally {
      clearImmediate(looking)
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
 * The whole body of a manifest, to be released when it is no longer needed.
 *
 * @throws RegistryError MANIFEST_INVALID (413), TOOMANYREQUESTS (429)
 */
export async function readManifest(
  { length, chunks }: Body,
  maxBytes: number,
  room: Room,
): Promise<Gathered> {
  if ((length ?? 0) > maxBytes) throw tooLarge(maxBytes)
  const gathered = new Gathered(room)
  try {
    for await (const chunk of chunks) {
      if (gathered.size + chunk.length > maxBytes) throw tooLarge(maxBytes)
      if (!gathered.add(chunk)) throw noRoom()
    }
    return gathered
  } catch (error) {
    gathered.release()
    throw error
  }
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

function noRoom(): RegistryError {
  const message = 'more is being pushed at once than there is memory for (limits.pushMemory)'
  return new RegistryError('TOOMANYREQUESTS', message, { retryAfterMs: 1000 })
}
