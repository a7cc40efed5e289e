/** Connections that the client library opens for itself, to learn where Redis is: it keeps their errors back, or prints them. */
import { connect as connectSocket } from 'node:net'
import { nextTick } from 'node:process'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { AbstractConnector, type Redis as Client, SentinelConnector } from 'ioredis'

/** Told of what the library says no more of than that a connection is closed. */
export type Hidden = (error: Error) => void

interface PlaceOptions {
  readonly host: string
  readonly port: number
  readonly tls?: ConnectionOptions
  readonly disconnectTimeout: number
}

/** For the servers of a Cluster: those that are asked who has which slots are connections that nobody can listen to. */
export function connectorOf(hidden: Hidden) {
  return class extends AbstractConnector {
    readonly #options: PlaceOptions

    constructor(options: unknown) {
      super((options as PlaceOptions).disconnectTimeout)
      this.#options = options as PlaceOptions
    }

    /** The library begins to listen a moment after it has the connection: it is made as late as it makes its own. */
    override async connect() {
      this.connecting = true
      await new Promise<void>(resolve => nextTick(resolve))
      if (!this.connecting) throw new Error('Connection is closed.')
      const { host, port, tls } = this.#options
      this.stream = tls ? connectTls({ host, port, ...tls }) : connectSocket({ host, port })
      this.stream.once('error', error => {
        this.firstError = error
        hidden(error)
      })
      return this.stream
    }
  }
}

/** What the library has for itself, and tests hold it to. */
interface SentinelClients {
  connectToSentinel(...args: readonly unknown[]): Client
  /** Listens for news of another master while there is a connection to one. */
  readonly failoverDetector: { cleanup(): void } | null
}

/**
 * For a master that Sentinels name: the errors of connections to them are heard, instead of printed, and news of another
 * master do not end the search for it.
 */
export function sentinelConnectorOf(hidden: Hidden) {
  return class extends SentinelConnector {
    readonly #library = this as unknown as SentinelClients

    constructor(options: unknown) {
      super(options as ConstructorParameters<typeof SentinelConnector>[0])
      const connect = this.#library.connectToSentinel.bind(this)
      this.#library.connectToSentinel = (...args) => connect(...args).on('error', hidden)
    }

    /** News that come now are none, and to the library they are a wish to be connected no more: it would never try again. */
    override connect(...args: Parameters<SentinelConnector['connect']>) {
      this.#library.failoverDetector?.cleanup()
      return super.connect(...args)
    }
  }
}
