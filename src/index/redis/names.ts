/** Which repositories there are, by registry; all in one hash slot, with the era that they are known in. */
import type { RepositoryName } from '../../oci/name.ts'
import { localRegistry, type RepositoryKey } from '../../store/layout.ts'
import type { Page } from '../index.ts'
import { stampBytes } from './era.ts'
import {
  afterText,
  endOf,
  eraKey,
  lifeOf,
  names,
  namesMark,
  ranges,
  registriesKey,
  repositoriesKey,
  splitText,
} from './keys.ts'
import { dropMembers, forgetRepositories, putRepository, readRepositories } from './scripts.ts'
import type { Shelf } from './shelf.ts'

const membersAtOnce = 1000

/** Reads throw RedisDown; writes never fail. Entries and marks of local repositories bear a stamp of their own. */
export class Names {
  readonly #shelf: Shelf
  readonly #key: (part: string) => string

  /** @param key puts the prefix in front */
  constructor(shelf: Shelf, key: (part: string) => string) {
    this.#shelf = shelf
    this.#key = key
  }

  put({ registry, repository }: RepositoryKey, own: Buffer): Promise<void> {
    const keys = this.#keys(registry)
    const life = lifeOf(registry) ?? ''
    const args = [life, names.registry(registry), names.repository(repository), own]
    return this.#write(registry, client => client.eval(putRepository, keys.length, ...keys, ...args))
  }

  drop({ registry, repository }: RepositoryKey, own: Buffer): Promise<void> {
    const args = [own, names.repository(repository)]
    return this.#write(registry, (client, full) => client.eval(dropMembers, 1, full, ...args))
  }

  async registries(): Promise<string[]> {
    const found: string[] = []
    for await (const members of this.#shelf.pages(registriesKey, ranges.registries))
      found.push(...members.map(member => splitText(ranges.registries.prefix, member).text))
    return found
  }

  /** Undefined while they are not known whole. */
  async page(
    registry: string,
    { last, limit }: Page,
    own: Buffer,
  ): Promise<readonly RepositoryName[] | undefined> {
    const found: RepositoryName[] = []
    for (let next = afterText(ranges.repositories, last ?? ''); ; ) {
      const wanted = Math.min(Math.max(limit - found.length, 0), membersAtOnce)
      const { era, mark, members } = await this.#part(registry, next, wanted)
      if (!era || !mark?.equals(Buffer.concat([own, era]))) return undefined
      const given = members.map(split)
      if (given.some(({ stamp }) => !stamp.equals(stampFor(registry, era, own)))) return undefined
      found.push(...given.map(({ text }) => text))
      const end = members.at(-1)
      if (!end || members.length < wanted || found.length >= limit) return found
      next = Buffer.concat([end, Buffer.of(0)])
    }
  }

  /** Drops what is left of earlier eras, and of local repositories of earlier epochs. */
  async sweep(era: Buffer, own: Buffer): Promise<void> {
    for (const registry of await this.registries()) {
      const stamp = stampFor(registry, era, own)
      for await (const members of this.#shelf.pages(repositoriesKey(registry), ranges.repositories)) {
        const outdated = members.filter(member => !split(member).stamp.equals(stamp))
        if (outdated.length > 0) await this.#write(registry, (client, full) => client.zrem(full, ...outdated))
      }
    }
  }

  async mark(era: Buffer, own: Buffer): Promise<void> {
    await this.#shelf.put(registriesKey, undefined, [
      [namesMark(''), era],
      [namesMark(localRegistry), Buffer.concat([own, era])],
    ])
  }

  #keys(registry: string): string[] {
    return [eraKey, registriesKey, repositoriesKey(registry)].map(this.#key)
  }

  #write(registry: string, task: Parameters<Shelf['write']>[1]): Promise<void> {
    const [, ...keys] = this.#keys(registry)
    const key = repositoriesKey(registry)
    return this.#shelf.write(key, task, client => client.eval(forgetRepositories, keys.length, ...keys))
  }

  async #part(registry: string, from: Buffer, limit: number) {
    const keys = this.#keys(registry)
    const mark = namesMark(registry)
    const to = endOf(ranges.repositories.prefix)
    const args = [from, to, limit, mark, names.registry(registry)]
    const found = await this.#shelf.read(repositoriesKey(registry), client =>
      client.callBuffer('eval', readRepositories, keys.length, ...keys, ...args),
    )
    const [era, stamp, members] = found as [Buffer, Buffer, Buffer[]]
    return {
      era: this.#shelf.era.learn(era.length === 0 ? null : era),
      mark: stamp.length === 0 ? undefined : stamp.subarray(mark.length),
      members,
    }
  }
}

function split(member: Buffer): { text: RepositoryName; stamp: Buffer } {
  const { text, value } = splitText(ranges.repositories.prefix, member)
  return { text: text as RepositoryName, stamp: value.subarray(0, stampBytes) }
}

/** What a repository is stamped with that was put lately. */
function stampFor(registry: string, era: Buffer, own: Buffer): Buffer {
  return registry === localRegistry ? own : era
}
