/** Looks on while undici hands over an answer: counts its bytes and names its errors, without a stream in between. */
import type { Dispatcher } from 'undici'
import { type Subject, translate } from './failure.ts'

/** Metrics are told of this many bytes at a time. */
const reportBytes = 1024 * 1024

export function watch(
  subject: Subject,
  host: string,
  count: (bytes: number) => void,
): Dispatcher.DispatcherComposeInterceptor {
  return dispatch => (options, handler) => dispatch(options, new Watch(handler, { subject, host, count }))
}

interface Onlooker {
  subject: Subject
  host: string
  count: (bytes: number) => void
}

class Watch implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler
  readonly #about: Onlooker
  #inBody = false
  #uncounted = 0

  constructor(handler: Dispatcher.DispatchHandler, about: Onlooker) {
    this.#handler = handler
    this.#about = about
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.#handler.onRequestStart?.(controller, context)
  }

  onResponseStart(
    ...[controller, status, headers, text]: Parameters<
      NonNullable<Dispatcher.DispatchHandler['onResponseStart']>
    >
  ): void {
    this.#inBody = status >= 200
    this.#handler.onResponseStart?.(controller, status, headers, text)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#uncounted += chunk.length
    if (this.#uncounted >= reportBytes) this.#report()
    this.#handler.onResponseData?.(controller, chunk)
  }

  onResponseEnd(
    ...[controller, trailers]: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseEnd']>>
  ): void {
    this.#report()
    this.#handler.onResponseEnd?.(controller, trailers)
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    this.#report()
    const { subject, host } = this.#about
    const named = this.#inBody ? translate(error, subject, { host, phase: 'body' }) : error
    this.#handler.onResponseError?.(controller, named)
  }

  #report(): void {
    if (this.#uncounted > 0) this.#about.count(this.#uncounted)
    this.#uncounted = 0
  }
}
