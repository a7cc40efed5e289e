/** What clients reach: the server of HTTP, with who answers what. */
import type { Replicas } from '../cluster/replicas.ts'
import type { Config } from '../config/config.ts'
import { proxiesOf } from '../edge/gate/client-address.ts'
import { answerTokens } from '../edge/gate/token-desk.ts'
import { answerRegistry, type RegistryDeps } from '../edge/registry.ts'
import { asItsClients } from '../edge/replicas/replica-origin.ts'
import { createEdge, type Edge, type EdgeDeps } from '../edge/server.ts'
import type { Parts } from './parts.ts'
import { answerReplicas } from './replicas.ts'

export interface FrontDeps extends Pick<EdgeDeps, 'log' | 'lines' | 'metrics'> {
  /** In force at the moment. */
  readonly config: () => Config
  /** Of the configuration in force. */
  readonly registry: () => RegistryDeps
  readonly replicas: Replicas | undefined
  readonly scrape: EdgeDeps['pages']['scrape']
}

/** Of the process that answers everything. */
export function createFront(
  { store, hotPath, gate, keeper, replica }: Parts,
  { config, registry, replicas, scrape, ...deps }: FrontDeps,
): Edge {
  return createEdge({
    ...deps,
    ...bounds(config),
    hotPath,
    gate,
    asItsClients: exchange => asItsClients(exchange, replica?.signatures),
    answer: exchange =>
      replica?.answer(exchange) ??
      answerReplicas(exchange, replicas, registry()) ??
      answerTokens(exchange, {
        desk: keeper.desk,
        resolver: registry().resolver,
        publicUrl: config().publicUrl,
      }) ??
      answerRegistry(exchange, registry()),
    pages: { probe: () => store.probe(), scrape },
  })
}

type Bounds = Pick<
  EdgeDeps,
  'maxConnections' | 'connectionsPerClient' | 'proxies' | 'headersMs' | 'stalledMs'
>

/** Read each time, so that a reload takes effect at once. */
export function bounds(config: () => Config): Bounds {
  const limits = () => config().limits
  return {
    maxConnections: () => limits().connections,
    connectionsPerClient: () => limits().connectionsPerClient,
    proxies: proxiesOf(config),
    headersMs: () => limits().headersMs,
    stalledMs: () => limits().stalledMs,
  }
}
