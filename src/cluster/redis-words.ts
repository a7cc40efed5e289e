/** What is wrong with Redis, as a person can act on it. */

const words: readonly (readonly [pattern: RegExp, words: string])[] = [
  [/ECONNREFUSED/, 'nothing listens there'],
  [/ENOTFOUND|EAI_AGAIN/, 'the host has no address'],
  [/EHOSTUNREACH|ENETUNREACH/, 'there is no way to that host'],
  [/ETIMEDOUT|Socket timeout/, 'it does not answer'],
  [/NOAUTH|WRONGPASS|invalid password|without any password/, 'it wants another user or password'],
  [/NOPERM/, 'its user may not do everything that is needed'],
  [/^OOM/, 'it is full: see its maxmemory'],
  [/^MISCONF/, 'it refuses writes, as it cannot write its own file'],
  [/^LOADING/, 'it is still reading its own file'],
  [/^READONLY/, 'it is a replica, which cannot be written'],
  [/CLUSTERDOWN|MASTERDOWN/, 'some of its servers are missing'],
  [/cluster support disabled/, 'it is no Cluster: write redis:// instead'],
  [/^MOVED/, 'it is a Cluster: write redis+cluster:// instead'],
  [/All sentinels are unreachable/, 'no Sentinel answers, or none knows a master of that name'],
  [/certificate|self-signed|altnames/, 'its certificate is not to be trusted: see `ca`'],
  [
    /wrong version number|packet length too long/,
    'it does not speak TLS: write redis:// instead of rediss://',
  ],
]

/** With the text that it came from. */
export function wordsFor(error: Error): string {
  const { code = '' } = error as { code?: string }
  const text = error.message || code || error.name
  const [, known] = words.find(([pattern]) => pattern.test(`${text} ${code}`)) ?? []
  return known === undefined ? text : `${known} (${text})`
}
