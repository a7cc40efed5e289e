/** The path of a pull reads from the top folder of src/ to the bottom one: an import may only point downwards. */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'

/** From top to bottom. Folders of one row know nothing of each other. */
const rows = [
  ['main.ts'],
  ['cli'],
  ['config'],
  ['admin'],
  ['edge'],
  ['access'],
  ['resolve'],
  ['push', 'collect', 'scrub'],
  ['pull', 'backup'],
  ['index'],
  ['cluster'],
  ['store'],
  ['upstream'],
  ['observe'],
  ['stream'],
  ['oci', 'runtime'],
]

const rank = new Map(rows.flatMap((row, at) => row.map(room => [room, at] as const)))
const room = (path: string) => path.split('/')[1] ?? ''
const files = globSync('src/**/*.ts').map(path => path.replaceAll('\\', '/'))

function importsOf(path: string): string[] {
  const specifiers = readFileSync(path, 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)
  return [...specifiers].map(([, specifier = '']) =>
    normalize(join(dirname(path), specifier)).replaceAll('\\', '/'),
  )
}

describe('architecture', () => {
  test('every folder of src/ has its place in the order', () => {
    expect(files.map(room).filter(name => !rank.has(name))).toEqual([])
  })

  test('imports point downwards', () => {
    const upward = files.flatMap(path =>
      importsOf(path)
        .filter(target => room(target) !== room(path))
        .filter(target => (rank.get(room(target)) ?? -1) <= (rank.get(room(path)) ?? -1))
        .map(target => `${path} imports ${target}`),
    )
    expect(upward).toEqual([])
  })

  test('only the admin API, the edge, access, the replicas, the upstream client, the object store and the command know HTTP', () => {
    const http = /from '(?:node:https?|undici|hono|@hono\/[^']+)'/
    const allowed = new Set(['admin', 'edge', 'access', 'cluster', 'upstream', 'cli'])
    const mayKnow = (path: string) => allowed.has(room(path)) || path.startsWith('src/store/s3/')
    expect(files.filter(path => !mayKnow(path) && http.test(readFileSync(path, 'utf8')))).toEqual([])
  })
})
