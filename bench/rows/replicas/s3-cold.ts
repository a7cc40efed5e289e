/** One reader of a GiB that lies in S3 and not on the disk: through Layover against straight from that S3 server, in alternating runs. */
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import type { Transfer } from '../../bulk.ts'
import { GiB, MiB } from '../../content.ts'
import { type Figure, median, spread } from '../../figure.ts'
import { Redis, S3 } from '../../replicas/backends.ts'
import { startReplica } from '../../replicas/group.ts'
import { type Blob, type Site, until } from '../../site.ts'

const pairs = 5
const goal = 1.3

export async function s3Cold(site: Site): Promise<Figure[]> {
  await using redis = await Redis.start(site)
  await using s3 = await S3.start(site)
  await s3.publish()
  const measured: Awaited<ReturnType<typeof onePair>>[] = []
  for (let pair = 0; pair < site.rounds(pairs); pair += 1) measured.push(await onePair(site, redis, s3))
  const ratios = measured.map(({ through, direct }) => seconds(through) / seconds(direct))
  const of = (key: 'through' | 'direct' | 'saved') =>
    spread(
      measured.map(pair => seconds(pair[key])),
      2,
      ' s',
    )
  const toSaved = measured.map(({ through, saved }) => seconds(through) / seconds(saved))
  const wrong = measured.filter(({ through, direct }) => !through.right || !direct.right).length
  const gets = measured.reduce((total, pair) => total + pair.gets, 0)
  return [
    {
      figure: 'cold GiB, time through Layover / straight from S3',
      goal: `≤ ${goal}`,
      measured: `${spread(ratios, 2)}; ${of('through')} against ${of('direct')}`,
      reached: median(ratios) <= goal,
    },
    {
      figure: '  / straight from S3, client hashing and saving to disk',
      goal: 'reported',
      measured: `${spread(toSaved, 2)}; against ${of('saved')}`,
      reached: undefined,
    },
    { figure: 'upstream GETs', goal: '0', measured: String(gets), reached: gets === 0 },
    { figure: 'bodies that are not right', goal: '0', measured: String(wrong), reached: wrong === 0 },
  ]
}

/** A replica that is gone fetched it; another one with an empty disk is asked. */
async function onePair(site: Site, redis: Redis, s3: S3) {
  const blob = await site.addBlob(site.quick ? 100 * MiB : GiB)
  await fetchOnce(site, { redis, s3 }, blob)
  await site.upstreamCost(blob.digest)
  const direct = await site.read(s3.urlOf(keyOf(blob)), blob)
  const saveTo = site.newPath()
  const saved = await site.read(s3.urlOf(keyOf(blob)), blob, { hash: true, saveTo })
  await rm(saveTo)
  await using replica = await startReplica(site, { redis, s3 })
  const through = await site.read(replica.url + blob.path, blob)
  const { gets } = await site.upstreamCost(blob.digest)
  return { direct, saved, through, gets }
}

async function fetchOnce(site: Site, { redis, s3 }: { redis: Redis; s3: S3 }, blob: Blob): Promise<void> {
  await using replica = await startReplica(site, { redis, s3 })
  await site.read(replica.url + blob.path, blob)
  await until(() => existsSync(s3.path(keyOf(blob))), 'the blob is not in S3')
}

function keyOf({ digest }: Blob): string {
  const hex = digest.slice('sha256:'.length)
  return `cached/sha256/${hex.slice(0, 2)}/${hex}`
}

function seconds({ startedMs, endedMs }: Transfer): number {
  return (endedMs - startedMs) / 1000
}
