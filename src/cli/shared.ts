/** What replicas share: the bucket of the configuration, if it has one, and Redis. */
import { BackupFailed } from '../backup/failure.ts'
import { type MemberSite, unknownBucket } from '../cluster/peers/member-site.ts'
import type { Config } from '../config/config.ts'
import type { Logger } from '../observe/log.ts'
import { ObjectsFailure } from '../store/objects.ts'
import { openBucket } from '../store/s3/open.ts'
import type { SharedOptions } from '../store/shared/shared.ts'
import type { Store } from '../store/store.ts'
import { StoreUnusable } from '../store/unusable.ts'

/** Talks to nobody yet. @param assertOwner throws when another process may write records of local repositories by now */
export async function openShared(
  { store }: Pick<Config, 'store'>,
  assertOwner = () => {},
): Promise<SharedOptions | undefined> {
  if (!store.s3) return undefined
  const { cached, linkedFrom, patienceMs, ...options } = store.s3
  return { objects: await openBucket(options), keepsCached: cached, linkedFrom, patienceMs, assertOwner }
}

/** @throws BackupFailed: a backup knows the disk alone */
export function assertOnDisk({ store }: Pick<Config, 'store'>, what: 'back up' | 'restore'): void {
  if (!store.s3) return
  throw new BackupFailed(
    `what was pushed lies in the bucket ${store.s3.bucket}: ${what} that, with what its service has for it`,
  )
}

/** @throws StoreUnusable where replicas share a bucket: what pushes lean on is known to the one that takes them */
export function assertAlone({ store, replica }: Pick<Config, 'store' | 'replica'>): void {
  if (!store.s3 || !replica) return
  throw new StoreUnusable(
    `replicas share the bucket ${store.s3.bucket}: the one that owns the local names collects, beside the pushes that it takes`,
  )
}

/** For the person who asks about a store of which only the disk is looked at. */
export function noteOnBucket({ store }: Pick<Config, 'store'>, isNotDone: string): string {
  return store.s3 ? `of the disk alone: what lies in the bucket ${store.s3.bucket} is ${isNotDone}\n` : ''
}

/** What this replica has in common with those that it belongs to. @param opened undefined: nothing is known of it yet */
export function siteOf(
  { store, replica }: Pick<Config, 'store' | 'replica'>,
  opened?: Pick<Store, 'shared'>,
): MemberSite {
  const bucket = store.s3 ? (opened?.shared?.id ?? unknownBucket) : undefined
  return { bucket, owner: replica?.owner }
}

/** A start waits for no bucket: what is proxied goes on without it, and a failure is told of. Never rejects. */
export async function meetBucket({ shared }: Pick<Store, 'shared'>, log: Logger): Promise<void> {
  if (!shared) return
  try {
    await shared.assertUsable()
    log.info({ store: shared.name, conditionalWrites: shared.isConditional }, 'the bucket is in use')
  } catch (error) {
    if (!(error instanceof ObjectsFailure)) log.error({ err: error }, 'the bucket cannot be looked at')
  }
}
