/** Repository names and tags (distribution-spec, "Pulling manifests"). */
import { RegistryError } from './errors.ts'

declare const nameBrand: unique symbol
declare const tagBrand: unique symbol
export type RepositoryName = string & { readonly [nameBrand]: true }
export type Tag = string & { readonly [tagBrand]: true }

/** Host and name together may have 255 characters in the clients; the host's part is not ours to know. */
const maxNameLength = 255
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const nameGrammar = new RegExp(`^${component}(?:/${component})*$`)
const tagGrammar = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/

export function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= maxNameLength && nameGrammar.test(text)
}

/** @throws RegistryError NAME_INVALID (400) */
export function parseRepositoryName(text: string): RepositoryName {
  if (isRepositoryName(text)) return text
  const reason =
    text.length > maxNameLength
      ? `longer than ${maxNameLength} characters`
      : 'expected lower-case components of letters, digits and single . _ __ or dashes, separated by /'
  throw new RegistryError('NAME_INVALID', `invalid repository name: ${reason}`)
}

export function isTag(text: string): text is Tag {
  return tagGrammar.test(text)
}
