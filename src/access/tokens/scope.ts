/** What a token is asked for, and what it is good for: the grammar of distribution's `scope.md`. */

export interface Scope {
  readonly type: 'repository' | 'registry'
  readonly name: string
  /** In the order `pull`, `push`, `delete`, each once; of the registry `*`. */
  readonly actions: readonly string[]
}

/** A token has to stay within what a header takes. */
const mostScopes = 100
const mostBytes = 4096

const verbs = ['pull', 'push', 'delete']

/** Of a repository, the registry's host and port in front of it included; whether it is a good one is found out later. */
const nameForm = /^[A-Za-z0-9[][A-Za-z0-9._:/[\]-]*$/

/**
 * One scope a name, by name: what is no scope, of a class that we do not know or beyond the bounds is left out, since
 * a token for less than was asked is no error.
 *
 * @param texts values of `scope`, each perhaps several scopes with spaces between them
 */
export function parseScopes(texts: readonly string[]): readonly Scope[] {
  const found = new Map<string, Scope>()
  for (const text of withinBounds(texts)) {
    const scope = parseScope(text)
    if (!scope) continue
    const key = formatScope({ ...scope, actions: [] })
    const { actions = [] } = found.get(key) ?? {}
    if (actions.length === 0 && found.size === mostScopes) continue
    found.set(key, { ...scope, actions: inOrder([...actions, ...scope.actions]) })
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, scope]) => scope)
}

/** `repository:team/app:pull,push registry:catalog:*` */
export function formatScopes(scopes: readonly Scope[]): string {
  return scopes.map(formatScope).join(' ')
}

function formatScope({ type, name, actions }: Scope): string {
  return `${type}:${name}:${actions.join(',')}`
}

function* withinBounds(texts: readonly string[]): Generator<string> {
  let left = mostBytes
  for (const text of texts) {
    for (const word of text.slice(0, left + 1).split(' ')) {
      left -= word.length + 1
      if (left < -1) return // it may have been cut
      yield word
    }
  }
}

/** `<type>:<name>:<actions>`, where the name may hold colons. Undefined for what means nothing to us. */
function parseScope(text: string): Scope | undefined {
  const first = text.indexOf(':')
  const last = text.lastIndexOf(':')
  if (first < 1 || first === last) return undefined
  const type = text.slice(0, first)
  const name = text.slice(first + 1, last)
  const words = text.slice(last + 1).split(',')
  if (type === 'registry') {
    return name === 'catalog' && words.includes('*') ? { type, name, actions: ['*'] } : undefined
  }
  const actions = words.includes('*') ? verbs : inOrder(words)
  if (type !== 'repository' || actions.length === 0 || !nameForm.test(name)) return undefined
  return { type, name, actions }
}

function inOrder(words: readonly string[]): readonly string[] {
  return words.includes('*') ? ['*'] : verbs.filter(verb => words.includes(verb))
}
