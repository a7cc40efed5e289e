/** What goes wrong among replicas at random moments, one thing after the other, and how each thing is mended. */
import type { Scene } from './scene.ts'

export interface Trouble {
  readonly name: string
  begin(at: Scene): Promise<void>
  end(at: Scene): Promise<void>
}

/** A trouble of one replica, at every place. */
function ofReplica(
  name: string,
  { begin, end }: Record<'begin' | 'end', (replica: Scene['replicas']['all'][number]) => unknown>,
): readonly Trouble[] {
  return [0, 1, 2].map(place => ({
    name: `${name} of replica ${place}`,
    begin: async at => void (await begin(at.replicas.at(place))),
    end: async at => void (await end(at.replicas.at(place))),
  }))
}

export const troubles: readonly Trouble[] = [
  ...ofReplica('the death', { begin: replica => replica.kill(), end: replica => replica.start() }),
  ...ofReplica('a restart', { begin: replica => replica.stop(), end: replica => replica.start() }),
  ...ofReplica('the sleep', { begin: replica => replica.sleep(), end: replica => replica.wake() }),
  ...ofReplica('a break between others and it', {
    begin: ({ network }) => network.fromOthers.refuse(),
    end: ({ network }) => network.fromOthers.pass(),
  }),
  ...ofReplica('silence between others and it', {
    begin: ({ network }) => network.fromOthers.stall(),
    end: ({ network }) => network.fromOthers.pass(),
  }),
  ...ofReplica('silence between Redis and it', {
    begin: ({ network }) => network.toRedis?.stall(),
    end: ({ network }) => network.toRedis?.pass(),
  }),
  ...ofReplica('a break between S3 and it', {
    begin: ({ network }) => network.toS3?.refuse(),
    end: ({ network }) => network.toS3?.pass(),
  }),
  ...ofReplica('silence between S3 and it', {
    begin: ({ network }) => network.toS3?.stall(),
    end: ({ network }) => network.toS3?.pass(),
  }),
  { name: 'the death of Redis', begin: ({ redis }) => redis.kill(), end: ({ redis }) => redis.begin() },
  {
    name: 'the sleep of Redis',
    begin: ({ redis }) => Promise.resolve(redis.pause()),
    end: ({ redis }) => Promise.resolve(redis.resume()),
  },
  {
    name: 'the death of the S3 server',
    begin: async ({ s3 }) => s3?.stop(),
    end: async ({ s3 }) => s3?.restart(),
  },
]
