/** The admin API as an application: requests are checked, led to their route and answered as JSON. */
import { type Context, Hono } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Logger } from '../observe/log.ts'
import { base } from './base.ts'
import { AdminError, failureOf, isOurs } from './failure.ts'
import { describeApi } from './openapi.ts'
import type { Route } from './route.ts'

const maxBodyBytes = 64 * 1024

export function createAdmin(routes: readonly Route[], { log }: { log: Logger }): Hono {
  const app = new Hono()
  for (const route of routes) {
    app.on(route.method, base + route.path, async context => {
      const asked = { query: queryOf(context), body: await bodyOf(context) }
      const answer = await route.run(asked)
      const { method, operationId } = route
      if (method !== 'GET') log.info({ operation: operationId, ...asked }, 'done as the admin API was asked')
      return context.json(answer as object, route.status)
    })
  }
  app.get(`${base}/openapi.json`, context => context.json(describeApi(routes)))
  for (const [path, allow] of methodsOf(routes)) {
    app.all(path, () => {
      throw new AdminError('METHOD_NOT_ALLOWED', `this path takes ${allow}`, { headers: { allow } })
    })
  }
  app.notFound(context =>
    answerFailure(
      context,
      new AdminError('NOT_FOUND', `there is nothing at this path: see ${base}/openapi.json`),
    ),
  )
  app.onError((error, context) => {
    if (isOurs(error)) log.error({ err: error, path: context.req.path }, 'the admin API could not answer')
    return answerFailure(context, error)
  })
  return app
}

function answerFailure(context: Context, error: unknown): Response {
  const { status, headers, body } = failureOf(error)
  return context.json(body, status as ContentfulStatusCode, { ...headers })
}

/** @throws AdminError for a parameter that is there twice: which one counts nobody should have to guess */
function queryOf({ req }: Context): Record<string, string> {
  const given = Object.entries(req.queries())
  const twice = given.find(([, values]) => values.length > 1)
  if (twice) throw new AdminError('INVALID_REQUEST', `query.${twice[0]}: is there twice`)
  return Object.fromEntries(given.map(([name, [value = '']]) => [name, value]))
}

/** Pages of browsers cannot send this content type without being asked about it first. */
async function bodyOf({ req }: Context): Promise<unknown> {
  if (req.method === 'GET' || req.method === 'HEAD') return {}
  const text = await textOf(req.raw.body)
  if (text === '') return {}
  const type = req.header('content-type') ?? ''
  if (!/^application\/json\s*(?:;|$)/i.test(type))
    throw new AdminError('UNSUPPORTED_MEDIA_TYPE', 'a body needs `Content-Type: application/json`')
  try {
    return JSON.parse(text)
  } catch {
    throw new AdminError('INVALID_REQUEST', 'the body is no JSON')
  }
}

async function textOf(body: ReadableStream<Uint8Array> | null): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body ?? []) {
    bytes += chunk.length
    if (bytes > maxBodyBytes) throw new AdminError('TOO_LARGE', `a body has ${maxBodyBytes} bytes at most`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function methodsOf(routes: readonly Route[]): Map<string, string> {
  const methods = new Map<string, string>()
  for (const { path, method } of routes) {
    const known = methods.get(base + path)
    methods.set(base + path, known === undefined ? method : `${known}, ${method}`)
  }
  return methods
}
