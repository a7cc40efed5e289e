/** How a bucket is reached. */

export interface S3Options {
  readonly bucket: string
  readonly region: string
  /** Undefined: AWS. */
  readonly endpoint: string | undefined
  /** In front of every key, without a slash at either end; '' for none. */
  readonly prefix: string
  /** The bucket stands in the path and not in the host. */
  readonly pathStyle: boolean
  /** Undefined: the chain of the AWS SDK (environment, files, the pod's or the machine's identity). */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined
  /** Certificates in PEM form that are trusted besides the system's; undefined: only those. */
  readonly ca: string | undefined
  readonly timeouts: {
    readonly connectMs: number
    /** For a small request with all of its tries. */
    readonly requestMs: number
    /** How long a transfer may bring nothing. */
    readonly idleMs: number
  }
  /** Connections at once. */
  readonly connections: number
  /** Undefined: clients get none. */
  readonly links?: LinkOptions | undefined
}

/** Of addresses that are given to clients. */
export interface LinkOptions {
  /** Where clients reach the service; undefined: where we do. */
  readonly endpoint: string | undefined
  /** They end sooner where the credentials do. */
  readonly validMs: number
}
