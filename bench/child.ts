/** A module run as a process of its own and called through messages, so that it shares no event loop with what is measured. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** Arguments and results travel as structured clones. */
// biome-ignore lint/suspicious/noExplicitAny: any function will do; callers get its own types
export type Calls<C> = { [K in keyof C]: (argument: any) => unknown }

interface Question {
  id: number
  name: string
  argument: unknown
}

interface Reply {
  id: number
  result?: unknown
  error?: string
}

/** In the child: answers every question by one of these functions. */
export function answerCalls<C extends Calls<C>>(calls: C): void {
  process.on('message', ({ id, name, argument }: Question) => {
    const reply = (message: Omit<Reply, 'id'>) => process.send?.({ id, ...message })
    new Promise(resolve => resolve(calls[name as keyof C](argument))).then(
      result => reply({ result }),
      (error: unknown) =>
        reply({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    )
  })
  process.on('disconnect', () => process.exit(0)) // whoever asked is gone
}

/** In the parent. */
export class Child<C extends Calls<C>> implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>()
  #lastId = 0

  /** @param module beside this file */
  constructor(module: string) {
    this.#process = fork(fileURLToPath(new URL(module, import.meta.url)), { serialization: 'advanced' })
    this.#process.on('message', (reply: Reply) => this.#settle(reply))
    this.#process.on('exit', code => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`${module} ended with ${String(code)}`))
    })
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  call<K extends keyof C & string>(
    name: K,
    argument: Parameters<C[K]>[0],
  ): Promise<Awaited<ReturnType<C[K]>>> {
    this.#lastId += 1
    const waiting = Promise.withResolvers<unknown>()
    this.#waiting.set(this.#lastId, waiting)
    this.#process.send({ id: this.#lastId, name, argument } satisfies Question)
    return waiting.promise as Promise<Awaited<ReturnType<C[K]>>>
  }

  #settle({ id, result, error }: Reply): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error === undefined) waiting?.resolve(result)
    else waiting?.reject(new Error(error))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return
    const ended = once(this.#process, 'exit')
    this.#process.disconnect()
    await ended
  }
}
