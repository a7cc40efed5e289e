/** The client library's connections, by what the address says: none queues a command, and all come back by themselves. */
import { Redis as Client, Cluster } from 'ioredis'
import type { RedisAddress } from './address.ts'
import { connectorOf, type Hidden, sentinelConnectorOf } from './connectors.ts'

export type RedisClient = Client | Cluster

export interface RedisOptions {
  readonly address: RedisAddress
  /** Besides what stands in the address. */
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly sentinelUsername?: string | undefined
  readonly sentinelPassword?: string | undefined
  /** In front of every key and channel. */
  readonly prefix: string
  /** PEM; what is undefined is not shown, or is the system's. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

const connectMs = 2000
/** A connection on which nothing comes back for so long is given up: its other end may be gone without a word. */
const silentMs = 2000
const slotsMs = 2000
const retry = { firstMs: 50, lastMs: 1000 }
const maxRedirections = 4
const redirectedMs = 20

/** @param hidden told of errors that the client says no more of than that a connection is closed */
export function connectRedis(options: RedisOptions, hidden: Hidden = () => {}): RedisClient {
  const { address } = options
  const common = commonOf(options)
  if (address.kind === 'single') {
    const { server, database: db } = address
    return new Client({ ...common, ...server, db, retryStrategy: pauseMs, enableOfflineQueue: false })
  }
  if (address.kind === 'sentinel') return sentinelClient(options, hidden)
  return new Cluster(
    address.nodes.map(node => ({ ...node })),
    {
      redisOptions: { ...common, Connector: connectorOf(hidden) },
      clusterRetryStrategy: pauseMs,
      enableOfflineQueue: false,
      maxRedirections,
      retryDelayOnFailover: redirectedMs,
      retryDelayOnClusterDown: redirectedMs,
      retryDelayOnTryAgain: redirectedMs,
      slotsRefreshTimeout: slotsMs,
      slotsRefreshInterval: silentMs,
      ...(address.isTls ? { dnsLookup: (host, done) => done(null, host) } : {}), // certificates carry names
    },
  )
}

function sentinelClient(options: RedisOptions, hidden: Hidden): Client {
  const { address, sentinelUsername, sentinelPassword } = options
  if (address.kind !== 'sentinel') throw new TypeError('not an address of Sentinels')
  return new Client({
    ...commonOf(options),
    Connector: sentinelConnectorOf(hidden),
    sentinels: address.sentinels.map(sentinel => ({ ...sentinel })),
    name: address.master,
    db: address.database,
    sentinelUsername,
    sentinelPassword,
    sentinelCommandTimeout: connectMs,
    sentinelRetryStrategy: pauseMs,
    ...(address.isTls ? { enableTLSForSentinelMode: true, sentinelTLS: { ...options.tls } } : {}),
    failoverDetector: true,
    retryStrategy: pauseMs,
    enableOfflineQueue: false,
  })
}

function commonOf({ address, username, password, tls }: RedisOptions) {
  return {
    protocol: 2 as const,
    username: username ?? address.username,
    password: password ?? address.password,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false, // a promise that nobody awaits: messages are subscribed to anew by who wants them
    connectTimeout: connectMs,
    socketTimeout: silentMs,
    disableClientInfo: true,
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'), // it is a master no more
    ...(address.isTls ? { tls: { ...tls } } : {}),
  }
}

function pauseMs(tries: number): number {
  return Math.min(retry.firstMs * 2 ** (tries - 1), retry.lastMs)
}
