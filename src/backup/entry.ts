/** One record of a local repository as a line of a backup: what it is, and a checksum that finds a flipped bit. */
import { crc32 } from 'node:zlib'
import { blobEntry, manifestEntry, referrerEntry, tagEntry } from '../index/records.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { isRepositoryName, isTag, type RepositoryName, type Tag } from '../oci/name.ts'
import { type Layout, localRegistry } from '../store/layout.ts'
import type { StoredRecord } from '../store/records.ts'

export type Entry = { readonly repository: RepositoryName; readonly record: StoredRecord } & (
  | { readonly kind: 'blob' | 'manifest'; readonly digest: Digest }
  | { readonly kind: 'referrer'; readonly digest: Digest; readonly subject: Digest }
  | { readonly kind: 'tag'; readonly tag: Tag }
)

/** Where the store keeps it. */
export function pathOf(layout: Layout, entry: Entry): string {
  const key = { registry: localRegistry, repository: entry.repository }
  switch (entry.kind) {
    case 'tag':
      return layout.tag(key, entry.tag)
    case 'blob':
      return layout.blob(key, entry.digest)
    case 'manifest':
      return layout.manifest(key, entry.digest)
    case 'referrer':
      return layout.referrer(key, entry.subject, entry.digest)
  }
}

/** For a message about it. */
export function nameOf(entry: Entry): Record<string, string> {
  const { kind, repository } = entry
  return { repository, [kind]: kind === 'tag' ? entry.tag : entry.digest }
}

export function toLine(value: object): string {
  const json = JSON.stringify(value)
  return `${sumOf(json)} ${json}\n`
}

/** What the line says; undefined for one that is not as it was written. */
export function fromLine(line: string): Partial<Record<string, unknown>> | undefined {
  const json = line.slice(sumLength + 1)
  if (line.slice(0, sumLength) !== sumOf(json)) return undefined
  try {
    return JSON.parse(json) as Partial<Record<string, unknown>>
  } catch {
    return undefined // nobody wrote it
  }
}

/** Undefined for what is no record, as far as this program knows: its names become paths. */
export function asEntry(value: Partial<Record<string, unknown>>): Entry | undefined {
  const { kind, repository, record, digest, subject, tag } = value
  if (typeof repository !== 'string' || !isRepositoryName(repository) || !isRecord(record)) return undefined
  if (kind === 'tag')
    return isText(tag, isTag) && tagEntry(record) ? { kind, repository, record, tag } : undefined
  if (!isText(digest, isDigest)) return undefined
  if (kind === 'referrer') {
    const isWhole = isText(subject, isDigest) && referrerEntry(record)
    return isWhole ? { kind, repository, record, digest, subject } : undefined
  }
  if (kind === 'manifest') return manifestEntry(record) && { kind, repository, record, digest }
  return kind === 'blob' && blobEntry(record) ? { kind, repository, record, digest } : undefined
}

/** Undefined for a damaged one. */
export function parseRecord(text: string): StoredRecord | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : undefined
  } catch {
    return undefined // the caller says what that means
  }
}

/** A record of a version that this program writes. */
function isRecord(value: unknown): value is StoredRecord {
  return typeof value === 'object' && value !== null && 'v' in value && value.v === 1
}

const sumLength = 8

function sumOf(json: string): string {
  return crc32(json).toString(16).padStart(sumLength, '0')
}

function isText<T extends string>(value: unknown, is: (text: string) => text is T): value is T {
  return typeof value === 'string' && is(value)
}
