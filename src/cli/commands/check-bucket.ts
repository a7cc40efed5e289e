/** Whether the bucket of the configuration can be used as it is. */
import type { Config } from '../../config/config.ts'
import { type Objects, ObjectsFailure, type ObjectsTrouble } from '../../store/objects.ts'
import { openShared } from '../shared.ts'
import { type CheckedLinks, checkLinks } from './check-links.ts'

const toReach = 'check store.s3.endpoint and the network'
const advice: Partial<Record<ObjectsTrouble, string>> = {
  denied:
    'check store.s3.accessKeyId and secretAccessKey, or what the identity of this machine may do (s3:GetObject, PutObject, DeleteObject, ListBucket, AbortMultipartUpload)',
  missing: 'make the bucket, or correct store.s3.bucket and region',
  unreachable: toReach,
  timeout: toReach,
}

export interface Checked {
  readonly isUsable: boolean
  /** One line for a person. */
  readonly line: string
  /** Where clients are sent to the bucket: whether they get anything there. */
  readonly links?: CheckedLinks | undefined
}

/** Writes, reads and deletes objects of its own. Undefined where no bucket is configured. */
export async function checkBucket(config: Pick<Config, 'store'>): Promise<Checked | undefined> {
  const shared = await openShared(config)
  if (!shared) return undefined
  const { objects } = shared
  try {
    await objects.probe()
    const line = `${objects.name}: can be read and written, ${conditionsOf(objects)}`
    const { s3 } = config.store
    return { isUsable: true, line, links: s3?.links && (await checkLinks(objects, s3)) }
  } catch (error) {
    if (!(error instanceof ObjectsFailure)) throw error
    return { isUsable: false, line: `${error.said}${adviceFor(error)}` }
  } finally {
    objects.close()
  }
}

function conditionsOf({ isConditional, removesConditionally }: Objects): string {
  if (!isConditional)
    return 'but takes no conditional writes: of several replicas none may have immutable tags'
  if (removesConditionally) return 'and takes conditional writes'
  return 'and takes conditional writes, but no conditional deletes: a replica that hangs in the middle of a delete may take away what its successor wrote'
}

function adviceFor({ trouble }: ObjectsFailure): string {
  const known = advice[trouble]
  return known === undefined ? '' : `: ${known}`
}
