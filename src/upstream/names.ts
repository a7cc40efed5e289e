/** Which repositories may be asked for at an upstream at all. */
import type { RepositoryName } from '../oci/name.ts'
import { matchesPattern } from '../oci/pattern.ts'
import type { UpstreamOptions } from './upstream.ts'
import { UpstreamError } from './upstream-error.ts'

/** Denied wins over allowed; without allow patterns every name is. @throws UpstreamError not-allowed */
export function assertAllowed(
  { registry, allow, deny }: Pick<UpstreamOptions, 'registry' | 'allow' | 'deny'>,
  repository: RepositoryName,
): void {
  const denied = deny.find(pattern => matchesPattern(pattern, repository))
  if (denied !== undefined) {
    throw new UpstreamError(
      registry,
      'not-allowed',
      `${registry} ${repository} is denied by the pattern ${denied}`,
    )
  }
  if (allow.length === 0 || allow.some(pattern => matchesPattern(pattern, repository))) return
  throw new UpstreamError(
    registry,
    'not-allowed',
    `${registry} ${repository} is not among the names allowed for this upstream`,
  )
}
