/** A server that Layover is compared with: how it is found, started and filled. */
import type { Certificate } from '../layover.ts'
import type { Server } from '../server.ts'
import type { Site } from '../site.ts'
import { pushShelf, type Shelf } from './shelf.ts'

export interface PeerOptions {
  /** Folder of its own; what it held there before, it holds. */
  home: string
  cores: string | undefined
  /** Undefined: plain HTTP. */
  certificate: Certificate | undefined
  /** URL of a registry: it caches what that has, and holds nothing of its own. */
  upstream?: string | undefined
  /** Processes, where it can be told. */
  workers?: number | undefined
}

export interface Peer {
  name: string
  /** Where a reader of the table gets it. */
  from: string
  /** The program; undefined: not installed. */
  find: () => string | undefined
  start: (program: string, options: PeerOptions) => Promise<Server>
  fill: (site: Site, place: { home: string; server: Server }, shelf: Shelf) => Promise<void>
  /** In front of an upstream's repositories; undefined: it does not cache blob by blob. */
  mirrorBase?: string
}

export const fillByPushing: Peer['fill'] = (site, { server }, shelf) => pushShelf(site, server, shelf)

export function urlOf(address: string, certificate: Certificate | undefined): string {
  return `${certificate ? 'https' : 'http'}://${address}`
}
