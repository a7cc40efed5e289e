/** `local[].quota`: how much a namespace may hold. */
import { z } from 'zod'
import { count, size } from './values.ts'

export const quota = z
  .strictObject({
    bytes: size({ min: 1 }).optional().meta({
      fallback: 'no limit',
      description:
        'Bytes of blobs and manifests, each counted once for each repository that holds it, and of uploads under way.',
    }),
    tags: count(1_000_000_000).optional().meta({ fallback: 'no limit', description: 'Tags.' }),
  })
  .refine(({ bytes, tags }) => bytes !== undefined || tags !== undefined, {
    error: 'expected at least one of bytes and tags',
  })
