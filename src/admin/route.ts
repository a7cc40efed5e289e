/** One thing that can be asked of the admin API: what answers it and what describes it are the same. */
import { z } from 'zod'
import { AdminError } from './failure.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

interface About {
  readonly method: Method
  /** Below `/api/v1`. */
  readonly path: string
  readonly operationId: string
  readonly summary: string
  /** Of an answer that is no failure. */
  readonly status?: 200 | 202
  /** When it is answered otherwise, by status. */
  readonly failures?: Readonly<Record<number, string>>
}

export interface Definition<Q extends z.ZodObject, B extends z.ZodObject, A extends z.ZodType> extends About {
  readonly query?: Q
  readonly body?: B
  readonly answer: A
  readonly handle: (asked: { query: z.output<Q>; body: z.output<B> }) => z.input<A> | Promise<z.input<A>>
}

export interface Route extends Required<About> {
  readonly query: z.ZodObject
  /** Undefined: it takes none. */
  readonly body: z.ZodObject | undefined
  readonly answer: z.ZodType
  /** @throws AdminError INVALID_REQUEST (400) for what the schemas do not take */
  run(asked: { query: unknown; body: unknown }): Promise<unknown>
}

const nothing = z.strictObject({})

export function route<
  A extends z.ZodType,
  Q extends z.ZodObject = typeof nothing,
  B extends z.ZodObject = typeof nothing,
>({ query, body, handle, ...about }: Definition<Q, B, A>): Route {
  return {
    status: 200,
    failures: {},
    ...about,
    query: query ?? nothing,
    body,
    async run(asked) {
      return handle({
        query: taken('query', (query ?? nothing) as Q, asked.query),
        body: taken('body', (body ?? nothing) as B, asked.body),
      })
    },
  }
}

function taken<T extends z.ZodObject>(what: string, schema: T, given: unknown): z.output<T> {
  const parsed = schema.safeParse(given)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(({ path, message }) => `${[what, ...path].join('.')}: ${message}`)
  throw new AdminError('INVALID_REQUEST', problems.join('; '))
}

/** The form of a moment has four digits for the year. */
const lastMs = Date.UTC(9999, 11, 31)

/** A moment, as the answers tell it. */
export const time = z.iso.datetime()

export function timeOf(ms: number): string
export function timeOf(ms: number | undefined): string | null
export function timeOf(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(Math.min(ms, lastMs)).toISOString()
}
