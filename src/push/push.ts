/** The orchestration of a push: what was answered 201 is on disk, and belongs to its repository alone. */
import type { Room } from '../stream/room.ts'
import { Blobs } from './blobs.ts'
import type { PushDeps } from './deps.ts'
import { Manifests } from './manifests.ts'
import { Mounts } from './mounts.ts'
import { Quotas } from './quotas.ts'
import { Uploads } from './uploads.ts'

export interface Push {
  readonly uploads: Uploads
  readonly mounts: Mounts
  readonly manifests: Manifests
  readonly blobs: Blobs
  readonly quotas: Quotas
  /** For bodies that are held whole. */
  readonly room: Room
}

export function createPush(deps: PushDeps): Push {
  const quotas = new Quotas({ ...deps, usage: deps.holdings.usage })
  const parts = { ...deps, quotas }
  const uploads = new Uploads(parts)
  quotas.countSessionsBy(() => uploads.recount())
  return {
    uploads,
    mounts: new Mounts(parts),
    manifests: new Manifests(parts),
    blobs: new Blobs(deps),
    quotas,
    room: deps.room,
  }
}
