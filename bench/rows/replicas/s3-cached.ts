/** Cached blobs of 1 MiB: from the disk in front of an S3 tier, and from a disk that is all there is. */
import { MiB } from '../../content.ts'
import type { Figure } from '../../figure.ts'
import { clientCore, serverCore } from '../../peers/stand.ts'
import { Redis, S3 } from '../../replicas/backends.ts'
import { startReplica } from '../../replicas/group.ts'
import { paired } from '../../replicas/paired.ts'
import { pin } from '../../server.ts'
import type { Site } from '../../site.ts'

export async function s3Cached(site: Site): Promise<Figure[]> {
  pin(site.client.pid, clientCore)
  await using redis = await Redis.start(site, clientCore)
  await using s3 = await S3.start(site, clientCore)
  await using replica = await startReplica(site, { redis, s3, cores: serverCore })
  await using alone = await site.startLayover({ cores: serverCore })
  const blob = await site.addBlob(MiB)
  for (const layover of [replica, alone]) {
    await site.read(layover.url + blob.path, blob)
    await site.settled(layover, blob)
  }
  const figure = await paired(site, {
    what: 'cached blob of 1 MiB, disk in front of S3 / plain disk, 8 connections',
    unit: 'bytes/s',
    goal: 0.95,
    rounds: 8,
    seconds: 2,
    one: replica.url,
    other: alone.url,
    load: (url, seconds) => site.client.call('drain', { url: url + blob.path, connections: 8, seconds }),
  })
  return [figure]
}
