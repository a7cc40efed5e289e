/** Looks on while undici hands over an answer: counts its bytes and names its errors, without a stream in between. */
import type { Dispatcher } from 'undici'

/** Metrics are told of this many bytes at a time. */
const reportBytes = 1024 * 1024

export function watch(onlooker: Onlooker): Dispatcher.DispatcherComposeInterceptor {
  return dispatch => (options, handler) => dispatch(options, new Watch(handler, onlooker))
}

interface Onlooker {
  /** What an error in the body is called. */
  readonly named: (error: Error) => Error
  readonly count: (bytes: number) => void
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
    const named = this.#inBody ? this.#about.named(error) : error
    this.#handler.onResponseError?.(controller, named)
  }

  #report(): void {
    if (this.#uncounted > 0) this.#about.count(this.#uncounted)
    this.#uncounted = 0
  }
}
