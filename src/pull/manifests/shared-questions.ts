/** Questions about manifests that one replica asks upstream for all of them. */
import type { ManifestQuestion } from '../../cluster/peers/peers.ts'
import type { Replicas } from '../../cluster/replicas.ts'
import type { Digest } from '../../oci/digest.ts'
import { type Reference, referenceText } from '../../oci/reference.ts'
import type { FetchedManifest, ManifestHead } from '../../upstream/upstream.ts'
import type { PullDeps } from '../deps.ts'
import { questionOf, scopeOf, type Target } from '../target.ts'
import { isGuarded } from '../verdicts.ts'

export interface Fetched {
  manifest: FetchedManifest
  /** By another fetch that had just ended: upstream was not asked again. */
  brought: boolean
  /** Another replica asked. */
  isBorrowed?: boolean
}

interface Asking<T> {
  /** Asks upstream from here, unless it is known by now; told which replica asked lately. */
  readonly here: (doneBy?: string) => Promise<T>
  /** From 1 on the question was asked anew here, whatever another replica is asking. */
  readonly era: number
  /** Bound on the whole; undefined: as upstream's time-outs have it. */
  readonly totalMs?: number | undefined
}

export class SharedQuestions {
  readonly #deps: Pick<PullDeps, 'replicas' | 'limits'>

  constructor(deps: PullDeps) {
    this.#deps = deps
  }

  /** Rejects as `here` does, with the failure of whoever asked. */
  manifest(target: Target, reference: Reference, asking: Asking<Fetched>): Promise<Fetched> {
    const { manifestBytes: maxBytes } = this.#deps.limits
    const wanted = digestIn(reference)
    return this.#once({ kind: 'manifest', target, reference }, asking, async ({ peers }, peer, limits) => {
      const manifest = await peers.getManifest(peer, asked(target, reference), {
        ...limits,
        maxBytes,
        wanted,
      })
      return { manifest, brought: false, isBorrowed: true }
    })
  }

  /** As `manifest`, of its head. */
  head(target: Target, reference: Reference, asking: Asking<ManifestHead>): Promise<ManifestHead> {
    return this.#once({ kind: 'head', target, reference }, asking, ({ peers }, peer, limits) =>
      peers.headManifest(peer, asked(target, reference), limits),
    )
  }

  /** A manifest's bytes from a replica that has them. Never rejects. */
  async body(digest: Digest, size: number, doneBy: string | undefined): Promise<Buffer | undefined> {
    const { replicas, limits } = this.#deps
    if (!replicas || size > limits.manifestBytes) return undefined
    for (const told of new Set([doneBy, undefined])) {
      const peer = await replicas.holderOf(digest, told)
      const body = peer === undefined ? undefined : await replicas.peers.readBlob(peer, digest, size)
      if (body) return body
    }
    return undefined
  }

  #once<T>(
    { kind, target, reference }: Question,
    { here, era, totalMs }: Asking<T>,
    there: There<T>,
  ): Promise<T> {
    const { replicas } = this.#deps
    if (!replicas || era > 0 || isGuarded(target)) return here() // each asks with a credential of his own
    const { headersMs } = target.upstream.options.timeouts
    const withinMs = totalMs ?? headersMs
    return replicas.once(`${kind} ${questionOf(target, reference)}`, {
      here,
      there: holder => there(replicas, holder, { withinMs }),
      patienceMs: withinMs,
    })
  }
}

type There<T> = (replicas: Replicas, peer: string, limits: { withinMs: number }) => Promise<T>

interface Question {
  readonly kind: 'manifest' | 'head'
  readonly target: Target
  readonly reference: Reference
}

function asked(target: Target, reference: Reference): ManifestQuestion {
  return {
    registry: target.upstream.registry,
    repository: target.repository,
    reference: referenceText(reference),
    scope: scopeOf(target),
  }
}

function digestIn(reference: Reference): Digest | undefined {
  return reference.kind === 'digest' ? reference.digest : undefined
}
