/** The rows that compare Layover with nginx and other registries, by name: `node bench/run.ts peers` runs all of them. */
import type { Figure } from '../figure.ts'
import { coldPeers, herdPeers } from '../rows/peers/cold.ts'
import { idlePeers } from '../rows/peers/idle.ts'
import { largeBlobs } from '../rows/peers/large.ts'
import { stalled, underLoad } from '../rows/peers/latency.ts'
import { manyTags } from '../rows/peers/many-tags.ts'
import { nodeStart, nodeStartCold } from '../rows/peers/node-start.ts'
import { pushPeers } from '../rows/peers/pushes.ts'
import { manifests, secure, smallBlobs } from '../rows/peers/small.ts'
import { workers } from '../rows/peers/workers.ts'
import type { Site } from '../site.ts'

export const peerRows: Readonly<Record<string, (site: Site) => Promise<Figure[]>>> = {
  'peers-manifest': manifests,
  'peers-4k': smallBlobs,
  'peers-large': largeBlobs,
  'peers-tls': secure,
  'peers-latency': underLoad,
  'peers-stalled': stalled,
  'peers-tags': manyTags,
  'peers-nodes': nodeStart,
  'peers-nodes-cold': nodeStartCold,
  'peers-cold': coldPeers,
  'peers-herd': herdPeers,
  'peers-push': pushPeers,
  'peers-idle': idlePeers,
  workers,
}
