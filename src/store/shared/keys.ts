/** The key of a path: where it lies below the root of the store. */
import { relative, sep } from 'node:path'
import type { Digest } from '../../oci/digest.ts'
import { hexOf } from '../../oci/digest.ts'
import { type Layout, shardOf } from '../layout.ts'

export type Area = 'cached' | 'pushed'

export function keyOf(layout: Layout, path: string): string {
  return relative(layout.root, path).replaceAll(sep, '/')
}

export function bytesKey(area: Area, digest: Digest): string {
  return `${area}/${shardOf(digest)}/${hexOf(digest)}`
}
