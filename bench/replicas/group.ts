/** Replicas that behave as one cache: so many Layovers with what they share. */
import type { Layover } from '../layover.ts'
import type { Site } from '../site.ts'
import { Redis, S3 } from './backends.ts'

export type Sharing = 'Redis and S3' | 'Redis'

export interface GroupOptions {
  shares: Sharing
  /** How long tags count as fresh. */
  fresh?: string
}

export interface Group extends AsyncDisposable {
  readonly layovers: readonly Layover[]
  readonly redis: Redis
}

const count = 3
/** What replicas of a run show one another. */
const secret = 'the replicas of a run know one another by this secret'

export async function startGroup(site: Site, { shares, fresh }: GroupOptions): Promise<Group> {
  await using started = new AsyncDisposableStack()
  const redis = started.use(await Redis.start(site))
  const s3 = shares === 'Redis' ? undefined : started.use(await S3.start(site))
  const layovers: Layover[] = []
  while (layovers.length < count) {
    const owner = s3 ? undefined : (layovers[0]?.url ?? 'itself')
    layovers.push(started.use(await startReplica(site, { redis, s3, owner, fresh })))
  }
  const running = started.move()
  return { layovers, redis, [Symbol.asyncDispose]: () => running.disposeAsync() }
}

export interface ReplicaOptions {
  redis: Redis
  s3?: S3 | undefined
  /** URL of the one that owns local names, where they share no store. */
  owner?: string | undefined
  fresh?: string | undefined
  cores?: string | undefined
  /** Further keys of the configuration. */
  settings?: Readonly<Record<string, unknown>>
}

export function startReplica(site: Site, options: ReplicaOptions): Promise<Layover> {
  const { redis, s3, owner, fresh, cores, settings } = options
  return site.startLayover({
    fresh,
    cores,
    ...(s3 ? { store: { s3: s3.setting } } : {}),
    settings: address => {
      const advertise = `http://${address}`
      const owned = owner === undefined ? {} : { owner: owner === 'itself' ? advertise : owner }
      return { index: redis.url, replica: { advertise, secret, ...owned }, ...settings }
    },
  })
}
