/** What a local repository holds and nothing in it needs any more: blobs that no manifest lists, and by policy tags and manifests. */
import { setImmediate } from 'node:timers/promises'
import { linkTime, type ManifestRecord, manifestEntry } from '../index/records.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { viewManifest } from '../oci/manifest.ts'
import { isSameRepository, type RepositoryKey } from '../store/layout.ts'
import { Marks } from './marks.ts'
import { pullLagMs } from './retention.ts'
import type { Policy, Run } from './run.ts'
import { digestsOfTags, expireTags } from './tags.ts'
import { countOf, digestsIn } from './walk.ts'

/** Taken under their locks together: a few at a time, so that no push waits long for one of them. */
const blobsAtOnce = 32
/** What was promised is written down once an hour. */
const renewLagMs = 3_600_000

/** What a manifest lists cannot be told: nothing may be taken for unlisted. */
export class ManifestDamaged extends Error {
  override readonly name = 'ManifestDamaged'
}

/** @throws ManifestDamaged */
export async function collectRepository(run: Run, key: RepositoryKey): Promise<void> {
  const { store, holdings, signal } = run
  const { layout, names } = store
  const policy = run.policyOf(key)
  const manifests = await countOf(digestsIn(names, layout.manifests(key)), signal)
  const blobs = await countOf(digestsIn(names, layout.blobs(key)), signal)
  if (manifests + blobs === 0) return
  const used = new Marks(manifests + blobs)
  using _ = holdings.watch.begin((of, digest) => {
    if (isSameRepository(of, key)) used.add(digest)
  })
  const gone = policy ? await expireTags(run, key, { policy, used }) : new Set<never>()
  for await (const digests of digestsIn(names, layout.manifests(key))) {
    for (const digest of digests) {
      signal.throwIfAborted()
      for (const child of await childrenOf(run, digest)) used.add(child)
    }
  }
  if (policy && policy.untaggedMs < Number.POSITIVE_INFINITY) {
    for await (const digest of digestsOfTags(run, key, gone)) used.add(digest)
    for await (const digests of digestsIn(names, layout.manifests(key)))
      for (const digest of digests) await judgeManifest(run, key, { digest, policy, used })
  }
  await collectBlobs(run, key, used)
}

/** @throws ManifestDamaged */
async function childrenOf({ store }: Run, digest: Digest): Promise<Digest[]> {
  const body = await store.pushed.read(digest)
  const view = body && digestOf(body, algorithmOf(digest)) === digest && viewManifest(body)
  if (!view) throw new ManifestDamaged(`the manifest ${digest} is missing or damaged`)
  return [...view.blobs, ...view.manifests].map(child => child.digest)
}

interface Judged {
  readonly digest: Digest
  readonly policy: Policy
  readonly used: Marks
}

/** Goes when it has been without a tag for so long, counted from the first collection that found it so, and without a pull. */
async function judgeManifest(run: Run, key: RepositoryKey, { digest, policy, used }: Judged): Promise<void> {
  const { store, holdings, clock, isPast, dryRun, signal, report, told } = run
  signal.throwIfAborted()
  const path = store.layout.manifest(key, digest)
  const found = await store.records.read(path)
  const entry = found && manifestEntry(found.record)
  if (!entry) return
  const { untaggedAt } = found.record as Partial<ManifestRecord>
  const isUsed =
    used.has(digest) || (entry.subject !== undefined && (await holdsManifest(run, key, entry.subject)))
  if (isUsed !== (untaggedAt === undefined)) {
    const since = isUsed ? undefined : clock.now()
    if (!dryRun)
      await holdings.taking.untagged(key, digest, { since, isSo: () => isUsed || !used.has(digest) })
    return
  }
  if (untaggedAt === undefined || !isPast(untaggedAt, policy.untaggedMs + renewLagMs)) return
  if (!isPast(entry.pulledAt ?? 0, policy.untaggedMs + pullLagMs)) return
  const isGarbage = () =>
    !used.has(digest) && !holdings.wasPulled(key, digest) && !holdings.wasPromised(key, digest)
  if (dryRun) run.doomed.add(path)
  else if (!(await holdings.taking.manifest(key, digest, isGarbage))) return
  report.manifests += 1
  told({ kind: 'manifest', repository: key.repository, name: digest, reason: 'no tag points at it' })
}

async function holdsManifest({ store }: Run, key: RepositoryKey, digest: Digest): Promise<boolean> {
  return (await store.records.read(store.layout.manifest(key, digest))) !== undefined
}

async function collectBlobs(run: Run, key: RepositoryKey, used: Marks): Promise<void> {
  const { store, signal } = run
  let batch: Digest[] = []
  for await (const digests of digestsIn(store.names, store.layout.blobs(key))) {
    for (const digest of digests) {
      signal.throwIfAborted()
      if (used.has(digest)) continue
      const found = await store.records.read(store.layout.blob(key, digest))
      const at = found && linkTime(found.record)
      if (at !== undefined && isUnpromised(run, at)) batch.push(digest)
      if (batch.length < blobsAtOnce) continue
      await takeBlobs(run, key, { batch, used })
      batch = []
    }
  }
  if (batch.length > 0) await takeBlobs(run, key, { batch, used })
}

async function takeBlobs(
  run: Run,
  key: RepositoryKey,
  { batch, used }: { batch: readonly Digest[]; used: Marks },
): Promise<void> {
  const { store, holdings, dryRun, report, told } = run
  const isGarbage = (digest: Digest, at: number) =>
    !used.has(digest) && isUnpromised(run, at) && !holdings.wasPromised(key, digest)
  const taken = dryRun ? batch : await holdings.taking.blobs(key, batch, isGarbage)
  for (const digest of taken) {
    if (dryRun) run.doomed.add(store.layout.blob(key, digest))
    report.blobs += 1
    told({
      kind: 'blob',
      repository: key.repository,
      name: digest,
      reason: 'no manifest of the repository lists it',
    })
  }
  await setImmediate()
}

function isUnpromised({ graceMs, isPast }: Run, at: number): boolean {
  return isPast(at, graceMs() + renewLagMs)
}
