/** What somebody meant who wrote a word that there is not. */

/** The first of the words that is a slip away: two characters, or half of a short word. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  return known.find(name => distance(name, word) <= Math.min(2, word.length / 2))
}

/** Levenshtein's: how many characters differ. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      const replaced = (row[j] ?? 0) + (b[j] === a[i] ? 0 : 1)
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
