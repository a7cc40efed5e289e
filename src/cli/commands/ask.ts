/** Commands that ask the running process: `layover status`, `inspect`, `drop`, `pin`, and others. */
import { stringify } from 'yaml'
import { loadConfig } from '../../config/load.ts'
import { ConfigError } from '../../config/problem.ts'
import { parseSize } from '../../config/quantity.ts'
import { AdminClient, AdminRefused, type Ask } from './admin-client.ts'
import { exitCodeOf } from './exit-code.ts'

export type AskCommand = 'status' | 'flights' | 'reload' | 'pins'
/** Of an image, or of a repository. */
export type ImageCommand = 'inspect' | 'drop' | 'refresh' | 'pin' | 'unpin'

type Question = AskCommand | ImageCommand | 'evict'

export interface AskOptions {
  /** An image, or how much; empty where the command takes none. */
  readonly argument: string
  readonly json: boolean
  /** Its folder; the configuration, which may be broken, is not read then. Undefined: where the configuration has it. */
  readonly store: string | undefined
}

/** Resolves with the exit code. */
export async function runAsk(
  configPath: string,
  command: Question,
  { argument, json, store }: AskOptions,
): Promise<number> {
  try {
    const folder = store ?? (await loadConfig(configPath)).config.store.path
    const client = await AdminClient.find(folder)
    if (!client) throw new AdminRefused(`no process serves ${folder}: start it with \`layover serve\``)
    const answer = await client.ask(questions[command](argument))
    process.stdout.write(json ? `${JSON.stringify(answer)}\n` : stringify(answer))
    return isDone(answer) ? 0 : 1
  } catch (error) {
    const code = exitCodeOf(error)
    if (error instanceof ConfigError)
      process.stderr.write('layover: with --store FOLDER who serves it is asked without the configuration\n')
    return code
  }
}

const questions: Readonly<Record<Question, (argument: string) => Ask>> = {
  status: () => ({ method: 'GET', path: '/status' }),
  flights: () => ({ method: 'GET', path: '/flights' }),
  reload: () => ({ method: 'POST', path: '/reload' }),
  evict: size => ({ method: 'POST', path: '/evictions', body: { bytes: parseSize(size) } }),
  pins: () => ({ method: 'GET', path: '/pins' }),
  pin: name => ({ method: 'PUT', path: '/pins', body: { name } }),
  unpin: name => ({ method: 'DELETE', path: '/pins', query: { name } }),
  inspect: name => ({ method: 'GET', path: '/images', query: { name } }),
  drop: name => ({ method: 'DELETE', path: '/images', query: { name } }),
  refresh: name => ({ method: 'POST', path: '/images/refresh', body: { name } }),
}

/** Of several tags that were asked about anew, some may have failed. */
function isDone(answer: unknown): boolean {
  const { tags } = answer as { tags?: unknown }
  return !(Array.isArray(tags) && tags.some(tag => (tag as { outcome?: unknown }).outcome === 'failed'))
}
