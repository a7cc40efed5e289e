/** The system calls of a program as strace saw them: what was asked of the disk, and when. */
import { execFileSync } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

/** Whether programs may be traced here. */
export const mayTrace = process.platform === 'linux' && trial()

export const traceNote = mayTrace ? '' : ' (skipped: strace is not installed or may not trace here)'

export interface SystemCall {
  /** Of the thread that makes it; a thread makes one at a time. */
  readonly thread: number
  readonly name: string
  /** As strace prints them. */
  readonly args: string
  /** Negative for an error. */
  readonly result: number
}

/** A call is seen twice: others may begin and end in between. */
export interface TraceEvent {
  readonly phase: 'begun' | 'ended'
  readonly call: SystemCall
}

/** Whatever changes names or content of files, or tells a client; `?`: not every machine has it. */
const traced = [
  '?open,openat,?creat,?truncate,ftruncate,fallocate',
  'write,pwrite64,writev,pwritev,pwritev2,?sendfile,copy_file_range',
  '?rename,renameat,renameat2,?link,linkat,symlinkat,?unlink,unlinkat,?mkdir,mkdirat,?rmdir',
  'fsync,fdatasync,sync,syncfs,sync_file_range,sendto,sendmsg',
].join(',')

/** The command that runs another one and writes down its calls, strings in hexadecimal and whole. */
export function straceCommand(output: string): readonly string[] {
  return ['strace', '-f', '-yy', '-xx', '-s', '1000000', '-o', output, '-e', `trace=${traced}`]
}

/** In the order of the file. A call that never ended has no event at all. */
export async function readTrace(path: string): Promise<TraceEvent[]> {
  const events: (TraceEvent | undefined)[] = []
  const open = new Map<number, { at: number; head: string }>()
  for await (const line of createInterface(createReadStream(path))) {
    const [, pid = '', rest = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? []
    const thread = Number(pid)
    const head = /^(.*?)\s*<unfinished \.\.\.>$/.exec(rest)?.[1]
    if (head !== undefined) {
      open.set(thread, { at: events.length, head })
      events.push(undefined)
      continue
    }
    const tail = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)?.[1]
    const begun = tail === undefined ? undefined : open.get(thread)
    const call = parseCall(thread, begun ? begun.head + tail : rest)
    if (!call) continue
    if (begun) events[begun.at] = { phase: 'begun', call }
    else events.push({ phase: 'begun', call })
    events.push({ phase: 'ended', call })
  }
  return events.filter(event => event !== undefined)
}

function parseCall(thread: number, text: string): SystemCall | undefined {
  const [, name, args, result] = /^(\w+)\((.*)\)\s+= (-?\d+)/.exec(text) ?? []
  if (name === undefined || args === undefined) return undefined // a signal, the end of a thread
  return { thread, name, args, result: Number(result) }
}

/** The strings among the arguments, those of vectors one after the other. */
export function stringsOf({ args }: SystemCall): Buffer[] {
  return [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex = '']) => fromHex(hex))
}

/** The path behind the file descriptor that is the first argument; undefined for sockets and pipes. */
export function fileOf({ args }: SystemCall): string | undefined {
  const hex = /^(?:\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})+)>/.exec(args)?.[1]
  return hex === undefined ? undefined : fromHex(hex).toString()
}

/** Paths of the arguments, made absolute by the descriptors that strace prints before them. */
export function pathsOf(call: SystemCall): string[] {
  const found = call.args.matchAll(/(?:<((?:\\x[0-9a-f]{2})+)>, )?"((?:\\x[0-9a-f]{2})*)"/g)
  return [...found].map(([, folder, path = '']) => {
    const name = fromHex(path).toString()
    return name.startsWith('/') || folder === undefined ? name : `${fromHex(folder).toString()}/${name}`
  })
}

/** The client's port, when the call writes to a TCP connection. */
function clientPortOf({ args }: SystemCall): number | undefined {
  const port = /^\d+<TCP(?:v6)?:\[.*->.*:(\d+)\]>/.exec(args)?.[1]
  return port === undefined ? undefined : Number(port)
}

/** The client's port and the status, when the call begins an answer. */
export function answerTo(call: SystemCall): { port: number; status: number } | undefined {
  const port = clientPortOf(call)
  if (port === undefined) return undefined
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(stringsOf(call)[0]?.toString('latin1') ?? '')?.[1]
  return status === undefined || status === '100' ? undefined : { port, status: Number(status) }
}

function fromHex(text: string): Buffer {
  return Buffer.from(text.replaceAll('\\x', ''), 'hex')
}

function trial(): boolean {
  try {
    execFileSync('strace', ['-f', '-yy', '-o', '/dev/null', 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
