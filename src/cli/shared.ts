/** The bucket of the configuration, if it has one. */
import type { Config } from '../config/config.ts'
import { openBucket } from '../store/s3/open.ts'
import type { SharedOptions } from '../store/shared/shared.ts'

/** Talks to nobody yet. */
export async function openShared({ store }: Pick<Config, 'store'>): Promise<SharedOptions | undefined> {
  if (!store.s3) return undefined
  const { cached, ...options } = store.s3
  return { objects: await openBucket(options), keepsCached: cached }
}
