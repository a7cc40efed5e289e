/** Servers beside their primary in this process: as separate as messages, sockets and files keep them. */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { countsOver } from '../../src/cli/workers/counts.ts'
import { Link, type Port } from '../../src/cli/workers/link.ts'
import type { Order, Report } from '../../src/cli/workers/orders.ts'
import { ServerProgram } from '../../src/cli/workers/server.ts'
import type { Spawn } from '../../src/cli/workers/servers.ts'
import type { Logger } from '../../src/observe/log.ts'
import type { Clock } from '../../src/runtime/clock.ts'

/** The suites run with so many servers; 1: all in one process, as a small site has it. */
export const workersOfSuite = Number(process.env.LAYOVER_WORKERS ?? 1)

export function serversHere({ log, clock }: { log: Logger; clock: Clock }): Spawn {
  return reported => {
    const { port1, port2 } = new MessageChannel()
    const ended = Promise.withResolvers<string>()
    const program = new ServerProgram({
      log,
      clock,
      report: report => below.tell(report),
      counts: countsOver(() => below),
    })
    const below = new Link(portOf(port2), order => program.obey(order as Order))
    const link = new Link(portOf(port1), report => reported(report as Report))
    const kill = () => {
      port1.close()
      link.close(new Error('the server ended: killed'))
      ended.resolve('killed')
    }
    return { pid: process.pid, link, ended: ended.promise, leave: kill, kill }
  }
}

function portOf(port: MessagePort): Port {
  return {
    post: message => port.postMessage(message),
    onMessage: take => port.on('message', take),
  }
}
