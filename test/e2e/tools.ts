/** Real clients on this machine: where they are found, how they are run, and what happens when one is missing. */
import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'vitest'

const execute = promisify(execFile)
const runTimeoutMs = 120_000

/** Where `test/setup.sh` puts what no Debian package offers, then Go's own place. */
const toolFolders = [
  process.env.LAYOVER_TOOLS ?? join(homedir(), '.cache', 'layover-tools', 'bin'),
  join(homedir(), 'go', 'bin'),
]
const path = [...toolFolders, process.env.PATH ?? '', '/usr/sbin', '/sbin'].join(delimiter)

/** The environment of every client: no proxy, no credentials, no settings of whoever runs the tests. */
export function environment(home: string): NodeJS.ProcessEnv {
  return { PATH: path, HOME: home, TMPDIR: home, XDG_RUNTIME_DIR: home, LC_ALL: 'C.UTF-8' }
}

/** Runs a client to its end and returns its standard output; a failure tells what the client said. */
export async function run(tool: string, args: readonly string[], home: string): Promise<string> {
  try {
    const { stdout } = await execute(tool, args, {
      cwd: home,
      env: environment(home),
      timeout: runTimeoutMs,
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
export function testWith(tools: readonly string[], name: string, body: () => Promise<void>): void {
  const missing = tools.filter(tool => !isInstalled(tool))
  if (missing.length === 0) {
    test(name, body)
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

function isInstalled(tool: string): boolean {
  return path.split(delimiter).some(folder => {
    try {
      accessSync(join(folder, tool), constants.X_OK)
      return true
    } catch {
      return false // not in this folder
    }
  })
}
