/** Writes docs/reference/configuration.md from the schema, so that the reference cannot fall behind. */
import { readFileSync, writeFileSync } from 'node:fs'
import { z } from 'zod'
import { configSchema } from '../src/config/schema.ts'

interface SchemaNode {
  type?: string
  properties?: Record<string, SchemaNode>
  items?: SchemaNode
  default?: unknown
  description?: string
  form?: string
  fallback?: string
}

export const referencePath = new URL('../docs/reference/configuration.md', import.meta.url)
const examplePath = new URL('./configuration-example.yaml', import.meta.url)

/** Sections of their own, with what there is to say in front. */
const sections = [
  { path: 'upstreams[]', title: 'One upstream' },
  { path: 'local[]', title: 'One local namespace' },
]

export function renderReference(): string {
  const schema = z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' }) as SchemaNode
  const rows = rowsOf('', schema)
  const inSection = (row: Row) => sections.find(({ path }) => row.key.startsWith(`${path}.`))
  return [
    introduction,
    '## The whole file\n',
    table(rows.filter(row => !inSection(row))),
    ...sections.flatMap(section => [
      `\n## ${section.title}\n\nKeys under \`${section.path}\`.\n`,
      table(
        rows
          .filter(row => inSection(row) === section)
          .map(row => ({ ...row, key: row.key.slice(section.path.length + 1) })),
      ),
    ]),
    `\n## Example\n\n\`\`\`yaml\n${readExample().trimEnd()}\n\`\`\`\n`,
  ].join('\n')
}

/** Checked by a test: the example loads. */
export function readExample(): string {
  return readFileSync(examplePath, 'utf8')
}

interface Row {
  key: string
  form: string
  fallback: string
  meaning: string
}

/** A row for each value, and for each group of keys that has a meaning of its own. */
function rowsOf(key: string, node: SchemaNode): Row[] {
  const own = key === '' || !node.description ? [] : [rowOf(key, node)]
  if (node.description?.startsWith('As `')) return own // its keys are told there
  const children = [
    ...Object.entries(node.properties ?? {}).flatMap(([name, child]) =>
      rowsOf(`${key}${key && '.'}${name}`, child),
    ),
    ...(node.items?.properties ? rowsOf(`${key}[]`, { ...node.items, description: '' }) : []),
  ]
  return [...own, ...children]
}

function rowOf(key: string, node: SchemaNode): Row {
  const { description: meaning = '', form = '' } = node
  return { key, form, fallback: fallbackOf(node), meaning }
}

function fallbackOf({ default: value, fallback }: SchemaNode): string {
  if (fallback !== undefined) return fallback
  if (value === undefined) return ''
  return `\`${
    typeof value === 'string'
      ? value
      : JSON.stringify(value)
          .replaceAll(/"(\w+)":/g, '$1: ')
          .replaceAll(',', ', ')
  }\``
}

function table(rows: readonly Row[]): string {
  const cell = (text: string) => text.replaceAll('|', '\\|')
  const lines = rows.map(
    ({ key, form, fallback, meaning }) =>
      `| \`${key}\` | ${cell(form)} | ${cell(fallback)} | ${cell(meaning)} |`,
  )
  return ['| key | value | default | meaning |', '|---|---|---|---|', ...lines, ''].join('\n')
}

const introduction = `<!-- Written by scripts/config-reference.ts from the schema. Change that, then run npm run docs:reference. -->
# Configuration

One YAML file, \`upstreams.yaml\` unless \`--config\` names another. Only \`upstreams[].registry\` is required. \`layover check --config FILE\` prints what is in effect, without secrets, or every mistake with its line and column.

| value | is written |
|---|---|
| duration | \`250ms\`, \`5s\`, \`5m\`, \`1h\`, \`7d\`; where it says so also \`forever\` |
| size | bytes as a number, or \`64KiB\`, \`4MiB\`, \`50GiB\`, \`1TiB\` |
| pattern | \`*\` stays within a component of a name, \`**\` crosses: \`library/*\`, \`acme/**\` |
| path | relative to the folder of the configuration file |
| any text | \`\${NAME}\` in it is taken from the environment; \`$\${\` is a \`\${\` that stays |
| \`file:\` | \`file:\` and a path: the value is the file's content. For \`username\`, \`password\`, \`secret\`, \`sentinelUsername\`, \`sentinelPassword\` and \`token\` it is one line; \`ca\`, \`cert\` and \`key\` may also hold the PEM text itself, and \`jwks\` the JSON |

A change of the file, or of a file that it takes a secret from, is taken up at once, and on SIGHUP. A configuration with a mistake leaves the old one in force. \`listen\`, \`listeners\` (but for certificates and keys), \`admin\`, \`store.path\`, \`store.s3\`, \`index\`, \`replica\` and \`limits.memory\` take effect at the next start.
`

if (import.meta.main) writeFileSync(referencePath, renderReference())
