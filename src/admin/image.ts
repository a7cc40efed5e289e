/** Which image, or repository, somebody means: `docker.io/library/alpine:3.20`, as clients write it. */
import { z } from 'zod'
import { parseReference, type Reference } from '../oci/reference.ts'
import type { Target } from '../pull/target.ts'
import type { Resolved, Resolver } from '../resolve/resolve.ts'
import { AdminError } from './failure.ts'

export interface Image {
  readonly resolved: Resolved
  /** Undefined: the repository. */
  readonly reference: Reference | undefined
}

export const imageName = z
  .string()
  .min(1)
  .describe(
    'As clients write it: `docker.io/library/alpine:3.20`, `ghcr.io/org/app@sha256:…`; without tag and digest the repository.',
  )

/**
 * With both a tag and a digest the digest counts, as it does for clients.
 *
 * @param ns as `effectiveNs` gave it
 * @throws RegistryError as the resolver and for what is neither tag nor digest
 */
export function parseImage(text: string, resolver: Resolver, ns?: string): Image {
  const [tagged = '', digest] = text.split('@', 2)
  const colon = tagged.indexOf(':', tagged.lastIndexOf('/') + 1)
  const name = colon < 0 ? tagged : tagged.slice(0, colon)
  const tag = colon < 0 ? undefined : tagged.slice(colon + 1)
  const reference = digest ?? tag
  return {
    resolved: resolver.resolve({ ns, name }),
    reference: reference === undefined ? undefined : parseReference(reference),
  }
}

/**
 * Of what an upstream gave.
 *
 * @param instead what to do with what was pushed
 * @throws AdminError CONFLICT (409) for what was pushed here and nowhere else
 */
export function cachedOf({ resolved }: Image, instead: string): Target {
  if (resolved.upstream) return resolved.upstream
  const { repository = '' } = resolved.local ?? {}
  throw new AdminError('CONFLICT', `${repository} was pushed here, and is no copy of anything: ${instead}`)
}
