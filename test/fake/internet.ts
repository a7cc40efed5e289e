/** A stand-in internet in one process: registries, realms and CDNs as origins of their own, with a log and faults. */
import type { Clock } from '../../src/runtime/clock.ts'
import type { Address, Lookup } from '../../src/runtime/lookup.ts'
import { BearerAuth } from './bearer.ts'
import { caCertificate, expiredCertificate, serverCertificate } from './certificates.ts'
import { FakeClock } from './clock.ts'
import { Fault, type FaultSpec } from './fault.ts'
import { buildHosts, type HostName, hostNames } from './hosts.ts'
import { Listener, type ListenerTls } from './listener.ts'
import type { Registry } from './registry.ts'
import { type LoggedRequest, type RequestFilter, RequestLog } from './request-log.ts'
import { Pacer } from './transmit.ts'

export type Internet = Awaited<ReturnType<typeof startInternet>>

/** Trust `caCertificate` to reach them. All three are the plain registry. */
const tlsOf: Partial<Record<HostName, ListenerTls>> = {
  'tls.test': serverCertificate,
  'mtls.test': { ...serverCertificate, clientCa: caCertificate },
  'expired.test': expiredCertificate,
}

const secret = 'the stand-in internet signs with this'

export async function startInternet({ clock = new FakeClock() }: { clock?: Clock } = {}) {
  const log = new RequestLog()
  const faults: Fault[] = []
  const now = () => clock.now()
  const listeners = new Map<string, Listener>()
  const listenerOf = (host: HostName): Listener => {
    const found = listeners.get(host)
    if (!found) throw new Error(`no such host: ${host}`)
    return found
  }
  for (const host of hostNames) {
    const listener = new Listener(host, { log, faults, now }, tlsOf[host])
    await listener.listen()
    listeners.set(host, listener)
  }
  const url = (host: HostName) => listenerOf(host).url
  const { handlers, ...registries } = buildHosts({ url, now, secret, pool: new Map() })
  for (const host of hostNames) listenerOf(host).handler = handlers[host]
  const names = new Names()

  const close = async () => {
    for (const fault of faults) fault.release()
    await Promise.all([...listeners.values()].map(listener => listener.close()))
  }
  return {
    ...registries,
    clock,
    url,
    lookup: names.lookup,
    names,
    /** The token settings of a registry that has tokens. */
    bearer: (registry: Registry) => bearerOf(registry),
    requests: (filter?: RequestFilter): LoggedRequest[] => log.list(filter),
    /** Resolves when so many matching requests have arrived; rejects after 10 s. */
    arrived: (filter: RequestFilter, count?: number) => log.arrived(filter, count),
    clearRequests: () => log.clear(),
    fault: (spec: FaultSpec) => addFault(spec, faults, listenerOf),
    /** Body bytes a second in real time, shared by all answers of the host; 0: unlimited. */
    bandwidth: (host: HostName, bytesPerSecond: number) => {
      listenerOf(host).pacer = bytesPerSecond > 0 ? new Pacer(bytesPerSecond) : undefined
    },
    connections: (host: HostName) => listenerOf(host).connections,
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Scripts a fault; of several that meet a request the first one scripted acts. */
function addFault(spec: FaultSpec, faults: Fault[], listenerOf: (host: HostName) => Listener): Fault {
  const listener = spec.kind === 'refuse' ? listenerOf(spec.host as HostName) : undefined
  const fault = new Fault(spec, async () => {
    const at = faults.indexOf(fault)
    if (at >= 0) faults.splice(at, 1)
    await listener?.listen()
  })
  faults.push(fault)
  listener?.refuse()
  return fault
}

/** DNS: every host is at 127.0.0.1, other names do not exist, and a test may say otherwise. */
class Names {
  readonly #answers = new Map<string, readonly Address[] | 'ENOTFOUND' | 'EAI_AGAIN'>(
    hostNames.map(host => [host, [{ address: '127.0.0.1', family: 4 }]]),
  )

  /** Names that were asked for, in order. */
  readonly asked: string[] = []

  set(hostname: string, answer: readonly Address[] | 'ENOTFOUND' | 'EAI_AGAIN'): void {
    this.#answers.set(hostname, answer)
  }

  readonly lookup: Lookup = hostname => {
    this.asked.push(hostname)
    const answer = this.#answers.get(hostname) ?? 'ENOTFOUND'
    if (typeof answer !== 'string') return Promise.resolve(answer)
    const error = new Error(`getaddrinfo ${answer} ${hostname}`)
    return Promise.reject(Object.assign(error, { code: answer, syscall: 'getaddrinfo', hostname }))
  }
}

function bearerOf({ habits }: Registry) {
  if (habits.auth instanceof BearerAuth) return habits.auth.options
  throw new Error('this registry has no tokens')
}
