/** Long work: started, watched, called off. */
import { z } from 'zod'
import type { AdminDeps, MayBeDry } from '../deps.ts'
import { AdminError } from '../failure.ts'
import type { Job, JobView } from '../job.ts'
import { type Route, route, time, timeOf } from '../route.ts'

const count = z.int().min(0)
const options = z.strictObject({
  dryRun: z.boolean().default(false).describe('Nothing is changed; the findings say what would go.'),
})

const garbage = {
  finding: z.object({
    kind: z.enum(['tag', 'manifest', 'blob', 'bytes']),
    repository: z.string().optional(),
    name: z.string().describe('The tag or digest.'),
    size: count.optional(),
    reason: z.string(),
  }),
  report: z.object({
    tags: count,
    manifests: count,
    blobs: count.describe('Records by which repositories held blobs that nothing lists.'),
    files: count,
    bytes: count,
    spared: count.describe('Tags that rules without `enforce` would have taken.'),
    skipped: count.describe('Repositories that could not be read.'),
  }),
}

const damage = {
  finding: z.object({
    kind: z.enum(['cached', 'pushed', 'record', 'quarantine']),
    name: z.string().describe('A digest or a path.'),
    repository: z.string().optional(),
    reason: z.string(),
  }),
  report: z.object({
    files: count,
    bytes: count,
    dropped: count.describe('Cached files that were damaged: they are fetched again.'),
    quarantined: count.describe('Pushed files that were damaged: they have to be pushed again.'),
    missing: count.describe('Records of local repositories whose bytes are not here.'),
    malformed: count.describe('Files among the records of local repositories that are no records.'),
    records: count.describe('Records of upstreams that went.'),
    unchecked: count.describe('Files that could not be checked.'),
  }),
}

interface Described {
  /** `/collections` */
  readonly path: string
  /** `Collection` */
  readonly id: string
  readonly what: string
  readonly finding: z.ZodType
  readonly report: z.ZodType
}

export function jobRoutes(deps: AdminDeps): readonly Route[] {
  return [
    ...routesOf(deps.collections, {
      path: '/collections',
      id: 'Collection',
      what: 'garbage collection of what was pushed',
      ...garbage,
    }),
    ...routesOf(deps.scrubs, {
      path: '/scrubs',
      id: 'Scrub',
      what: 'check of all that is stored',
      ...damage,
    }),
    evictionRoute(deps),
  ]
}

function routesOf<F extends object, R extends object>(
  job: Job<MayBeDry, F, R>,
  described: Described,
): Route[] {
  const { path, id, what } = described
  const answer = viewOf(described)
  const current = `${path}/current`
  const none = { 404: 'None was begun since the start.' }
  const shown = (after?: number) => {
    const view = job.view(after)
    if (!view) throw new AdminError('NOT_FOUND', `no ${what} was begun since the start`)
    return shownOf(view)
  }
  return [
    route({
      method: 'POST',
      path,
      operationId: `start${id}`,
      summary: `Begins a ${what}, while everything goes on.`,
      body: options,
      status: 202,
      answer,
      failures: { 409: 'One is under way.' },
      handle({ body }) {
        job.start(body)
        return shown()
      },
    }),
    route({
      method: 'GET',
      path: current,
      operationId: `watch${id}`,
      summary: `The ${what} that runs, or ran last.`,
      query: z.strictObject({
        after: z.coerce.number().int().min(0).default(0).describe('Findings after so many, as `found` told.'),
      }),
      answer,
      failures: none,
      handle: ({ query }) => shown(query.after),
    }),
    route({
      method: 'DELETE',
      path: current,
      operationId: `cancel${id}`,
      summary: `Calls the ${what} off; answers when it has ended.`,
      answer,
      failures: { 404: 'None runs.' },
      async handle() {
        await job.cancel()
        return shown()
      },
    }),
  ]
}

function viewOf({ finding, report }: Described) {
  return z.object({
    id: z.int(),
    state: z.enum(['running', 'done', 'failed', 'cancelled']),
    dryRun: z.boolean(),
    startedAt: time,
    endedAt: time.nullable(),
    report: report.nullable().describe('Of one that is done.'),
    failure: z.string().nullable(),
    found: count.describe('How many findings there are up to now.'),
    findings: z.array(finding).describe('The last of them: at least 10 000 are kept.'),
  })
}

function shownOf<F extends object, R extends object>(view: JobView<MayBeDry, F, R>) {
  const {
    id,
    state,
    options: asked,
    startedAt,
    endedAt,
    report = null,
    failure = null,
    found,
    findings,
  } = view
  return {
    id,
    state,
    dryRun: asked.dryRun,
    startedAt: timeOf(startedAt),
    endedAt: timeOf(endedAt),
    report,
    failure,
    found,
    findings: [...findings],
  }
}

function evictionRoute({ eviction }: AdminDeps): Route {
  return route({
    method: 'POST',
    path: '/evictions',
    operationId: 'evict',
    summary:
      'Evicts cached blobs, those first that eviction would take first. Never what was pushed or is in use.',
    body: z.strictObject({ bytes: z.int().min(1).describe('So much is to be freed.') }),
    answer: z.object({ blobs: count, bytes: count }).describe('What went.'),
    failures: { 501: 'Nothing is evicted here.' },
    handle({ body: { bytes } }) {
      if (!eviction) throw new AdminError('NOT_IMPLEMENTED', 'nothing is evicted here yet')
      return eviction.evict(bytes)
    },
  })
}
