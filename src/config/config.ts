/** The configuration in force: checked, complete, secrets resolved. Times in milliseconds, sizes in bytes. */

import type { AccessOptions } from '../access/options.ts'
import type { PolicySet } from '../access/policy/policies.ts'
import type { AdminAddress } from '../admin/listen.ts'
import type { RedisOptions } from '../cluster/redis/redis.ts'
import type { Pin } from '../collect/pins.ts'
import type { ListenAddress } from '../edge/listener.ts'
import type { CachePolicy, LocalNamespace } from '../pull/target.ts'
import type { S3Options } from '../store/s3/options.ts'
import type { UpstreamOptions } from '../upstream/upstream.ts'

export interface Config {
  readonly listen: readonly ListenAddress[]
  /** Our own names: an `ns` equal to one counts as none. */
  readonly hosts: readonly string[]
  /** Without a trailing slash. */
  readonly publicUrl: string | undefined
  /** Address ranges of the proxies in front of us, in CIDR notation. */
  readonly trustedProxies: readonly string[]
  /** Where the admin API listens besides its socket; undefined: nowhere. */
  readonly admin: AdminAddress | undefined
  readonly store: {
    readonly path: string
    /** Undefined: the disk is all there is. */
    readonly s3?: S3Config | undefined
  }
  /** Undefined: SQLite, in the store. */
  readonly index: RedisOptions | undefined
  readonly collection: {
    /** How often garbage of pushed content is collected; 0: never. */
    readonly everyMs: number
    /** How long what nothing needs is kept. */
    readonly graceMs: number
  }
  readonly capacity: {
    /** Bytes; `Infinity`: as many as the disk takes. */
    readonly maxBytes: number
    /** Undefined: the default. */
    readonly minFree: DiskShare | undefined
  }
  readonly scrub: {
    /** How often what is stored is read and checked; 0: never. */
    readonly everyMs: number
    /** 0: no limit. */
    readonly bytesPerSecond: number
  }
  /** Undefined: one replica alone. */
  readonly replica: ReplicaConfig | undefined
  readonly limits: Limits
  readonly upstreams: readonly UpstreamConfig[]
  /** The first whose pattern matches a name has it. */
  readonly local: readonly LocalNamespace[]
  /** Undefined: anyone may pull, and only the machine itself push. */
  readonly access?: AccessOptions | undefined
  /** What upstreams and namespaces allow of that which the policy for all allows. */
  readonly policies: Omit<PolicySet, 'global'>
}

export interface S3Config extends S3Options {
  /** What was fetched from upstreams goes there too. */
  readonly cached: boolean
  /** Clients read what has at least so many bytes from the bucket themselves; undefined: nothing. */
  readonly linkedFrom?: number | undefined
  /** Who can do without the bucket waits no longer for what it has. */
  readonly patienceMs: number
}

/** One of several that work as one. */
export interface ReplicaConfig {
  /** Origin at which the others reach it. */
  readonly advertise: string
  /** The same for all. */
  readonly secret: string
  /** PEM; undefined: what Node trusts. */
  readonly ca: string | undefined
  /** Origin of the one that owns the local namespaces. */
  readonly owner: string | undefined
}

/** So many bytes of a disk, and such a share of it. */
export interface DiskShare {
  readonly bytes: number
  /** From 0 to 1. */
  readonly share: number
}

export interface Limits {
  /** Bytes of the largest manifest. */
  readonly manifest: number
  /** Open connections of clients, per listening address. */
  readonly connections: number
  /** Open connections of one client's address, per listening address; 0: as many as there may be in all. */
  readonly connectionsPerClient: number
  /** How long transfers may go on after SIGTERM. */
  readonly drainMs: number
  /** How long the bytes of an unfinished fetch are kept to be continued. */
  readonly partialMs: number
  /** How long a client may take no bytes of an answer, or send none of a body, before it is cut off. */
  readonly stalledMs: number
  /** Bytes a second that a body has to bring, over each `stalledMs`. */
  readonly slowest: number
  /** For the headers of a request to arrive. */
  readonly headersMs: number
  /** Bytes of what is being pushed, held in memory. */
  readonly pushMemory: number
  /** Bytes of the largest blob that is pushed. */
  readonly upload: number
  /** How long an upload session that gets no bytes is kept. */
  readonly uploadIdleMs: number
  /** Open upload sessions. */
  readonly uploads: number
  /** Bytes of answers kept in memory. */
  readonly memory: number
  /** Entries of one page of a listing. */
  readonly page: number
}

export interface UpstreamConfig {
  readonly options: UpstreamOptions
  readonly aliases: readonly string[]
  /** Also serves names that carry no registry; true for one at most. */
  readonly isDefault: boolean
  /** What our credentials can pull, everybody may. */
  readonly shareWithEveryone: boolean
  readonly policy: CachePolicy
  /** What of it is kept. */
  readonly keeping: Keeping
}

export interface Keeping {
  /** Bytes; `Infinity`: no limit of its own. */
  readonly maxBytes: number
  /** How long what nobody asks for is kept. */
  readonly unusedMs: number
  /** What is never evicted. */
  readonly pins: readonly Pin[]
}
