/** A real Redis, and as many connections to it as there are replicas in a test. */
import { openRedis, type Redis } from '../../../src/cluster/redis/redis.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { RedisServer } from '../../support/redis.ts'

export interface RedisScene extends AsyncDisposable {
  readonly server: RedisServer
  connect(): Promise<Redis>
}

export async function startScene(): Promise<RedisScene> {
  await using resources = new AsyncDisposableStack()
  const server = resources.use(await RedisServer.start())
  const owned = resources.move()
  return {
    server,
    async connect() {
      const place = { host: '127.0.0.1', port: server.port }
      const user = { username: undefined, password: undefined }
      const redis = await openRedis(
        { address: { kind: 'single', server: place, database: 0, isTls: false, ...user }, prefix: 'test:' },
        { log: createLogger('silent'), clock: systemClock },
      )
      owned.defer(() => redis.close())
      return redis
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
