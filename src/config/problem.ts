/** What is wrong with a configuration, where, and what would be right. */

export interface Problem {
  /** Undefined where the file as a whole is meant. */
  readonly line: number | undefined
  readonly column: number | undefined
  /** Which key, e.g. `upstreams[1].url`; empty for the file as a whole. */
  readonly key: string
  readonly message: string
}

/** Which files a configuration was read from, and what was in them. */
export interface Origin {
  /** The configuration first, then every file that a secret came from or should have come from. */
  readonly files: readonly string[]
  /** Changes with the content of any of them. */
  readonly fingerprint: string
}

/** Its message has a line for each problem: `upstreams.yaml:7:11 upstreams[1].urll: unknown key …`. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly Problem[]
  readonly origin: Origin

  constructor(file: string, problems: readonly Problem[], origin: Origin) {
    super(problems.map(problem => formatProblem(file, problem)).join('\n'))
    this.problems = problems
    this.origin = origin
  }
}

/** One line for a person. */
export function formatProblem(file: string, { line, column, key, message }: Problem): string {
  const where = line === undefined ? file : `${file}:${line}:${column ?? 1}`
  return key === '' ? `${where} ${message}` : `${where} ${key}: ${message}`
}
