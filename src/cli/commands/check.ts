/** `layover check`: the configuration in effect, without secrets, or every mistake in it; and whether its Redis and its bucket can be used. */
import { stringify } from 'yaml'
import { loadConfig } from '../../config/load.ts'
import { ConfigError, formatProblem } from '../../config/problem.ts'
import { siteOf } from '../shared.ts'
import { type Checked, checkBucket } from './check-bucket.ts'
import { checkRedis } from './check-redis.ts'

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
    return bucket ? tellOf(bucket, out, err) : 0
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    err.write(`${error.message}\n`)
    return 2
  }
}

/** The exit code: what clients reach is not known here, and is no fault of the bucket. */
function tellOf({ isUsable, line, links }: Checked, out: Output, err: Output): number {
  if (isUsable) out.write(`# ${line}\n`)
  else err.write(`layover: ${line}\n`)
  if (links?.outcome === 'right') out.write(`# ${links.line}\n`)
  else if (links) err.write(`${links.outcome === 'wrong' ? 'layover' : 'warning'}: ${links.line}\n`)
  return isUsable && links?.outcome !== 'wrong' ? 0 : 1
}
