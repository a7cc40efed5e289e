/** The parts that hold, fetch and take pushes, wired to each other. */
import type { SharedCounts } from '../cluster/counts.ts'
import type { Redis } from '../cluster/redis/redis.ts'
import type { Replicas } from '../cluster/replicas.ts'
import { Pins } from '../collect/pins.ts'
import type { Config } from '../config/config.ts'
import type { Gate } from '../edge/gate/gate.ts'
import { HotAnswers } from '../edge/memory/hot-answers.ts'
import { HotPath } from '../edge/memory/hot-path.ts'
import type { RegistryDeps } from '../edge/registry.ts'
import { Catalog } from '../index/catalog.ts'
import type { Index } from '../index/index.ts'
import { Holdings } from '../index/local/holdings.ts'
import { Repositories } from '../index/repositories.ts'
import { Revisions } from '../index/revisions.ts'
import type { Lines } from '../observe/lines.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Digest } from '../oci/digest.ts'
import { createPull, type Pull } from '../pull/pull.ts'
import type { LocalNamespace } from '../pull/target.ts'
import { createPush, type Push } from '../push/push.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Lookup } from '../runtime/lookup.ts'
import type { RepositoryKey } from '../store/layout.ts'
import { type Dropped, openStore, type Store } from '../store/store.ts'
import { Background } from '../stream/background.ts'
import { Room } from '../stream/room.ts'
import { type AccessKeeper, openGate } from './access.ts'
import { type Life, openIndex } from './index-place.ts'
import { openReplica, type Replica, type ReplicaDeps } from './replica.ts'
import { publicPathOf } from './resolver.ts'
import { openShared } from './shared.ts'
import { capacityLimits, pinsOf } from './upkeep/keeping.ts'
import type { Changes } from './workers/changes.ts'

export interface PartsDeps {
  /** In force at the moment. */
  readonly config: () => Config
  readonly log: Logger
  readonly lines: Lines
  readonly clock: Clock
  readonly metrics: Metrics
  /** Where the index is; undefined: in the store. */
  readonly redis: Redis | undefined
  readonly lookup: Lookup
  readonly counts: SharedCounts
  /** Undefined: this one is alone. */
  readonly replicas: Replicas | undefined
  /** Tells the servers, once there are any. */
  readonly changes: () => Changes | undefined
  /** Undefined where no namespace has the local repository any more. */
  readonly namespaceOf: (key: RepositoryKey) => LocalNamespace | undefined
  /** Cached bytes were damaged, and are gone. */
  readonly dropped: Dropped
  /** Nothing that goes on by itself is begun from then on. */
  readonly stopping: AbortSignal
}

export interface Parts {
  readonly store: Store
  readonly index: Index
  readonly life: Life
  readonly catalog: Catalog
  readonly holdings: Holdings
  readonly pins: Pins
  readonly background: Background
  readonly pull: Pull
  readonly push: Push
  readonly inventory: RegistryDeps['inventory']
  readonly answers: HotAnswers
  readonly hotPath: HotPath
  readonly keeper: AccessKeeper
  readonly gate: Gate
  /** Puts into the metrics what is not counted as it happens. */
  readonly measure: () => void
  /** Undefined: one alone. */
  readonly replica: Replica | undefined
  /** Something that an upstream gave is not what it was: resolves when no server answers it from memory any more. */
  readonly cachedChanged: (key: RepositoryKey) => Promise<void>
}

