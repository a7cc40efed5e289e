/** The documentation hangs together: links lead somewhere, and the index leads to every page. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'

const pages = ['README.md', 'CONTRIBUTING.md', ...globSync('docs/**/*.md')]

function linksOf(page: string): string[] {
  const targets = readFileSync(page, 'utf8').matchAll(/\]\(([^)#\s]+)/g)
  return [...targets]
    .map(([, target = '']) => target)
    .filter(target => !/^[a-z]+:/.test(target))
    .map(target => normalize(join(dirname(page), target)))
}

describe('documentation', () => {
  test('links lead to files that exist', () => {
    const broken = pages.flatMap(page =>
      linksOf(page)
        .filter(target => !existsSync(target))
        .map(target => `${page} → ${target}`),
    )
    expect(broken).toEqual([])
  })

  test('the index leads to every page but the single decisions', () => {
    const listed = new Set(linksOf('docs/index.md'))
    const unlisted = globSync('docs/*/*.md').filter(
      page => !listed.has(page) && !page.startsWith('docs/adr/'),
    )
    expect(unlisted).toEqual([])
  })
})
