/** Clients that are containerd underneath: 2.1.0 with its ranges everywhere, and BuildKit with a prefix and `ns`. */
import { Containerd, type ContainerdOptions } from './containerd.ts'

/** Sends `Range: bytes=0-` on every GET, manifests included. */
export function containerd210(options: ContainerdOptions): Containerd {
  return new Containerd({ ...options, rangeEverywhere: true, userAgent: 'containerd/v2.1.0' })
}

/** `mirrors = ["host:port/prefix"]`: the prefix goes behind `/v2`, and `ns` is sent as well. */
export function buildkit({
  mirror,
  prefix = '',
  ...options
}: Omit<ContainerdOptions, 'hosts'> & { mirror: string; prefix?: string }): Containerd {
  const path = prefix === '' ? '/v2' : `/v2/${prefix}`
  return new Containerd({ ...options, hosts: [{ url: mirror, path }], userAgent: 'buildkit/v0.24' })
}
