/** Load of small requests: wrk, one thread, which no server here outruns. It knows no HEAD: it waits for the body. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Load } from './load.ts'

export interface WrkAsk {
  url: string
  connections: number
  seconds: number
  cores: string
  headers?: Record<string, string>
  /** The URL ends in a tag of so many. */
  tags?: number
  /** A file with an Authorization header a line: each asks in its turn. */
  logins?: string
}

interface Said {
  requests: number
  bytes: number
  micros: number
  p50: number
  p99: number
  max: number
  failed: number
  cpuSeconds: number
}

export async function wrk(ask: WrkAsk): Promise<Load> {
  const { url, connections, seconds, cores, headers = {}, tags, logins } = ask
  const script = fileURLToPath(new URL(scriptFor(ask), import.meta.url))
  const args = [
    '-c',
    cores,
    'wrk',
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '--latency',
    '--timeout',
    '30s',
  ]
  for (const [name, value] of Object.entries(headers)) args.push('-H', `${name}: ${value}`)
  args.push('-s', script, url)
  if (tags !== undefined) args.push('--', new URL(url).pathname, String(tags))
  if (logins !== undefined) args.push('--', logins)
  const { stdout } = await promisify(execFile)('taskset', args)
  const line = stdout.split('\n').find(text => text.startsWith('{'))
  if (line === undefined) throw new Error(`wrk gave no account:\n${stdout}`)
  const said = JSON.parse(line) as Said
  const none = said.requests === 0 ? Number.NaN : undefined
  return {
    requests: said.requests,
    bytes: said.bytes,
    seconds: said.micros / 1e6,
    p50Ms: none ?? said.p50 / 1000,
    p99Ms: none ?? said.p99 / 1000,
    longestMs: said.max / 1000,
    failed: said.failed,
    clientBusy: said.cpuSeconds / (said.micros / 1e6),
  }
}

function scriptFor({ tags, logins }: WrkAsk): string {
  if (logins !== undefined) return 'wrk-logins.lua'
  return tags === undefined ? 'wrk.lua' : 'wrk-tags.lua'
}
