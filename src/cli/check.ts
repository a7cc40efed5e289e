/** `layover check`: the configuration in effect, without secrets, or every mistake in it. */
import { stringify } from 'yaml'
import { loadConfig } from '../config/load.ts'
import { ConfigError } from '../config/problem.ts'

interface Output {
  write(text: string): unknown
}

/** Resolves with the exit code. */
export async function runCheck(path: string, out: Output, err: Output): Promise<number> {
  try {
    const { redacted } = await loadConfig(path)
    out.write(stringify(redacted))
    return 0
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    err.write(`${error.message}\n`)
    return 2
  }
}
