/** The orchestration of a push: what was answered 201 is on disk, and belongs to its repository alone. */
import type { Room } from '../stream/room.ts'
import { Blobs } from './blobs.ts'
import type { PushDeps } from './deps.ts'
import { Manifests } from './manifests.ts'
import { Mounts } from './mounts.ts'
import { Uploads } from './uploads.ts'

export interface Push {
  readonly uploads: Uploads
  readonly mounts: Mounts
  readonly manifests: Manifests
  readonly blobs: Blobs
  /** For bodies that are held whole. */
  readonly room: Room
}

export function createPush(deps: PushDeps): Push {
  return {
    uploads: new Uploads(deps),
    mounts: new Mounts(deps),
    manifests: new Manifests(deps),
    blobs: new Blobs(deps),
    room: deps.room,
  }
}
