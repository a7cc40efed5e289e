/** `layover check`: the configuration in effect, without secrets, or every mistake in it; and whether its Redis and its bucket can be used. */
import { stringify } from 'yaml'
import { loadConfig } from '../config/load.ts'
import { ConfigError, formatProblem } from '../config/problem.ts'
import { checkBucket } from './check-bucket.ts'
import { checkRedis } from './check-redis.ts'
import { siteOf } from './shared.ts'

interface Output {
  write(text: string): unknown
}

/** Resolves with the exit code. */
export async function runCheck(path: string, out: Output, err: Output): Promise<number> {
  try {
    const { config, redacted, warnings } = await loadConfig(path)
    out.write(stringify(redacted))
    for (const warning of warnings) err.write(`warning: ${formatProblem(path, warning)}\n`)
    if (config.index) err.write(`${await checkRedis(config.index, siteOf(config))}\n`)
    const bucket = await checkBucket(config)
    if (!bucket) return 0
    if (bucket.isUsable) out.write(`# ${bucket.line}\n`)
    else err.write(`layover: ${bucket.line}\n`)
    return bucket.isUsable ? 0 : 1
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    err.write(`${error.message}\n`)
    return 2
  }
}
