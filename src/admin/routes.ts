/** Everything that the admin API answers. */
import type { AdminDeps } from './deps.ts'
import type { Route } from './route.ts'
import { imageRoutes } from './routes/images.ts'
import { jobRoutes } from './routes/jobs.ts'
import { pinRoutes } from './routes/pins.ts'
import { statusRoutes } from './routes/status.ts'

export function adminRoutes(deps: AdminDeps): readonly Route[] {
  return [...statusRoutes(deps), ...imageRoutes(deps), ...pinRoutes(deps), ...jobRoutes(deps)]
}
