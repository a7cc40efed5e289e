/** A real Redis, and as many connections to it as there are replicas in a test. */
import { openRedis, type Redis } from '../../../src/cluster/redis.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { type Backend, startRedis } from '../../support/redis-server.ts'
import { tempDir } from '../../support/temp-dir.ts'

export interface RedisScene extends AsyncDisposable {
  readonly server: Backend
  connect(): Promise<Redis>
}

export async function startScene(): Promise<RedisScene> {
  await using resources = new AsyncDisposableStack()
  const dir = resources.use(await tempDir())
  const server = resources.use(await startRedis(dir.path))
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
