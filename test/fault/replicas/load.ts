/** Clients that ask again and again while something goes wrong, and clients that try again as the real ones do. */
import { setTimeout as pause } from 'node:timers/promises'
import { digestOf } from '../../../src/oci/digest.ts'
import { type Sending, type Sent, send } from '../push/crash-send.ts'

/** Real clients give up after a few tries within about a minute; less, and a busy machine would look like a failure. */
const patienceMs = 45_000
const betweenTriesMs = 200

/** Resolves with what is wrong with the answer; undefined: nothing is. */
export type Ask = (turn: number) => Promise<string | undefined>

export class Load {
  asked = 0
  readonly failures: string[] = []
  #over = false
  readonly #clients: Promise<void>[]

  constructor(clients: number, ask: Ask) {
    this.#clients = Array.from({ length: clients }, async () => {
      while (!this.#over) {
        const failure = await ask(this.asked++)
        if (failure !== undefined) this.failures.push(failure)
      }
    })
  }

  /** Resolves when so many more were asked. */
  async more(count: number): Promise<void> {
    for (const until = this.asked + count; this.asked < until; ) await pause(5)
  }

  /** Resolves with what failed. */
  async stop(): Promise<readonly string[]> {
    this.#over = true
    await Promise.all(this.#clients)
    return this.failures
  }
}

/** One try. */
export async function wrongWith(url: string, digest: string, options?: Sending): Promise<string | undefined> {
  try {
    const { status, body } = await send(url, options)
    if (status === 200 && digestOf(body) === digest) return undefined
    return `${url}: ${status}, ${body.length} bytes: ${status === 200 ? '' : body.toString().slice(0, 300)}`
  } catch (error) {
    return `${url}: ${String(error)}`
  }
}

/** What a client does that meets a refusal, a connection that breaks, or "not now": it asks again, for so long. */
export async function patiently(
  url: string | (() => string),
  sending: Sending,
  isRight: (answer: Sent) => boolean,
): Promise<Sent> {
  const deadlineMs = performance.now() + patienceMs
  for (;;) {
    const at = typeof url === 'string' ? url : url()
    const answer = await send(at, sending).catch((error: unknown) => error)
    if (answer instanceof Object && 'status' in answer) {
      const sent = answer as Sent
      if (isRight(sent)) return sent
      if (!isPassing(sent)) throw new Error(`${at}: ${sent.status} ${sent.body.toString().slice(0, 300)}`)
    }
    if (performance.now() > deadlineMs)
      throw new Error(`${at} was not answered in time; last ${describe(answer)}`)
    await pause(betweenTriesMs)
  }
}

/** Also a body that was cut off. */
function isPassing({ status }: Sent): boolean {
  return status < 300 || status === 429 || status >= 500
}

function describe(answer: unknown): string {
  if (!(answer instanceof Object && 'status' in answer)) return String(answer)
  const { status, body } = answer as Sent
  return `${status} ${body.toString().slice(0, 300)}`
}
