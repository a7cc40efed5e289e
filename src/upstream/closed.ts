/** An upstream in a process that talks to none: its names and rules are known, and asking it fails. */
import type { RepositoryName } from '../oci/name.ts'
import { assertAllowed } from './names.ts'
import type { Upstream, UpstreamOptions } from './upstream.ts'
import { UpstreamError } from './upstream-error.ts'

export function closedUpstream(options: UpstreamOptions): Upstream {
  const { registry } = options
  const fail = () =>
    Promise.reject(new UpstreamError(registry, 'unreachable', `this process does not talk to ${registry}`))
  const closed: Upstream = {
    registry,
    options,
    identity: 'closed',
    assertAllowed: (repository: RepositoryName) => assertAllowed(options, repository),
    headManifest: fail,
    getManifest: fail,
    headBlob: fail,
    openBlob: fail,
    listTags: fail,
    listReferrers: fail,
    pausedMs: () => 0,
    resting: () => [],
    close: async () => {},
    as: () => closed,
    destroy: async () => {},
  }
  return closed
}
