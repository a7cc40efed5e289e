/** Which replica owns the local namespaces: it alone reads and writes their records (docs/adr/0010). */
import type { Clock } from '../../runtime/clock.ts'

/** What may be done or answered while it holds; asked each time, as the process may have slept meanwhile. */
export interface Standing {
  readonly holds: boolean
}

/** Replicas know of the owner, or of none at the moment. */
export type Owner =
  | { readonly kind: 'self'; readonly term: Standing }
  /** @property url where it advertises itself */
  | { readonly kind: 'other'; readonly url: string }
  /** @property because it stays so, and why; undefined: one is on its way */
  | { readonly kind: 'none'; readonly because?: string }

export interface Ownership {
  /** At this moment: whom requests are for. */
  readonly owner: Owner
  /** In which records may be written here; it runs on for a while when this replica takes no more requests. */
  readonly term: Standing | undefined
  /** The owner did not answer, or says that it is none: what is known of it is found out anew. */
  doubt(): void
  /** Resolves when the owner is another one than before, or may be. Rejects with the signal's reason. */
  changed(signal: AbortSignal): Promise<void>
  /** Resolves when leases that an earlier owner gave have ended, which may be before us. */
  leasesEnded(): Promise<void>
  /** Gives up what is ours, so that another may begin; goes on telling who it is. Never rejects. */
  handOver(): Promise<void>
  /** Never rejects. */
  stop(): Promise<void>
}

/**
 * In which records of local names may be written.
 *
 * @throws RegistryError UNAVAILABLE (503) when it is not for us to write them
 */
export type Owned = () => Standing

/** A lease counts for so long from the moment it was asked for. */
export const leaseMs = 2_000
/** Who gave it counts longer: clocks do not run at quite the same speed. */
export const leaseGivenMs = 2_100

export const always: Standing = { holds: true }
const self: Owner = { kind: 'self', term: always }
const none: Owner = { kind: 'none' }

/** Without replicas everything is ours. */
export const soleOwnership: Ownership = {
  owner: self,
  term: always,
  doubt: () => {},
  changed: signal => never(signal),
  leasesEnded: async () => {},
  handOver: async () => {},
  stop: async () => {},
}

/** Nobody says who owns them: nobody does. */
export const noOwnership: Ownership & { readonly owner: { readonly because: string } } = {
  ...soleOwnership,
  owner: {
    kind: 'none',
    because:
      'nothing says which replica owns the local names: set `replica.owner` to the `replica.advertise` of one of them, the same for all, or `store.s3`',
  },
  term: undefined,
}

/** The owner that the configuration names: there is no other, also while it is down. */
export function configuredOwnership(
  owner: string,
  advertise: string,
  { clock, leaving }: { clock: Clock; leaving: () => Promise<void> },
): Ownership {
  if (owner !== advertise) return { ...soleOwnership, owner: { kind: 'other', url: owner }, term: undefined }
  const startedAt = clock.monotonic()
  let isLeaving = false
  let isOver = false
  const term: Standing = {
    get holds() {
      return !isOver
    },
  }
  const ours: Owner = { kind: 'self', term }
  return {
    ...soleOwnership,
    get owner() {
      return isLeaving ? none : ours
    },
    term,
    // Of a process before us, which may have been killed a moment ago.
    leasesEnded: () => clock.sleep(Math.max(0, startedAt + leaseGivenMs - clock.monotonic())),
    async handOver() {
      if (isLeaving) return
      isLeaving = true
      await leaving()
      isOver = true
    },
  }
}

function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error)
    else signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}
