/** The store's format: which one it is, which store it is, and the way from an older format to today's. */
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { WholeFiles } from './files/durable.ts'
import { ifThere } from './files/system-error.ts'
import type { Layout } from './layout.ts'
import { StoreUnusable } from './unusable.ts'

export interface Format {
  readonly v: number
  /** Tells one store from another; a store that no program of today has opened has none. */
  readonly id: string | undefined
}

/** Brings a store to the next format, in place. It may have been interrupted at any moment before. */
export type Upgrade = (layout: Layout) => Promise<void>

/** Each in the place of the format that it begins with: 0 is that of a store without `format.json`. */
const upgrades: readonly Upgrade[] = [
  async () => {}, // nothing lies elsewhere
]

/**
 * Makes the store one of the newest format. Who calls owns the store.
 *
 * @throws StoreUnusable for a newer one
 */
export async function settleFormat(layout: Layout, steps = upgrades): Promise<void> {
  const found = await readFormat(layout, steps.length)
  const id = found?.id ?? randomUUID()
  const from = found?.v ?? 0
  for (const [at, upgrade] of steps.slice(from).entries()) {
    await upgrade(layout)
    await writeFormat(layout, { v: from + at + 1, id })
  }
  if (found?.v === steps.length && found.id === undefined)
    await writeFormat(layout, { v: found.v, id }).catch(() => {}) // a full disk opens too; only backups need the id
}

/** Undefined where there is none. @throws StoreUnusable when it is damaged, or newer than this program */
export async function readFormat(layout: Layout, newest = upgrades.length): Promise<Format | undefined> {
  const text = await ifThere(readFile(layout.format, 'utf8'))
  if (text === undefined) return undefined
  const { v, id } = parse(text)
  if (v === undefined) {
    throw new StoreUnusable(
      `${layout.format} is damaged: restore it, or remove it if this version of the program wrote the store`,
    )
  }
  if (typeof v !== 'number' || !Number.isInteger(v) || v < 1 || v > newest) {
    throw new StoreUnusable(
      `the store at ${layout.root} has format ${JSON.stringify(v)}, this program knows ${newest}: use the program that wrote it`,
    )
  }
  return { v, id: typeof id === 'string' ? id : undefined }
}

export function writeFormat(layout: Layout, { v, id }: Format): Promise<void> {
  return new WholeFiles(layout).write(layout.format, `${JSON.stringify({ v, id })}\n`, { durable: true })
}

function parse(text: string): { v?: unknown; id?: unknown } {
  try {
    return (JSON.parse(text) as { v?: unknown; id?: unknown } | null) ?? {}
  } catch {
    return {} // no JSON: the caller says what to do
  }
}
