/** Which image a key of the kubelet's credentials is for: `*.dkr.ecr.*.amazonaws.com`, `gcr.io/team`, `host:5000`. */

interface Place {
  /** Parts of the host between dots. */
  readonly labels: readonly string[]
  readonly port: string
  /** Begins with a slash, or is nothing. */
  readonly path: string
}

/** As the kubelet orders them: of several keys the one that is later in the alphabet. */
export function bestKey(keys: readonly string[], image: string): string | undefined {
  return keys
    .filter(key => matches(key, image))
    .sort()
    .at(-1)
}

/** As many labels, each of which matches; the same port; the path is a prefix. `*` stays within a label. */
export function matches(key: string, image: string): boolean {
  const wanted = parse(key.replace(/^https?:\/\//, ''))
  const given = parse(image)
  return (
    wanted.port === given.port &&
    wanted.labels.length === given.labels.length &&
    given.path.startsWith(wanted.path) &&
    wanted.labels.every((label, at) => matchesLabel(label, given.labels[at] ?? ''))
  )
}

function parse(text: string): Place {
  const slash = text.indexOf('/')
  const authority = slash < 0 ? text : text.slice(0, slash)
  const [, host = authority, port = ''] = /^(.*):(\d+)$/.exec(authority) ?? []
  return { labels: host.split('.'), port, path: slash < 0 ? '' : text.slice(slash).replace(/\/$/, '') }
}

/** Without a regular expression, which many stars would make slow. */
function matchesLabel(pattern: string, label: string): boolean {
  const [first = '', ...rest] = pattern.split('*')
  if (rest.length === 0) return pattern === label
  const last = rest.pop() ?? ''
  if (!label.startsWith(first) || !label.endsWith(last)) return false
  let at = first.length
  for (const part of rest) {
    const found = label.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return at <= label.length - last.length
}
