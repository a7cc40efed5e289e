/** Servers as processes: the cluster module starts them and hands them the connections in turn. */
import cluster, { type Worker } from 'node:cluster'
import type { Logger } from '../../observe/log.ts'
import { systemClock } from '../../runtime/clock.ts'
import { Link } from './link.ts'
import type { Order, Report } from './orders.ts'
import { ServerProgram } from './server.ts'
import type { Server } from './servers.ts'

/** Runs this program's command line once more, as a server. */
export function spawnServer(reported: (report: Report) => void): Server {
  cluster.setupPrimary({ serialization: 'advanced' })
  const worker = cluster.fork()
  const port = {
    post: (message: unknown) => void worker.send(message as object, undefined, () => {}), // its end is told apart
    onMessage: (take: (message: unknown) => void) => void worker.on('message', take),
  }
  const link = new Link(port, report => reported(report as Report))
  return {
    pid: worker.process.pid,
    link,
    ended: endOf(worker, link),
    kill: () => void worker.process.kill('SIGKILL'),
  }
}

async function endOf(worker: Worker, link: Link): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  worker.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
  worker.on('error', error => resolve(error.message)) // it could not even start
  const how = await promise
  link.close(new Error(`the server ended: ${how}`))
  return how
}

/** Whether this process is to be a server. */
export function isServer(): boolean {
  return cluster.isWorker
}

/** Serves until the primary ends this process, or ends itself. */
export function runServer(log: Logger): Promise<never> {
  process.title = 'layover: server'
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => {}) // the primary has them too
  const port = {
    post: (message: unknown) => void process.send?.(message, undefined, undefined, () => {}),
    onMessage: (take: (message: unknown) => void) => void process.on('message', take),
  }
  const program = new ServerProgram({
    log,
    clock: systemClock,
    sharesProcess: false,
    report: report => link.tell(report),
  })
  const link = new Link(port, order => program.obey(order as Order))
  return new Promise(() => {})
}
