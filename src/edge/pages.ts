/** What is asked beside the distribution API: is it alive, is it ready, how does it fare. */
import { Hono } from 'hono'

export type Page = 'health' | 'metrics'

/** What is at a path of that spelling, the only one that it has. Undefined: none of the pages. */
export function pageAt(path: string): Page | undefined {
  if (path === '/metrics') return 'metrics'
  return path === '/livez' || readyPaths.includes(path) ? 'health' : undefined
}

const readyPaths = ['/readyz', '/healthz', '/health']

export interface PagesDeps {
  /** Rejects, with the reason, when the store cannot be used. Upstreams have no say in it. */
  readonly probe: () => Promise<void>
  readonly draining: () => boolean
  /** What Prometheus reads. */
  readonly scrape: () => Promise<Scrape>
}

export interface Scrape {
  readonly text: string
  readonly contentType: string
}

export function createPages({ probe, draining, scrape }: PagesDeps): Hono {
  const pages = new Hono()
  pages.get('/livez', context => context.text('ok\n'))
  for (const path of readyPaths) {
    pages.get(path, async context => {
      const reason = draining() ? 'stopping' : await unready(probe)
      return reason === undefined
        ? context.json({ status: 'ok' })
        : context.json({ status: 'unavailable', reason }, 503)
    })
  }
  pages.get('/metrics', async context => {
    const { text, contentType } = await scrape()
    return context.body(text, 200, { 'content-type': contentType })
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
