/** Replicas that behave as one cache: so many Layovers with what they share. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Layover } from '../layover.ts'
import { type Site, until } from '../site.ts'
import { Redis, S3 } from './backends.ts'

const count = 3
/** What replicas of a run show one another. */
const secret = 'the replicas of a run know one another by this secret'

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

/** Resolves when each knows the others. */
export async function startGroup(site: Site, { shares, fresh }: GroupOptions): Promise<Group> {
  await using started = new AsyncDisposableStack()
  const redis = started.use(await Redis.start(site))
  const s3 = shares === 'Redis' ? undefined : started.use(await S3.start(site))
  const layovers: Layover[] = []
  while (layovers.length < count) {
    const owner = s3 ? undefined : (layovers[0]?.url ?? 'itself')
    layovers.push(started.use(await startReplica(site, { redis, s3, owner, fresh })))
  }
  for (const layover of layovers)
    await until(() => othersOf(layover) === count - 1, 'the replicas do not know each other')
  const running = started.move()
  return { layovers, redis, [Symbol.asyncDispose]: () => running.disposeAsync() }
}

/** How many other replicas it told of last. */
function othersOf({ store }: Layover): number {
  const lines = readFileSync(join(store, '..', 'log'), 'utf8').split('\n')
  const told = lines.findLast(line => line.includes('"msg":"the other replicas"')) ?? '{}'
  return (JSON.parse(told) as { replicas?: readonly string[] }).replicas?.length ?? 0
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
