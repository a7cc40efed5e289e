/** How the process fares, what it is busy with, and its configuration read again. */
import { statfs } from 'node:fs/promises'
import { z } from 'zod'
import { version } from '../../runtime/version.ts'
import type { AdminDeps } from '../deps.ts'
import { AdminError } from '../failure.ts'
import { type Route, route, time, timeOf } from '../route.ts'

const count = z.int().min(0)

const share = z.object({
  used: count.nullable().describe('null: not counted since the start; the first push has it counted.'),
  allowed: count.nullable().describe('null: no limit.'),
})

const status = z.object({
  version: z.string(),
  pid: z.int(),
  startedAt: time,
  servers: count.describe(
    'Processes beside this one that take the connections of clients; 0: this one does.',
  ),
  waiting: z.array(z.string()).describe('Keys of the configuration that take effect at the next start.'),
  store: z.object({
    path: z.string(),
    isWritable: z.boolean(),
    diskSize: count.describe('Of the disk that it is on.'),
    diskFree: count.describe('What this process may still use of it.'),
    cached: z
      .array(z.object({ registry: z.string(), blobs: count, bytes: count }))
      .describe('By the registry that it was first fetched from; `""`: not known.'),
  }),
  isIndexUp: z.boolean(),
  flights: count,
  uploads: count,
  quotas: z
    .array(
      z.object({
        namespace: z.string(),
        bytes: share.describe('With those of uploads under way.'),
        tags: share,
      }),
    )
    .describe('Of each local namespace that has one.'),
  upstreams: z.array(
    z.object({
      registry: z.string(),
      urls: z.array(z.string()),
      pausedMs: count.describe('Until manifests are asked for again after a 429; 0: now.'),
      resting: z
        .array(z.object({ origin: z.string(), reason: z.string(), restingMs: count }))
        .describe('Origins that failed and are left alone for a while.'),
    }),
  ),
})

const flight = z.object({
  digest: z.string(),
  upstreams: z.array(z.string()).describe('Whom it may be asked of.'),
  size: count.nullable().describe('null: not known yet.'),
  received: count,
  waiters: count.describe('Clients that read along.'),
})

const upload = z.object({
  id: z.string(),
  repository: z.string(),
  received: count,
  startedAt: time,
})

export function statusRoutes(deps: AdminDeps): readonly Route[] {
  return [statusRoute(deps), ...transferRoutes(deps), reloadRoute(deps)]
}

function statusRoute(deps: AdminDeps): Route {
  const startedAt = deps.clock.now()
  return route({
    method: 'GET',
    path: '/status',
    operationId: 'status',
    summary: 'How Layover fares.',
    answer: status,
    async handle() {
      const { store, index, pull, push, servers } = deps
      return {
        version,
        pid: process.pid,
        startedAt: timeOf(startedAt),
        servers,
        waiting: [...deps.waiting()],
        store: await storeStatus(store),
        isIndexUp: index.up,
        flights: pull.flights.all.length,
        uploads: (await push.uploads.list()).length,
        quotas: quotasOf(deps),
        upstreams: deps.resolver().upstreams.map(({ upstream }) => ({
          registry: upstream.registry,
          urls: upstream.options.urls.map(({ url }) => url),
          pausedMs: Math.ceil(upstream.pausedMs()),
          resting: upstream
            .resting()
            .map(({ origin, reason, restingMs }) => ({ origin, reason, restingMs: Math.ceil(restingMs) })),
        })),
      }
    },
  })
}

function quotasOf({ resolver, push }: AdminDeps) {
  return resolver().locals.flatMap(({ name: namespace, quota }) => {
    if (!quota) return []
    const { bytes = null, tags = null } = quota
    const used = push.quotas.used(namespace)
    return [
      {
        namespace,
        bytes: { used: used?.bytes ?? null, allowed: bytes },
        tags: { used: used?.tags ?? null, allowed: tags },
      },
    ]
  })
}

async function storeStatus(store: AdminDeps['store']) {
  const { root } = store.layout
  const { bsize, blocks, bavail } = await statfs(root)
  const isWritable = await store.probe().then(
    () => true,
    () => false,
  )
  const totals = [...(store.capacity?.totals ?? [])]
  return {
    path: root,
    isWritable,
    diskSize: blocks * bsize,
    diskFree: bavail * bsize,
    cached: totals.map(([registry, { blobs: held, bytes }]) => ({ registry, blobs: held, bytes })),
  }
}

function transferRoutes({ pull, push, resolver }: AdminDeps): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/flights',
      operationId: 'listFlights',
      summary: 'Blobs on their way here from upstreams.',
      answer: z.object({ flights: z.array(flight) }),
      handle: () => ({
        flights: pull.flights.all.map(({ digest, upstreams, size = null, watermark, followers }) => {
          return { digest, upstreams: [...upstreams], size, received: watermark, waiters: followers }
        }),
      }),
    }),
    route({
      method: 'GET',
      path: '/uploads',
      operationId: 'listUploads',
      summary: 'Uploads that were begun and are not finished.',
      answer: z.object({ uploads: z.array(upload) }),
      async handle() {
        const open = await push.uploads.list()
        return {
          uploads: open.map(({ id, key, size, startedAt }) => {
            return { id, repository: resolver().fullName(key), received: size, startedAt: timeOf(startedAt) }
          }),
        }
      },
    }),
  ]
}

function reloadRoute({ reload }: AdminDeps): Route {
  return route({
    method: 'POST',
    path: '/reload',
    operationId: 'reload',
    summary: 'Reads the configuration again, as on SIGHUP.',
    answer: z.object({
      waiting: z.array(z.string()).describe('Keys that take effect at the next start.'),
    }),
    failures: {
      422: 'The new configuration is refused, the old one stays in force. `problems` has each mistake with line, column and key.',
      501: 'There is no file to read.',
    },
    async handle() {
      if (!reload) throw new AdminError('NOT_IMPLEMENTED', 'this process was started without a file')
      const reloaded = await reload()
      if ('waiting' in reloaded) return { waiting: [...reloaded.waiting] }
      const problems = reloaded.problems.map(({ line = null, column = null, key, message }) => {
        return { line, column, key, message }
      })
      throw new AdminError('CONFIG_INVALID', 'the new configuration is refused, the old one stays in force', {
        fields: { problems },
      })
    },
  })
}
