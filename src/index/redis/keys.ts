/**
 * Where entries stand in Redis. Each key is a sorted set whose scores are all 0, so that its members lie in byte order;
 * a member is a name and, right behind it, its value:
 *
 *     t:{registry/repository}   't' tag 0 entry · 'r' hint of its digest, tag
 *     m:{registry/repository}   'm' digest entry · 'c' hint of a child, hint of its parent, size
 *     b:{registry/repository}   'b' digest entry
 *     r:{registry/repository}   'f' subject, referrer, descriptor
 *     p:{registry/xxxx}         'p' digest, some bytes of a repository's hash, entry: public blobs, by the start of their digest
 *     h:{xxxx}                  'h' digest, local repository: by the start of the digest
 *     {names}:r                 'g' registry 0
 *     {names}:n:registry        'n' repository 0 stamp
 *     {names}:era               a text: see era.ts
 *     {bodies}:…                listings of upstreams: see bodies.ts
 *
 * Beside them stand the marks of what is known whole: '!' what stamp. Entries of local repositories begin with the stamp
 * of the epoch they were put in. No value is needed to find a name: the first member from the name on is it, or none is.
 */
import { createHash } from 'node:crypto'
import { type Digest, hexOf } from '../../oci/digest.ts'
import type { Tag } from '../../oci/name.ts'
import { keyText, localRegistry, type RepositoryKey } from '../../store/layout.ts'
import type { Listing, Whole } from '../index.ts'
import { hintOf, packDigest } from './codec.ts'

/** What belongs to proxied names goes so long after it was last written. */
export const proxiedLifeMs = 30 * 86_400_000

const letters = { tags: 't', manifests: 'm', blobs: 'b', referrers: 'r' } as const
/** Hexadecimal digits of a digest that choose a bucket: with a million blobs 15 lie in each. */
const bucketDigits = 4
const repositoryHashBytes = 8
const end = Buffer.of(0)
/** Sorts after everything that begins with a name's end, and before every longer name. */
const afterEnd = Buffer.of(1)

export function listingKey(listing: Listing, { registry, repository }: RepositoryKey): string {
  return `${letters[listing]}:{${registry}/${repository}}`
}

export function keyOfWhole(what: Whole, key: RepositoryKey): string {
  return listingKey(typeof what === 'string' ? what : 'referrers', key)
}

export function publicKey(registry: string, digest: Digest): string {
  return `p:{${registry}/${bucketOf(digest)}}`
}

export function holdersKey(digest: Digest): string {
  return `h:{${bucketOf(digest)}}`
}

export const registriesKey = '{names}:r'
export const eraKey = '{names}:era'

export function repositoriesKey(registry: string): string {
  return `{names}:n:${registry}`
}

/** Milliseconds; undefined: for ever, as what is pushed bounds it. */
export function lifeOf(registry: string): number | undefined {
  return registry === localRegistry ? undefined : proxiedLifeMs
}

/** A part of a key's members, and where it begins and ends. */
export interface Range {
  /** What every member of it begins with. */
  readonly prefix: Buffer
}

export const ranges = {
  tags: rangeOf('t'),
  manifests: rangeOf('m'),
  blobs: rangeOf('b'),
  repositories: rangeOf('n'),
  registries: rangeOf('g'),
  tagged: (digest: Digest) => rangeOf('r', hintOf(digest)),
  parents: (child: Digest) => rangeOf('c', hintOf(child)),
  /** Referrers of all subjects. */
  subjects: rangeOf('f'),
  referrers: (subject: Digest) => rangeOf('f', packDigest(subject)),
  publicBlobs: (digest: Digest) => rangeOf('p', packDigest(digest)),
  holders: (digest: Digest) => rangeOf('h', packDigest(digest)),
} as const

export const names = {
  tag: (tag: Tag) => Buffer.concat([ranges.tags.prefix, Buffer.from(tag), end]),
  /** Points from the hint of a digest to a tag. */
  tagged: (hint: Buffer, tag: string) => Buffer.concat([Buffer.from('r'), hint, Buffer.from(tag)]),
  manifest: (digest: Digest) => Buffer.concat([ranges.manifests.prefix, packDigest(digest)]),
  /** Manifests whose digest has this hint. */
  hinted: (hint: Buffer) => Buffer.concat([ranges.manifests.prefix, hint]),
  blob: (digest: Digest) => Buffer.concat([ranges.blobs.prefix, packDigest(digest)]),
  child: (child: Digest, parent: Digest) => Buffer.concat([ranges.parents(child).prefix, hintOf(parent)]),
  referrer: (subject: Digest, digest: Digest) =>
    Buffer.concat([ranges.referrers(subject).prefix, packDigest(digest)]),
  publicBlob: (digest: Digest, key: RepositoryKey) =>
    Buffer.concat([ranges.publicBlobs(digest).prefix, hashOf(key)]),
  /** The entry of a public blob's member. */
  behindPublic: ({ prefix }: Range, member: Buffer) => member.subarray(prefix.length + repositoryHashBytes),
  holder: (digest: Digest, repository: string) =>
    Buffer.concat([ranges.holders(digest).prefix, Buffer.from(repository), end]),
  repository: (repository: string) =>
    Buffer.concat([ranges.repositories.prefix, Buffer.from(repository), end]),
  registry: (registry: string) => Buffer.concat([ranges.registries.prefix, Buffer.from(registry), end]),
} as const

/** The mark of a listing begins with this: of a whole one, or of one subject's referrers. */
export function markName(what: Whole): Buffer {
  return Buffer.concat([Buffer.from('!'), typeof what === 'string' ? end : packDigest(what.referrersOf)])
}

/** Of the repositories of all registries, proxied or local. */
export function namesMark(registry: string): Buffer {
  return Buffer.from(registry === localRegistry ? '!l' : '!p')
}

/** Where a page begins that comes after a text. No name has a 0 in it. */
export function afterText({ prefix }: Range, last: string): Buffer {
  return Buffer.concat([prefix, Buffer.from(last.split('\0')[0] ?? ''), ...(last === '' ? [] : [afterEnd])])
}

/** As `afterText`, of a listing whose names are digests. */
export function afterDigest({ prefix }: Range, last: Digest | undefined): Buffer {
  return last === undefined ? prefix : endOf(Buffer.concat([prefix, packDigest(last)]))
}

/** Where the members end that begin with the bytes. */
export function endOf(prefix: Buffer): Buffer {
  const until = Buffer.from(prefix)
  let last = until.length - 1
  for (; until[last] === 0xff; last -= 1);
  until[last] = (until[last] ?? 0) + 1
  return until.subarray(0, last + 1)
}

/** The text that a member begins with behind the prefix, and its value. */
export function splitText(prefix: Buffer, member: Buffer): { text: string; value: Buffer } {
  const at = member.indexOf(0, prefix.length)
  return { text: member.toString('utf8', prefix.length, at), value: member.subarray(at + 1) }
}

export function startsWith(member: Buffer | undefined, name: Buffer): member is Buffer {
  return member?.subarray(0, name.length).equals(name) === true
}

function rangeOf(letter: string, more: Buffer = Buffer.alloc(0)): Range {
  return { prefix: Buffer.concat([Buffer.from(letter), more]) }
}

function bucketOf(digest: Digest): string {
  return hexOf(digest).slice(0, bucketDigits)
}

function hashOf(key: RepositoryKey): Buffer {
  return createHash('sha256').update(keyText(key)).digest().subarray(0, repositoryHashBytes)
}
