/** The table from clause to test is true: what it names exists, and nothing of the specification is left out. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

const endpoints = `
  end-1 end-2 end-3 end-4a end-4b end-4c end-5 end-6 end-7a end-7b end-8a end-8b end-9 end-10
  end-11 end-12a end-12b end-13 end-14
`
const codes = `
  BLOB_UNKNOWN BLOB_UPLOAD_INVALID BLOB_UPLOAD_UNKNOWN DIGEST_INVALID MANIFEST_BLOB_UNKNOWN
  MANIFEST_INVALID MANIFEST_UNKNOWN NAME_INVALID NAME_UNKNOWN SIZE_INVALID UNAUTHORIZED DENIED
  UNSUPPORTED TOOMANYREQUESTS
`
const extensions = '_catalog _oci/ext/discover'

interface Row {
  readonly clause: string
  readonly tests: readonly { readonly file: string; readonly title: string }[]
}

const rows = readFileSync('docs/reference/protocol-coverage.md', 'utf8')
  .split('\n')
  .flatMap(line => rowOf(line) ?? [])

function rowOf(line: string): Row | undefined {
  const [, clause, , held] =
    line.split(' | ').length === 3 ? (/^\| (.+?) \| (.+?) \| (.+) \|$/.exec(line) ?? []) : []
  if (clause === undefined || held === undefined || clause === 'clause') return undefined
  const tests = held.split('<br>').map(reference => {
    const [, file = '', title = ''] = /^`(.+?)`: (.+)$/.exec(reference) ?? []
    return { file, title }
  })
  return { clause, tests }
}

function holds(file: string, title: string): boolean {
  const source = existsSync(file) ? readFileSync(file, 'utf8').replaceAll("\\'", "'") : ''
  return ["'", '"', '`'].some(quote => source.includes(quote + title + quote))
}

describe('the table of protocol coverage', () => {
  test('names tests that exist', () => {
    const named = rows.flatMap(({ clause, tests }) =>
      tests.map(({ file, title }) => ({ clause, file, title })),
    )
    expect(named.filter(({ file, title }) => !holds(file, title))).toEqual([])
  })

  test('has every endpoint, error code and extension of the specification', () => {
    const clauses = new Set(rows.map(({ clause }) => clause))
    const wanted = `${endpoints} ${codes} ${extensions}`.trim().split(/\s+/)
    expect(wanted.filter(clause => !clauses.has(clause))).toEqual([])
  })

  test('names every file of tests about pushing', () => {
    const named = new Set(rows.flatMap(({ tests }) => tests.map(({ file }) => file)))
    expect(globSync('test/http/push/*.test.ts').filter(file => !named.has(file))).toEqual([])
  })
})
