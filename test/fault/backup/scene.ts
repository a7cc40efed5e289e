/** Backups as processes of their own, cut off at any moment; what is in their folders afterwards. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'

const main = resolve('src/main.ts')

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export class Command {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.ended = this.#end()
  }

  async kill(): Promise<Ended> {
    this.child.kill('SIGKILL')
    return this.ended
  }

  async #end(): Promise<Ended> {
    const { stdout, stderr } = this.child
    if (!stdout || !stderr) throw new Error('the process has no output to read')
    const [out, err, [code]] = await Promise.all([
      text(stdout),
      text(stderr),
      once(this.child, 'exit') as Promise<[number | null]>,
    ])
    return { code, stdout: out, stderr: err }
  }
}

/** A configuration in the folder, for the store at the path. */
export async function configFor(folder: string, store: string): Promise<string> {
  const path = join(folder, `${store.replaceAll('/', '_')}.yaml`)
  await writeFile(path, `store: {path: "${store}"}\nupstreams: [{registry: plain.test}]\n`)
  return path
}

/** The last line of the log that has a summary. */
export function summaryOf({ stdout }: Ended): Record<string, unknown> {
  const lines = stdout.split('\n').filter(Boolean)
  return JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown>
}
