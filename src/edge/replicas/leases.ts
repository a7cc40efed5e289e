/** Leases on local names, as their owner gives them: told in lines of JSON for as long as the leaseholder listens. */
import { leasesPath } from '../../cluster/owner/lease.ts'
import type { Leaseholders, Session } from '../../cluster/owner/leaseholders.ts'
import type { Ownership } from '../../cluster/owner/ownership.ts'
import { type Signatures, signatureHeader } from '../../cluster/peers/signature.ts'
import { RegistryError } from '../../oci/errors.ts'
import { Signal } from '../../stream/signal.ts'
import { type Answer, noContent } from '../answer.ts'
import type { Exchange } from '../exchange.ts'
import { notOwnerHeader } from './replica-origin.ts'

export interface LeasesDeps {
  readonly ownership: Ownership
  readonly signatures: Signatures
  readonly leaseholders: Leaseholders
}

/** A leaseholder that takes in nothing is left to itself. */
const mostWaiting = 10_000

export class Leases {
  readonly #deps: LeasesDeps
  readonly #sessions = new Map<string, Session>()

  constructor(deps: LeasesDeps) {
    this.#deps = deps
  }

  /** Undefined: it is about something else. */
  answer(exchange: Exchange): Promise<Answer> | undefined {
    if (exchange.path !== leasesPath) return undefined
    return exchange.request.method === 'GET' ? this.#open(exchange) : this.#heard(exchange)
  }

  async #open(exchange: Exchange): Promise<Answer> {
    this.#admit(exchange)
    const { leaseholders, ownership } = this.#deps
    const { owner } = ownership
    const id = exchange.query.get('session') ?? ''
    const holder = exchange.query.get('holder') ?? ''
    const turn = Number(exchange.query.get('turn') ?? 0)
    if (owner.kind !== 'self') throw gone('this replica does not own the local names')
    const lines = new Queue()
    const session = leaseholders.add(
      {
        id: holder,
        turn,
        tell: told => lines.push(`${JSON.stringify(told)}\n`) || session.close(),
        close: () => {
          this.#sessions.delete(id)
          lines.end()
        },
      },
      owner.term,
    )
    this.#sessions.set(id, session)
    const relay = { body: lines.all(), close: () => session.close() }
    return { status: 200, headers: {}, content: { kind: 'relay', relay, length: undefined } }
  }

  async #heard(exchange: Exchange): Promise<Answer> {
    this.#admit(exchange)
    const { query } = exchange
    const session = this.#sessions.get(query.get('session') ?? '')
    if (!session) throw gone('there is no such lease')
    const [ask, done] = [query.get('ask'), query.get('done')]
    if (done !== null) session.done(Number(done))
    if (ask !== null) session.ask(Number(ask))
    if (query.get('leave') !== null) session.leave()
    return { status: 204, headers: {}, content: noContent }
  }

  /** @throws RegistryError DENIED (403) */
  #admit({ request }: Exchange): void {
    const { method = '', url: path = '', headers } = request
    if (this.#deps.signatures.isGenuine(headers[signatureHeader], { method, path, speaksFor: '' })) return
    throw new RegistryError('DENIED', 'no replica of this registry signed this request')
  }
}

/** Lines on their way to one reader. */
class Queue {
  #lines: string[] = []
  #isOver = false
  readonly #changed = new Signal()

  /** False: there are too many. */
  push(line: string): boolean {
    this.#lines.push(line)
    this.#changed.fire()
    return this.#lines.length < mostWaiting
  }

  end(): void {
    this.#isOver = true
    this.#changed.fire()
  }

  async *all(): AsyncGenerator<Buffer> {
    for (;;) {
      const lines = this.#lines
      this.#lines = []
      if (lines.length > 0) yield Buffer.from(lines.join(''))
      else if (this.#isOver) return
      else await this.#changed.next()
    }
  }
}

function gone(message: string): RegistryError {
  return new RegistryError('UNAVAILABLE', message, {
    retryAfterMs: 1_000,
    headers: { [notOwnerHeader]: '1' },
  })
}
