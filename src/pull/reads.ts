/** The reads that any process can answer, be it only where it has what is asked for. */
import type { Blobs } from './blobs.ts'
import type { LocalPull } from './local.ts'
import type { Manifests } from './manifests/manifests.ts'

export interface Reads {
  readonly manifests: Pick<Manifests, 'get'>
  readonly blobs: Pick<Blobs, 'get' | 'head'>
  /** What was pushed here. */
  readonly local: Pick<LocalPull, 'manifest' | 'blob' | 'blobHead' | 'held' | 'fetchesBytes' | 'bytes'>
}
