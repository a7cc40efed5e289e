/** The other replicas: what is shared with them over Redis, and what they are answered who ask this one. */
import type { Redis } from '../cluster/redis/redis.ts'
import { Replicas, type ReplicasDeps } from '../cluster/replicas.ts'
import type { Config } from '../config/config.ts'
import type { Answer } from '../edge/answer.ts'
import type { Exchange } from '../edge/exchange.ts'
import type { RegistryDeps } from '../edge/registry.ts'
import { answerReplica } from '../edge/replicas/replica.ts'

/** Undefined: this one is alone. */
export function openReplicas(
  { replica }: Pick<Config, 'replica'>,
  { redis, ...deps }: Omit<ReplicasDeps, 'redis'> & { readonly redis: Redis | undefined },
): Replicas | undefined {
  if (!replica) return undefined
  if (redis) return new Replicas(replica, { ...deps, redis })
  deps.log.warn(
    '`replica` is set and `index` names no Redis: nothing is shared with other replicas, this one is a cache of its own',
  )
  return undefined
}

/** Undefined: it is about something else. */
export function answerReplicas(
  exchange: Exchange,
  replicas: Replicas | undefined,
  { pull, resolver }: Pick<RegistryDeps, 'pull' | 'resolver'>,
): Promise<Answer> | undefined {
  return replicas && answerReplica(exchange, { signatures: replicas.signatures, lent: pull.lent, resolver })
}