/** @throws StoreUnusable */
export async function openParts(given: PartsDeps): Promise<Parts> {
  const { config, log, lines, clock, metrics, redis, replicas, changes, dropped, stopping } = given
  const capacity = {
    limits: () => capacityLimits(config()),
    isPinned: (digest: Digest) => pins.has(digest),
    pinsKnown: () => pins.known,
    stopping,
  }
  const term: { replica: Replica | undefined } = { replica: undefined }
  const pushing: { of: Push | undefined } = { of: undefined }
  const shared = await openShared(config(), () => term.replica?.assertTerm())
  const store = await openStore(config().store.path, { log, metrics, clock, dropped, capacity, shared })
  const { index, life } = await openIndex({ store, redis, clock, log })
  const background = new Background(error => log.error({ err: error }, 'work behind an answer failed'))
  const answers = new HotAnswers(config().limits.memory)
  const access = await openGate({ ...given, layout: store.layout })
  const fromMemory = { answers, hotPath: new HotPath({ answers, clock, metrics, lines, gate: access.gate }) }
  const begun = async () => {
    index.renew()
    store.shared?.beginTerm()
    pushing.of?.quotas.forget()
    background.run(async () => pushing.of?.uploads.recount()) // the last owner may have left some
  }
  const putAway = async (signal: AbortSignal) => pushing.of?.uploads.putAway(signal)
  const objects = shared?.objects
  const replica = await openReplicaOf(given, { ...fromMemory, begun, putAway, objects })
  term.replica = replica
  const { changing, changed, tagChanged } = tellers({ answers, replica, changes })
  const cachedChanged = (key: RepositoryKey) => {
    pins.changed(key)
    return tagChanged(key)
  }
  const told = { changing, changed, ...(replica ? { owned: replica.owned } : {}) }
  const holdings = new Holdings({ index, store, clock, log, ...told, countedIn: limitedBy(given) })
  const catalog = new Catalog(index, store, clock, {
    changed: tagChanged,
    recorded: key => pins.changed(key),
    failed: error => log.error({ err: error }, 'a pull time could not be kept'),
  })
  const pins = new Pins({ store, catalog, configured: () => pinsOf(config()), log })
  const held = { store, index, life, catalog, holdings, completion: holdings.completion }
  const deps = { ...held, clock, log, metrics, background, replicas }
  const limits = limitsOf(config)
  const pull = createPull({ ...deps, limits, kept: (key, digest) => pins.kept(key, digest) })
  const { namespaceOf } = given
  const push = createPush({ ...deps, limits, namespaceOf, room: new Room(() => limits.heldBytes) })
  pushing.of = push
  const inventory = inventoryOf(deps, push)
  const measure = () => measureParts({ store, push }, config())
  return { ...deps, ...access, ...fromMemory, measure, replica, pins, pull, push, inventory, cachedChanged }
}

function inventoryOf<T extends Pick<Parts, 'index' | 'holdings' | 'catalog'>>(deps: T, push: Push) {
  return {
    ...deps,
    repositories: new Repositories(deps),
    revisions: new Revisions(deps),
    openUploads: (key?: RepositoryKey) => push.uploads.list(key),
  }
}

/** The names of namespaces that have to know how much they hold. */
function limitedBy({ namespaceOf }: PartsDeps) {
  return (key: RepositoryKey): string | undefined => {
    const namespace = namespaceOf(key)
    return namespace?.quota && namespace.name
  }
}

function measureParts({ store, push }: Pick<Parts, 'store' | 'push'>, { local }: Config): void {
  store.measure()
  push.quotas.measure(local)
}

/** A change of a repository, told to whoever answers for it from memory. */
function tellers({
  answers,
  replica,
  changes,
}: Pick<Parts, 'answers' | 'replica'> & Pick<PartsDeps, 'changes'>) {
  const changing = async (key: RepositoryKey) => {
    answers.changing(key)
    await Promise.all([replica?.begin(key), changes()?.begin(key)])
  }
  const changed = async (key: RepositoryKey) => {
    answers.changed(key)
    replica?.end(key)
    await changes()?.end(key)
  }
  const tagChanged = async (key: RepositoryKey) => {
    await changing(key)
    await changed(key)
  }
  return { changing, changed, tagChanged }
}

/** Undefined where there is one replica alone. */
async function openReplicaOf(
  { config, log, clock }: PartsDeps,
  held: Pick<ReplicaDeps, 'answers' | 'hotPath' | 'begun' | 'objects' | 'putAway'>,
): Promise<Replica | undefined> {
  const { replica } = config()
  if (!replica) return undefined
  return openReplica(replica, {
    ...held,
    local: config().local,
    clock,
    log,
    publicPath: () => publicPathOf(config()),
  })
}

/** Read each time, so that a reload takes effect at once. */
function limitsOf(config: () => Config) {
  const limits = () => config().limits
  return {
    get manifestBytes() {
      return limits().manifest
    },
    /** A manifest of any size that may be has room. */
    get heldBytes() {
      return Math.max(limits().pushMemory, limits().manifest)
    },
    get uploadBytes() {
      return limits().upload
    },
    get uploadIdleMs() {
      return limits().uploadIdleMs
    },
    get uploads() {
      return limits().uploads
    },
  }
}
