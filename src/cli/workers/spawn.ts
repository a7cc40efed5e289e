/** Servers as processes, started by the cluster module. */
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { Lines } from '../../observe/lines.ts'
import { dropRest, endLog, type Logger } from '../../observe/log.ts'
import { systemClock } from '../../runtime/clock.ts'
import { countsOver } from './counts.ts'
import { Link } from './link.ts'
import type { Order, Report } from './orders.ts'
import { ServerProgram } from './server.ts'
import type { Server, Spawn } from './servers.ts'

/** For the log of a server whose primary may be gone. */
const lastWordsMs = 2_000

/** Runs this program's command line once more, as a server. */
export function serverProcesses(log: Logger): Spawn {
  cluster.setupPrimary({ serialization: 'advanced', stdio: ['inherit', 'pipe', 'inherit', 'ipc'] })
  const lines = new Lines(log)
  return reported => spawnServer(reported, lines)
}

function spawnServer(reported: (report: Report) => unknown, lines: Lines): Server {
  const worker = cluster.fork()
  const { stdout } = worker.process
  if (stdout) relayLog(stdout, lines).catch(() => {}) // `ended` tells that it is gone
  const port = {
    post: (message: unknown) => void worker.send(message as object, undefined, () => {}), // its end is told apart
    onMessage: (take: (message: unknown) => void) => void worker.on('message', take),
  }
  const link = new Link(port, report => reported(report as Report))
  return {
    pid: worker.process.pid,
    link,
    ended: endOf(worker, link),
    leave: () => void worker.disconnect(),
    kill: () => void worker.process.kill('SIGKILL'),
  }
}

/** Several processes that write to one pipe would cut each other's lines. */
async function relayLog(stdout: Readable, lines: Lines): Promise<void> {
  let rest = Buffer.alloc(0)
  for await (const chunk of stdout as AsyncIterable<Buffer>) {
    const told = Buffer.concat([rest, chunk])
    const end = told.lastIndexOf('\n') + 1
    if (end > 0) lines.write(told.toString('utf8', 0, end))
    rest = told.subarray(end)
  }
}

async function endOf(worker: Worker, link: Link): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  worker.process.once('close', (code: number | null, signal: string | null) =>
    resolve(signal ?? `exit code ${code}`),
  )
  worker.on('error', error => resolve(error.message)) // it could not even start
  const how = await promise
  link.close(new Error(`the server ended: ${how}`))
  return how
}

/** Whether this process is to be a server. */
export function isServer(): boolean {
  return cluster.isWorker
}

/** Serves until the primary lets this process go, or ends itself. Resolves with the exit code. */
export async function runServer(log: Logger): Promise<number> {
  process.title = 'layover: server'
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => {}) // the primary has them too
  const port = {
    post: (message: unknown) => void process.send?.(message, undefined, undefined, () => {}),
    onMessage: (take: (message: unknown) => void) => void process.on('message', take),
  }
  const program = new ServerProgram({
    log,
    clock: systemClock,
    report: report => link.tell(report),
    counts: countsOver(() => link),
  })
  const link = new Link(port, order => program.obey(order as Order))
  // Where the primary has died, the cluster module ends this process at once.
  process.prependListener('exit', () => {
    if (!process.connected) dropRest(log)
  })
  await once(process, 'disconnect')
  await endLog(log, lastWordsMs)
  return 0
}
