/** What is wrong with Redis, as a person can act on it. */

const words: readonly (readonly [pattern: RegExp, words: string])[] = [
  [/ECONNREFUSED/, 'nothing listens there'],
  [/ENOTFOUND|EAI_AGAIN/, 'the host has no address'],
  [/EHOSTUNREACH|ENETUNREACH/, 'there is no way to that host'],
  [/ETIMEDOUT|Socket timeout/, 'it does not answer'],
  [/NOPERM|can't run this command/, 'its user may not do everything that the how-to on Redis lists'],
  [/^OOM/, 'it is full: see its maxmemory'],
  [/^MISCONF/, 'it refuses writes, as it cannot write its own file'],
  [/^LOADING/, 'it is still reading its own file'],
  [/^READONLY/, 'it is a replica, which cannot be written'],
  [/CLUSTERDOWN|MASTERDOWN/, 'some of its servers are missing'],
  [/cluster support disabled/, 'it is no Cluster: write redis:// instead'],
  [/^MOVED/, 'it is a Cluster: write redis+cluster:// instead'],
  [/No such master/, 'they know none of that name, which stands at the end of the URL'],
  [/alert.*(?:certificate|unknown ca)/, 'it wants a certificate of ours: see `cert` and `key`'],
  [/certificate|self-signed|altnames/, 'its certificate is not to be trusted: see `ca`'],
  [
    /wrong version number|packet length too long/,
    'it does not speak TLS: write redis:// instead of rediss://',
  ],
]

const unknownUser = /NOAUTH|WRONGPASS|invalid password|without any password/
/** With the last error at any of them; without one, all answered, and none knows the master. */
const noSentinel = /^All sentinels are unreachable\b.*?(?:Last error: (.*))?$/s
/** All that the client library tells where it keeps the cause back. */
const closed = 'Connection is closed.'

/**
 * With the text that it came from.
 *
 * @param hidden stands for what the error says too little of
 */
export function wordsFor(error: Error, hidden?: Error): string {
  const text = textOf(error)
  const asked = noSentinel.exec(text)
  if (!asked) return wordsForText(withHidden(text, hidden), 'see `username` and `password`')
  const last = withHidden(asked[1] ?? 'No such master', hidden)
  return `no Sentinel names the master: ${wordsForText(last, 'see `sentinelUsername` and `sentinelPassword`')}`
}

function withHidden(text: string, hidden: Error | undefined): string {
  return text === closed && hidden ? textOf(hidden) : text
}

function wordsForText(text: string, users: string): string {
  if (unknownUser.test(text)) return `it wants another user or password: ${users} (${text})`
  const [, known] = words.find(([pattern]) => pattern.test(text)) ?? []
  return known === undefined ? text : `${known} (${text})`
}

/** An error of several addresses has nothing but a code. */
function textOf(error: Error): string {
  const { code = '' } = error as { code?: string }
  return error.message || code || error.name
}
