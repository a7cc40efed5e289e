/** Loads the configuration: the file, the secrets it refers to, and every mistake in it at once. */
import { resolve } from 'node:path'
import { assemble } from './assemble.ts'
import type { Config } from './config.ts'
import { ConfigDocument } from './document.ts'
import { effective } from './effective.ts'
import { issueProblems } from './issues.ts'
import { ConfigError, type Origin, type Problem } from './problem.ts'
import { type Resolution, resolveReferences } from './references.ts'
import { breaches } from './rules.ts'
import { type ConfigFile, configSchema } from './schema.ts'
import { readFailure, Sources } from './sources.ts'

export interface LoadedConfig extends Origin {
  /** As it was given. */
  readonly path: string
  readonly config: Config
  /** The configuration in the form of its file, complete and without secrets. */
  readonly redacted: unknown
  /** What is no mistake, and should be seen to. */
  readonly warnings: readonly Problem[]
}

/** @throws ConfigError with every problem found */
export async function loadConfig(
  path: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<LoadedConfig> {
  const sources = new Sources(path)
  const checked = await check(path, sources, env)
  const { files, fingerprint } = sources
  if ('problems' in checked) throw new ConfigError(path, checked.problems, { files, fingerprint })
  const { file, warnings } = checked
  const config = assemble(file, each => sources.resolve(each))
  return { path, config, redacted: effective(config), warnings, files, fingerprint }
}

type Checked = { file: ConfigFile; warnings: Problem[] } | { problems: Problem[] }

async function check(
  path: string,
  sources: Sources,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Checked> {
  let text: string
  try {
    text = await sources.read(resolve(path))
  } catch (error) {
    return { problems: [wholeFile(`cannot be read: ${readFailure(error)}`)] }
  }
  const document = new ConfigDocument(text)
  const syntax = document.syntaxProblems()
  if (syntax.length > 0) return { problems: syntax }
  return checkValues(document, await resolveReferences(document, { sources, env }))
}

function checkValues(document: ConfigDocument, { problems: unresolved, warnings }: Resolution): Checked {
  let raw: unknown
  try {
    raw = document.toJS()
  } catch {
    return { problems: [wholeFile('has more aliases (*name) than a configuration needs')] }
  }
  const parsed = configSchema.safeParse(raw, { reportInput: true })
  const issues = parsed.success ? [] : issueProblems(parsed.error.issues, document)
  const broken = breaches(raw).map(({ path, message }) => document.problemAt(path, message))
  const known = new Set(unresolved.map(placeOf))
  const problems = [...unresolved, ...[...issues, ...broken].filter(problem => !known.has(placeOf(problem)))]
  return parsed.success && problems.length === 0
    ? { file: parsed.data, warnings }
    : { problems: problems.sort(byPlace) }
}

function wholeFile(message: string): Problem {
  return { line: undefined, column: undefined, key: '', message }
}

function placeOf({ line, column }: Problem): string {
  return `${line}:${column}`
}

function byPlace(a: Problem, b: Problem): number {
  return (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0)
}
