/** The tags of a local repository, and the rules on how long they are kept. */
import { manifestEntry, tagEntry } from '../index/records.ts'
import { type Digest, fromDashed } from '../oci/digest.ts'
import { isTag, type Tag } from '../oci/name.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { Marks } from './marks.ts'
import { type Expired, expiredTags, type TagFacts } from './retention.ts'
import type { Policy, Run } from './run.ts'

/** Of those that would go, the log names so many. */
const maxNamed = 20
/** How cosign and clients of registries without the referrers API name what belongs to a digest. */
const aboutDigest = /^(sha256-[a-f0-9]{64}|sha512-[a-f0-9]{128})(?:\.[a-z]+)?$/

/** Resolves with the tags that went, or in a dry run would go. */
export async function expireTags(
  run: Run,
  key: RepositoryKey,
  { policy, used }: { policy: Policy; used: Marks },
): Promise<ReadonlySet<Tag>> {
  const gone = new Set<Tag>()
  if (policy.retention.length === 0) return gone
  const expired = expiredTags(await factsOf(run, key), policy, run.isPast)
  for (const one of expired) {
    const { tag } = one.facts
    if (one.rule.enforce && (await take(run, key, { one, used }))) gone.add(tag)
  }
  tellSpared(run, key, expired)
  return gone
}

/** What tags point at, but for those. */
export async function* digestsOfTags(
  run: Run,
  key: RepositoryKey,
  gone: ReadonlySet<Tag>,
): AsyncGenerator<Digest> {
  for await (const tag of tagsOf(run, key)) {
    if (run.dryRun && gone.has(tag)) continue
    const entry = await readTag(run, key, tag)
    if (entry) yield entry.digest
  }
}

async function take(
  run: Run,
  key: RepositoryKey,
  { one, used }: { one: Expired; used: Marks },
): Promise<boolean> {
  const { holdings, dryRun, report, told } = run
  const { tag, digest } = one.facts
  const keepsPulled = one.rule.keep.pulledWithinMs !== undefined
  const isGarbage = (now: { digest: Digest }) =>
    now.digest === digest && !used.has(digest) && !(keepsPulled && holdings.wasPulled(key, digest))
  if (!dryRun && !(await holdings.taking.tag(key, tag, isGarbage))) return false
  report.tags += 1
  told({
    kind: 'tag',
    repository: key.repository,
    name: tag,
    reason: `the rule ${one.rule.match} keeps it no longer`,
  })
  return true
}

/** Rules that are only tried out. */
function tellSpared({ log, report, told }: Run, key: RepositoryKey, expired: readonly Expired[]): void {
  for (const [rule, its] of Map.groupBy(expired, ({ rule }) => rule)) {
    if (rule.enforce) continue
    const { repository } = key
    const tags = its.map(({ facts }) => facts.tag)
    report.spared += tags.length
    const reason = `the rule ${rule.match} would not keep it, and has no \`enforce: true\``
    for (const name of tags) told({ kind: 'tag', repository, name, reason })
    log.info(
      { repository, rule: rule.match, count: tags.length, tags: tags.slice(0, maxNamed) },
      'a retention rule would delete tags: with `enforce: true` it does',
    )
  }
}

/** Of a tag whose manifest cannot be read nothing is known: no rule takes it. */
async function factsOf(run: Run, key: RepositoryKey): Promise<TagFacts[]> {
  const facts: TagFacts[] = []
  for await (const tag of tagsOf(run, key)) {
    if (await isAboutHeld(run, key, tag)) continue
    const entry = await readTag(run, key, tag)
    const manifest = entry && (await readManifest(run, key, entry.digest))
    if (!entry || !manifest) continue
    const pushedAt = Math.max(entry.movedAt, manifest.at)
    facts.push({ tag, digest: entry.digest, pushedAt, pulledAt: manifest.pulledAt })
  }
  return facts
}

/** Waited for together. */
const namesAtOnce = 256

/** Signatures and the like stay with what they are about. */
async function isAboutHeld(run: Run, key: RepositoryKey, tag: Tag): Promise<boolean> {
  const digest = fromDashed(aboutDigest.exec(tag)?.[1] ?? '')
  return digest !== undefined && (await readManifest(run, key, digest)) !== undefined
}

async function* tagsOf({ store, signal }: Run, key: RepositoryKey): AsyncGenerator<Tag> {
  for await (const names of store.names.in(store.layout.tags(key), namesAtOnce)) {
    signal.throwIfAborted()
    yield* names.filter(isTag)
  }
}

async function readTag({ store }: Run, key: RepositoryKey, tag: Tag) {
  const found = await store.records.read(store.layout.tag(key, tag))
  return found && tagEntry(found.record)
}

async function readManifest({ store }: Run, key: RepositoryKey, digest: Digest) {
  const found = await store.records.read(store.layout.manifest(key, digest))
  return found && manifestEntry(found.record)
}
