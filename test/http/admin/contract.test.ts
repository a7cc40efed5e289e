/** The description of the admin API says what is answered: every route is called, and each answer held against it. */
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { ConfigError } from '../../../src/config/problem.ts'
import { image } from '../../fake/content.ts'
import { ask, layerOf, open, plain, scene } from '../scene.ts'
import { type AdminAnswer, type AdminAsk, askSocket } from './client.ts'

interface Described {
  operationId: string
  parameters?: { name: string; required: boolean }[]
  responses: Record<string, { content: { 'application/json': { schema: Record<string, unknown> } } }>
}

interface Api {
  paths: Record<string, Record<string, Described>>
  components: { schemas: Record<string, Record<string, unknown>> }
}

const first = image('first', { layers: [300, 200_000] })
const name = 'plain.example/app:v1'

async function world() {
  let problem: Error | undefined
  const at = await scene({
    upstreams: net => [plain(net)],
    local: [{ name: 'local', match: 'local/**', quota: { tags: 5 } }],
    reload: async () => problem,
  })
  at.net.plain.put('app', 'v1', first)
  const api = (await askSocket(at.layover, '/openapi.json')).body as Api
  const called = new Set<string>()
  return {
    ...at,
    api,
    called,
    refuse: (error: Error) => {
      problem = error
    },
    /** The answer, which is as it is described. */
    call: async (path: string, asked: AdminAsk = {}): Promise<AdminAnswer> => {
      const answer = await askSocket(at.layover, path, asked)
      const operation = api.paths[`/api/v1${path}`]?.[(asked.method ?? 'GET').toLowerCase()]
      if (!operation) throw new Error(`${asked.method} ${path} is not described`)
      called.add(operation.operationId)
      const response = operation.responses[answer.status]
      expect(response, `${operation.operationId} answers ${answer.status}`).toBeDefined()
      conforms(api, response?.content['application/json'].schema ?? {}, answer.body)
      return answer
    },
  }
}

function conforms(api: Api, schema: Record<string, unknown>, value: unknown): void {
  const named = schema.$ref === '#/components/schemas/Failure' ? api.components.schemas.Failure : schema
  const parsed = z.fromJSONSchema(named ?? {}).safeParse(value)
  expect(parsed.error?.issues ?? []).toEqual([])
}

test('every route answers as it is described, and none is left out', async () => {
  await using at = await world()
  const { call } = at
  await at.warm('/v2/app/manifests/v1', `/v2/app/blobs/${layerOf(first).digest}`)
  await ask(at.layover.url, '/v2/local/app/blobs/uploads/', { method: 'POST' })
  at.net.fault({ host: 'plain.test', path: /blobs/, kind: 'stall', at: 100_000 })
  const reading = await open(at.layover.url, `/v2/app/blobs/${layerOf(first, 1).digest}`)

  expect((await call('/flights')).body).toMatchObject({
    flights: [{ digest: layerOf(first, 1).digest, upstreams: ['plain.example'], size: 200_000, waiters: 1 }],
  })
  expect((await call('/uploads')).body).toMatchObject({ uploads: [{ repository: 'local/app', received: 0 }] })
  expect((await call('/status')).body).toMatchObject({
    flights: 1,
    uploads: 1,
    isIndexUp: true,
    store: { path: at.layover.storePath, isWritable: true },
    quotas: [{ namespace: 'local', bytes: { allowed: null }, tags: { allowed: 5 } }],
    upstreams: [{ registry: 'plain.example', pausedMs: 0, resting: [] }],
  })
  reading.destroy()
  await call('/images', { query: { name } })
  await call('/images', { query: { name: 'plain.example/app' } })
  await call('/images/refresh', { method: 'POST', body: { name } })
  await call('/images', { method: 'DELETE', query: { name } })
  for (const jobs of ['/collections', '/scrubs']) {
    expect((await call(`${jobs}/current`)).status).toBe(404)
    expect(await call(jobs, { method: 'POST', body: { dryRun: true } })).toMatchObject({
      status: 202,
      body: { id: 1, dryRun: true },
    })
    await vi.waitFor(
      async () =>
        expect((await call(`${jobs}/current`, { query: { after: '0' } })).body).toMatchObject({
          state: 'done',
        }),
      { timeout: 10_000 },
    )
    expect((await call(`${jobs}/current`, { method: 'DELETE' })).status).toBe(404)
    await call(jobs, { method: 'POST' })
  }
  expect((await call('/pins', { method: 'PUT', body: { name } })).body).toEqual({ name })
  expect((await call('/pins')).body).toEqual({ pins: [{ name }] })
  expect((await call('/pins', { method: 'DELETE', query: { name } })).status).toBe(200)
  await call('/evictions', { method: 'POST', body: { bytes: 1 } })
  expect((await call('/reload', { method: 'POST' })).body).toEqual({ waiting: [] })

  const described = Object.values(at.api.paths).flatMap(path => Object.values(path))
  expect([...at.called].sort()).toEqual(described.map(({ operationId }) => operationId).sort())
})

test('failures answer as they are described', async () => {
  await using at = await world()
  const { call } = at
  expect((await call('/images', { query: { name: 'NO' } })).status).toBe(400)
  expect((await call('/images', { query: { name } })).status).toBe(404)
  expect((await call('/images', { method: 'DELETE', query: { name: 'local/app' } })).status).toBe(409)
  expect((await call('/images/refresh', { method: 'POST', body: { name: 'local/app' } })).status).toBe(409)
  expect((await call('/pins', { method: 'PUT', body: { name: 'local/app' } })).status).toBe(409)
  expect((await call('/pins', { method: 'DELETE', query: { name } })).status).toBe(404)
  at.net.fault({ host: 'plain.test', kind: 'status', status: 502 })
  expect((await call('/images/refresh', { method: 'POST', body: { name } })).status).toBe(503)
  const problem = { line: 3, column: 1, key: 'upstreams[0].urll', message: 'unknown key' }
  const everywhere = { line: undefined, column: undefined, key: '', message: 'cannot be read' }
  at.refuse(new ConfigError('upstreams.yaml', [problem, everywhere], { files: [], fingerprint: '' }))
  const refused = await call('/reload', { method: 'POST' })
  expect(refused).toMatchObject({
    status: 422,
    body: { error: { problems: [problem, { line: null, column: null, message: 'cannot be read' }] } },
  })
})

test('parameters that a route needs are described as such', async () => {
  await using at = await world()
  const { parameters = [] } = at.api.paths['/api/v1/images']?.get ?? {}
  expect(parameters.map(({ name: parameter, required }) => [parameter, required])).toEqual([
    ['name', true],
    ['n', false],
    ['last', false],
  ])
})
