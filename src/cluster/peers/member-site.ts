/** Where a replica keeps what it has: those that share a Redis by mistake are told apart by it. */

export interface MemberSite {
  /** Id of the bucket, or `unknownBucket`; undefined: it has disks alone. */
  readonly bucket: string | undefined
  /** Whom its configuration names as the owner of the local names; undefined: nobody. */
  readonly owner: string | undefined
}

/** It has one, and has not reached it yet. */
export const unknownBucket = 'unknown'
/** Stands for what there is not. */
const none = '-'

/** As one line. */
export function formatSite({ bucket = none, owner = none }: MemberSite): string {
  return `${bucket} ${owner}`
}

/** Undefined: it says something that this program does not know. */
export function parseSite(text: string): MemberSite | undefined {
  const [bucket, owner, ...more] = text.split(' ')
  if (bucket === undefined || owner === undefined || more.length > 0) return undefined
  return { bucket: bucket === none ? undefined : bucket, owner: owner === none ? undefined : owner }
}

/** For people. */
export function describeSite({ bucket, owner }: MemberSite): string {
  if (bucket !== undefined) return bucket === unknownBucket ? 'a bucket' : `the bucket with the id ${bucket}`
  return owner === undefined ? 'a disk of its own' : `a disk of its own, with the owner ${owner}`
}

/** Whether the two cannot belong together, as far as both are known. */
export function areApart(one: MemberSite, other: MemberSite): boolean {
  if (one.bucket === undefined && other.bucket === undefined)
    return one.owner !== undefined && other.owner !== undefined && one.owner !== other.owner
  if (one.bucket === unknownBucket && other.bucket !== undefined) return false
  if (other.bucket === unknownBucket && one.bucket !== undefined) return false
  return one.bucket !== other.bucket
}
