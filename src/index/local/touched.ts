/** Records that a write touches, and how the index is put right where the write fails. */
import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/name.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import type { Completion } from '../completion.ts'
import type { Index, Whole } from '../index.ts'
import type { Link } from './links.ts'
import type { LocalRecords } from './records.ts'

/** A record, and the index's entry of it. */
export interface Touched {
  readonly what: Whole
  /** Undefined: it is not counted. */
  readonly link: Link | undefined
  /** Puts the index right again. */
  readonly read: () => Promise<unknown>
  readonly drop: () => Promise<void>
}

export interface TouchingDeps {
  readonly index: Index
  readonly records: LocalRecords
  readonly completion: Completion
}

export class Touching {
  readonly #deps: TouchingDeps

  constructor(deps: TouchingDeps) {
    this.#deps = deps
  }

  tag(key: RepositoryKey, tag: Tag): Touched {
    const { index, records } = this.#deps
    const read = () => records.readTag(key, tag)
    return { what: 'tags', link: { kind: 'tag', name: tag }, read, drop: () => index.dropTag(key, tag) }
  }

  manifest(key: RepositoryKey, digest: Digest): Touched {
    const { index, records } = this.#deps
    const read = () => records.readManifest(key, digest)
    const link = { kind: 'manifest', name: digest } as const
    return { what: 'manifests', link, read, drop: () => index.dropManifest(key, digest) }
  }

  blob(key: RepositoryKey, digest: Digest): Touched {
    const { index, records } = this.#deps
    const read = () => records.readBlob(key, digest)
    const link = { kind: 'blob', name: digest } as const
    return { what: 'blobs', link, read, drop: () => index.dropBlob(key, digest) }
  }

  referrer(key: RepositoryKey, subject: Digest, digest: Digest): Touched {
    const { index, records } = this.#deps
    const read = () => records.readReferrer(key, subject, digest)
    const drop = () => index.dropReferrer(key, subject, digest)
    return { what: { referrersOf: subject }, link: undefined, read, drop }
  }

  /** With its tags, and its entry among its subject's referrers. */
  manifestAnd(
    tags: readonly Tag[],
    { key, digest, subject }: { key: RepositoryKey; digest: Digest; subject: Digest | undefined },
  ): readonly Touched[] {
    const touched = [this.manifest(key, digest), ...tags.map(tag => this.tag(key, tag))]
    return subject ? [...touched, this.referrer(key, subject, digest)] : touched
  }

  /** A write that fails may have changed records all the same: then the index says what they say. */
  async write(key: RepositoryKey, touched: readonly Touched[], task: () => Promise<void>): Promise<void> {
    try {
      await task()
    } catch (error) {
      for (const { what, read, drop } of touched) {
        await read().catch(async () => {
          await this.#deps.completion.doubt(key, what)
          await drop()
        })
      }
      throw error
    }
  }
}
