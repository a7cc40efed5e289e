/** What is asked beside the distribution API: is it alive, is it ready, how does it fare. */
import { Hono } from 'hono'
import type { Metrics } from '../observe/metrics.ts'

export interface PagesDeps {
  readonly metrics: Metrics
  /** Rejects, with the reason, when the store cannot be used. Upstreams have no say in it. */
  readonly probe: () => Promise<void>
  readonly draining: () => boolean
  /** Brings gauges up to date that nothing else does. */
  readonly beforeScrape: () => void
}

export function createPages({ metrics, probe, draining, beforeScrape }: PagesDeps): Hono {
  const pages = new Hono()
  pages.get('/livez', context => context.text('ok\n'))
  for (const path of ['/readyz', '/healthz', '/health']) {
    pages.get(path, async context => {
      const reason = draining() ? 'stopping' : await unready(probe)
      return reason === undefined
        ? context.json({ status: 'ok' })
        : context.json({ status: 'unavailable', reason }, 503)
    })
  }
  pages.get('/metrics', async context => {
    beforeScrape()
    const { registry } = metrics
    return context.body(await registry.metrics(), 200, { 'content-type': registry.contentType })
  })
  pages.notFound(context =>
    context.json({ errors: [{ code: 'NAME_UNKNOWN', message: 'there is nothing at this path' }] }, 404),
  )
  return pages
}

async function unready(probe: () => Promise<void>): Promise<string | undefined> {
  try {
    await probe()
    return undefined
  } catch {
    return 'the store cannot be written; see the log'
  }
}
