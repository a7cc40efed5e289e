/** What the hosts of the stand-in internet were asked, so that tests can say what was not. */
import type { Request } from './answer.ts'

export interface RequestFilter {
  host?: string
  method?: string
  /** Matched against the path without its query. */
  path?: RegExp
}

export class LoggedRequest {
  readonly host: string
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: Request['headers']
  readonly body: string
  /** Undefined until the headers went out. */
  status: number | undefined
  /** Body bytes handed to the socket so far. */
  bodyBytes = 0
  /** Undefined while it lasts; `cut` when either side broke off. */
  outcome: 'finished' | 'cut' | undefined
  /** Resolves when the exchange is over, whatever its outcome. */
  readonly closed: Promise<void>
  readonly #close: () => void

  constructor({ host, method, path, query, headers, body }: Request) {
    this.host = host
    this.method = method
    this.path = path
    this.query = query
    this.headers = headers
    this.body = body
    const { promise, resolve } = Promise.withResolvers<void>()
    this.closed = promise
    this.#close = resolve
  }

  close(finished: boolean): void {
    this.outcome = finished ? 'finished' : 'cut'
    this.#close()
  }
}

export class RequestLog {
  #entries: LoggedRequest[] = []
  readonly #watchers = new Set<() => void>()

  add(request: Request): LoggedRequest {
    const entry = new LoggedRequest(request)
    this.#entries.push(entry)
    for (const watcher of this.#watchers) watcher()
    return entry
  }

  list(filter: RequestFilter = {}): LoggedRequest[] {
    return this.#entries.filter(entry => matches(entry, filter))
  }

  clear(): void {
    this.#entries = []
  }

  /** Resolves when `count` matching requests have arrived. */
  arrived(filter: RequestFilter, count = 1): Promise<LoggedRequest[]> {
    const found = this.list(filter)
    if (found.length >= count) return Promise.resolve(found)
    return new Promise((resolve, reject) => {
      const finish = () => {
        clearTimeout(bound)
        this.#watchers.delete(look)
      }
      const look = () => {
        const found = this.list(filter)
        if (found.length < count) return
        finish()
        resolve(found)
      }
      const bound = setTimeout(() => {
        finish()
        const seen = this.#entries.map(entry => `${entry.method} ${entry.host}${entry.path}`).join('\n')
        reject(new Error(`waited 10 s for ${count} requests like ${describe(filter)}; seen:\n${seen}`))
      }, 10_000)
      this.#watchers.add(look)
    })
  }
}

export function matches(request: Pick<Request, 'host' | 'method' | 'path'>, filter: RequestFilter): boolean {
  return (
    (filter.host === undefined || filter.host === request.host) &&
    (filter.method === undefined || filter.method === request.method) &&
    (filter.path === undefined || filter.path.test(request.path))
  )
}

function describe({ host = '*', method = '*', path }: RequestFilter): string {
  return `${method} ${host} ${path?.source ?? '*'}`
}
