/** A bucket, with the AWS SDK loaded only where one is configured: it is larger than all the rest. */
import type { Objects } from '../objects.ts'
import type { S3Options } from './options.ts'

/** Talks to nobody yet. */
export async function openBucket(options: S3Options): Promise<Objects> {
  const { Bucket } = await import('./bucket.ts')
  return new Bucket(options)
}
