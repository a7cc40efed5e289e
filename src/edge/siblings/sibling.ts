/** What processes of one store tell each other in headers, beside what clients see of a request and its answer. */
import { RegistryError } from '../../oci/errors.ts'
import { reason } from '../access-log.ts'
import type { Exchange, Facts } from '../exchange.ts'

/** Of a request: whose it is. */
export const originHeader = 'layover-inward'
/** Of a request: its sender reads the store's files by itself. */
export const followHeader = 'layover-follow'
/** Of an answer: what the log and the metrics want to know of it. */
export const factsHeader = 'layover-facts'
/** Of an answer: the body tells how far a file may be read (lead.ts). */
export const marksHeader = 'layover-marks'

/** Beside a client's own headers, which may fill what is usual, there have to be ours. */
export const maxHeaderSize = 256 * 1024
/** An error that lists a thousand things is told whole in the answer's body. */
const maxErrorLength = 1024

/** Where a primary answers its servers, and the word by which it knows them. */
export interface Inlet {
  /** Of a Unix socket. */
  readonly path: string
  readonly secret: string
}

export type Origin = Pick<Exchange, 'client' | 'certificate' | 'proxied' | 'secure' | 'role' | 'requestId'> &
  Pick<Inlet, 'secret'> & { readonly httpVersion: string }

/** Bytes of a file, from `first` on; `last` undefined: all of them, however many there are. */
export interface Marked {
  readonly path: string
  readonly first: number
  readonly last?: number
}

/** A client that has not got anything yet may try again. */
export function unavailable(message: string, cause: unknown): RegistryError {
  return new RegistryError('UNAVAILABLE', message, { retryAfterMs: 1000, cause })
}

/** Clients send no header that only we may. */
export function isOurs(name: string): boolean {
  return name.startsWith('layover-')
}

/** JSON that any header can carry. */
export function write(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[^\x20-\x7e]/g,
    char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Undefined for what no sibling of ours says. */
export function readOrigin(header: string | string[] | undefined): Origin | undefined {
  try {
    const origin = JSON.parse(String(header)) as Origin | null
    return typeof origin?.secret === 'string' ? origin : undefined
  } catch {
    return undefined
  }
}

export function writeFacts({ error, ...facts }: Facts): string {
  const told = { ...facts, sentBytes: undefined } // each counts what it sends itself
  return write(error === undefined ? told : { ...told, error: reason(error).slice(0, maxErrorLength) })
}

export function readFacts(header: string): Partial<Facts> {
  const facts = JSON.parse(header) as Partial<Facts>
  const { provenance } = facts
  if (provenance?.lastsMs !== null) return facts
  return { ...facts, provenance: { ...provenance, lastsMs: Number.POSITIVE_INFINITY } } // of which JSON makes a null
}
