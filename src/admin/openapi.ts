/** What the admin API offers, as OpenAPI: made from what answers it. */
import { z } from 'zod'
import { version } from '../runtime/version.ts'
import { base } from './base.ts'
import type { Route } from './route.ts'

const failure = z
  .object({
    error: z.looseObject({
      code: z.string().describe('What went wrong, for programs.'),
      message: z.string().describe('What went wrong and what to do, for people.'),
    }),
  })
  .describe('Why it was not done.')

export function describeApi(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) {
    const path = base + route.path
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: describeRoute(route) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Layover admin API',
      version,
      description: 'Answered on the Unix socket `admin.sock` in the store, and at `admin.listen`.',
    },
    paths,
    components: { schemas: { Failure: schemaOf(failure, 'output') } },
  }
}

function describeRoute({ operationId, summary, query, body, status, answer, failures }: Route): object {
  const parameters = parametersOf(query)
  return {
    operationId,
    summary,
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(body
      ? { requestBody: { required: isRequired(body), content: jsonOf(schemaOf(body, 'input')) } }
      : {}),
    responses: {
      [status]: { description: answer.description ?? summary, content: jsonOf(schemaOf(answer, 'output')) },
      ...Object.fromEntries(
        Object.entries(failures).map(([code, description]) => [code, failureWith(description)]),
      ),
      default: failureWith('It was not done.'),
    },
  }
}

function parametersOf(query: z.ZodObject): object[] {
  const { properties = {}, required = [] } = schemaOf(query, 'input') as {
    properties?: Record<string, { description?: string }>
    required?: string[]
  }
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema,
  }))
}

function isRequired(body: z.ZodObject): boolean {
  return !body.safeParse({}).success
}

function failureWith(description: string): object {
  return { description, content: jsonOf({ $ref: '#/components/schemas/Failure' }) }
}

function jsonOf(schema: object): object {
  return { 'application/json': { schema } }
}

function schemaOf(type: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...schema } = z.toJSONSchema(type, { io })
  return schema
}
