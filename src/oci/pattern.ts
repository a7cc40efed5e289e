/** Patterns over names and tags: `*` stays within a component, `**` crosses components. */

/** `**` followed by a slash stands for any number of whole components, none included. */
const tokens = /\*\*\/|\*\*|\*|[^*]/gu

export function matchesPattern(pattern: string, name: string): boolean {
  const star = pattern.indexOf('*')
  if (star < 0) return name === pattern
  if (!name.startsWith(pattern.slice(0, star))) return false
  const rest = pattern.slice(star)
  if (rest === '**') return true
  if (rest === '*') return !name.includes('/', star)
  return reaches(pattern, name)
}

/**
 * Keeps the set of places in the name that the pattern may have come to, so that the work is bounded by
 * pattern times name, whatever the pattern: configuration cannot make a request slow.
 */
function reaches(pattern: string, name: string): boolean {
  let reached = new Uint8Array(name.length + 1)
  reached[0] = 1
  let previous = '/'
  for (const [token] of pattern.matchAll(tokens)) {
    // In the middle of a component, `a**/b` is a plain `**` and a slash.
    if (token === '**/' && previous !== '/') reached = step(step(reached, '**', name), '/', name)
    else reached = step(reached, token, name)
    previous = token.at(-1) ?? ''
  }
  return reached[name.length] === 1
}

function step(reached: Uint8Array, token: string, name: string): Uint8Array<ArrayBuffer> {
  if (token === '*') return spread(reached, at => name[at] !== '/')
  if (token === '**') return spread(reached, () => true)
  if (token === '**/') return afterSlashes(reached, name)
  const next = new Uint8Array(reached.length)
  for (let at = 0; at < name.length; at++) {
    if (reached[at] === 1 && name.startsWith(token, at)) next[at + token.length] = 1
  }
  return next
}

/** From every place reached, as far on as the characters may be stepped over. */
function spread(reached: Uint8Array, crosses: (at: number) => boolean): Uint8Array<ArrayBuffer> {
  const next = Uint8Array.from(reached)
  for (let at = 0; at + 1 < next.length; at++) {
    if (next[at] === 1 && crosses(at)) next[at + 1] = 1
  }
  return next
}

function afterSlashes(reached: Uint8Array, name: string): Uint8Array<ArrayBuffer> {
  const next = Uint8Array.from(reached)
  let begun = false
  for (let at = 0; at < name.length; at++) {
    begun ||= reached[at] === 1
    if (begun && name[at] === '/') next[at + 1] = 1
  }
  return next
}
