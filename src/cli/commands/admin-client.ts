/** The admin API of the process that serves a store, for commands: over the store's socket. */
import { request } from 'node:http'
import { json } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import { base } from '../../admin/base.ts'
import { adminSocketOf } from '../../admin/socket-path.ts'
import { isCode } from '../../store/files/system-error.ts'

/** Told in one line. */
export class AdminRefused extends Error {
  override readonly name = 'AdminRefused'
}

export interface Ask {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Below `/api/v1`. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: object
}

interface Answered {
  readonly status: number
  readonly body: unknown
}

interface Failed {
  readonly error: {
    readonly message: string
    readonly problems?: readonly {
      line: number | null
      column: number | null
      key: string
      message: string
    }[]
  }
}

/** What is found and reported is the work's own. */
interface View {
  readonly id: number
  readonly state: 'running' | 'done' | 'failed' | 'cancelled'
  readonly report: object | null
  readonly failure: string | null
  readonly found: number
  readonly findings: readonly unknown[]
}

/** A whole repository may be asked about anew. */
const patienceMs = 600_000
const watchMs = 250

export class AdminClient {
  readonly #socketPath: string

  private constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  /** Undefined when no process serves the store. @throws AdminRefused to who may not ask */
  static async find(store: string): Promise<AdminClient | undefined> {
    const client = new AdminClient(adminSocketOf(store))
    try {
      await client.ask({ method: 'GET', path: '/flights' })
      return client
    } catch (error) {
      if (isCode(error, 'ENOENT', 'ECONNREFUSED', 'ENOTDIR', 'ENAMETOOLONG', 'EINVAL')) return undefined
      if (isCode(error, 'EACCES', 'EPERM'))
        throw new AdminRefused('only the user who runs Layover may use its admin API')
      throw error
    }
  }

  /** @throws AdminRefused with what the process says */
  async ask(ask: Ask): Promise<unknown> {
    const { status, body } = await this.#send(ask)
    if (status < 300) return body
    const { message, problems = [] } = (body as Failed).error
    const lines = problems.map(({ line, column, key, message: what }) => {
      const where = line === null ? '' : `${line}:${column ?? 1} `
      return `${where}${key === '' ? '' : `${key}: `}${what}`
    })
    throw new AdminRefused([message, ...lines].join('\n'))
  }

  /**
   * Begins long work and tells of its findings until it has ended. It goes on when who watches leaves.
   *
   * @throws AdminRefused when it does not come to a report
   */
  async follow(path: string, options: object, told: (finding: unknown) => void): Promise<unknown> {
    const begun = (await this.ask({ method: 'POST', path, body: options })) as View
    let seen = 0
    for (;;) {
      const query = { after: String(seen) }
      const view = (await this.ask({ method: 'GET', path: `${path}/current`, query })) as View
      if (view.id !== begun.id) throw new AdminRefused('it has ended, and another one was begun since')
      for (const finding of view.findings) told(finding)
      seen = view.found
      if (view.state === 'running') await setTimeout(watchMs)
      else if (view.report) return view.report
      else throw new AdminRefused(view.failure ?? 'it was called off')
    }
  }

  #send({ method, path, query = {}, body }: Ask): Promise<Answered> {
    const { promise, resolve, reject } = Promise.withResolvers<Answered>()
    const text = body === undefined ? undefined : JSON.stringify(body)
    const search = new URLSearchParams(query).toString()
    const outgoing = request({
      socketPath: this.#socketPath,
      method,
      path: `${base}${path}${search === '' ? '' : `?${search}`}`,
      headers: { host: 'localhost', ...(text === undefined ? {} : { 'content-type': 'application/json' }) },
      timeout: patienceMs,
      agent: false,
    })
    outgoing.once('timeout', () => outgoing.destroy(new AdminRefused('the process does not answer')))
    outgoing.once('error', reject)
    outgoing.once('response', incoming => {
      const ended = (cause: unknown) =>
        reject(new AdminRefused('the process ended before it had answered', { cause }))
      json(incoming).then(read => resolve({ status: incoming.statusCode ?? 0, body: read }), ended)
    })
    outgoing.end(text)
    return promise
  }
}
