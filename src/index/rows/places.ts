/** Where the rows of each kind of entry stand. A space stands in no registry, repository, tag or digest, so that no two scopes are spelled alike. */
import type { Digest } from '../../oci/digest.ts'
import { localRegistry } from '../../store/layout.ts'
import type { Listing, RepositoryKey } from '../index.ts'
import type { Place } from './entry-rows.ts'

/**
 * Nobody else can be asked what a local repository holds: its entries are dated. `listing`: what an upstream answered.
 * `tagged`: tags by digest, true only where the tag's own entry agrees, and so not dated.
 */
export function place(kind: Listing | 'listing' | 'tagged', key: RepositoryKey, of = ''): Place {
  const scope = `${kind} ${key.registry} ${key.repository}${of && ` ${of}`}`
  return { scope, isDated: key.registry === localRegistry && kind !== 'tagged' }
}

/** Manifests that list the child: its content says so, which no crash changes. */
export function childrenPlace({ registry, repository }: RepositoryKey, child: Digest): Place {
  return { scope: `parents ${registry} ${repository} ${child}`, isDated: false }
}

/** Repositories of a registry that hold the blob as a public one. */
export function publicPlace(registry: string, digest: Digest): Place {
  return { scope: `public ${registry} ${digest}`, isDated: false }
}

/** Local repositories that may hold the blob. */
export function holdersPlace(digest: Digest): Place {
  return { scope: `holders ${digest}`, isDated: false }
}

/** They come and go with what is held, and only their records know what a crash left. */
export function repositoriesPlace(registry: string): Place {
  return { scope: `repositories ${registry}`, isDated: true }
}

export const registriesPlace: Place = { scope: 'registries', isDated: false }

export const repositoriesMark = { scope: 'complete', name: 'repositories' } as const
