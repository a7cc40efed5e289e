/** What the key that signs tokens is derived from, where none is configured. */
import { hkdfSync, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { WholeFiles } from '../../store/files/durable.ts'
import { ifThere } from '../../store/files/system-error.ts'
import type { Layout } from '../../store/layout.ts'
import { StoreUnusable } from '../../store/unusable.ts'

const seedBytes = 32

/** The same at every replica. @param secret what they share */
export function sharedSeed(secret: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', 'layover: seed of registry tokens', seedBytes))
}

/**
 * Of a store that has been opened, made when first asked for, and the same for all processes that ask.
 *
 * @throws StoreUnusable when the file is no seed
 */
export async function keptSeed(layout: Layout): Promise<Buffer> {
  const found = await readSeed(layout)
  if (found) return found
  const made = randomBytes(seedBytes)
  const line = `${made.toString('hex')}\n`
  if (await new WholeFiles(layout).create(layout.tokenKey, line, { durable: true, mode: 0o600 })) return made
  return (await readSeed(layout)) ?? made // removed in the meantime: good for as long as we run
}

async function readSeed({ tokenKey }: Layout): Promise<Buffer | undefined> {
  const text = await ifThere(readFile(tokenKey, 'latin1')).catch((cause: unknown) => {
    const message = `${tokenKey} cannot be read: give it to the user that serves the store, or remove it, and clients have to log in again`
    throw new StoreUnusable(message, { cause })
  })
  if (text === undefined) return undefined
  if (/^[0-9a-f]{64}\n?$/.test(text)) return Buffer.from(text.trimEnd(), 'hex')
  throw new StoreUnusable(`${tokenKey} is damaged: remove it, and clients have to log in again`)
}
