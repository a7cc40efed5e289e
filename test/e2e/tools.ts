/** Real clients on this machine: how they are run, and what happens when one is missing. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { test } from 'vitest'
import { environment, isInstalled } from './environment.ts'

const execute = promisify(execFile)
const runTimeoutMs = 120_000

/** Runs a client to its end and returns its standard output; a failure tells what the client said. */
export async function run(
  tool: string,
  args: readonly string[],
  home: string,
  timeout = runTimeoutMs,
): Promise<string> {
  try {
    const { stdout } = await execute(tool, args, {
      cwd: home,
      env: environment(home),
      timeout,
      maxBuffer: 64 * 1024 * 1024,
    })
    return stdout
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr) : ''
    throw new Error(`${tool} ${args.join(' ')} failed:\n${said.slice(-4000)}`, { cause: error })
  }
}

/**
 * A test that needs programs. Without them it is skipped and its name says why;
 * in CI it fails instead, so that a green run has really spoken to every client.
 */
export function testWith(
  tools: readonly string[],
  name: string,
  body: () => Promise<void>,
  options: { timeout?: number } = {},
): void {
  const missing = tools.filter(tool => !isInstalled(tool))
  if (missing.length === 0) {
    test(name, options, body)
    return
  }
  const reason = `${missing.join(', ')} not installed; see test/setup.sh`
  if (process.env.CI === 'true') {
    test(name, () => {
      throw new Error(reason)
    })
  } else {
    test.skip(`${name} (skipped: ${reason})`, body)
  }
}
