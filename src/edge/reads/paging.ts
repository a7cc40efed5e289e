/** Pages of listings: how many entries are asked for, after which one, and the link to the next page. */
import { RegistryError } from '../../oci/errors.ts'
import type { Headers } from '../answer.ts'

export interface PageAsked {
  /** Entries of this page at most. */
  readonly limit: number
  /** Whether the client named a number, which its next page then has too. */
  readonly isLimited: boolean
  /** The page begins after this one, which need not exist. */
  readonly last: string | undefined
}

/**
 * @param most entries of one page, whatever is asked for
 * @throws RegistryError UNSUPPORTED (400)
 */
export function pageAsked(query: URLSearchParams, most: number): PageAsked {
  const n = query.get('n')
  if (n !== null && !/^\d+$/.test(n))
    throw new RegistryError('UNSUPPORTED', 'n must be a whole number', { status: 400 })
  const limit = n === null ? most : Math.min(Number(n), most)
  return { limit, isLimited: n !== null, last: query.get('last') || undefined }
}

/** Parameters of the page after `last`, of the same length. */
export function pageAfter(last: string, { limit, isLimited }: PageAsked): { n?: string; last: string } {
  return isLimited ? { n: String(limit), last } : { last }
}

export function linkTo(path: string, query: URLSearchParams): Headers {
  return { link: `<${path}?${query.toString()}>; rel="next"` }
}

/** Of one entry more than the page may have: those that fit, and whether there are more. A page of none has no next one. */
export function cut<T>(entries: readonly T[], limit: number): { shown: readonly T[]; next: T | undefined } {
  const shown = entries.slice(0, limit)
  return { shown, next: entries.length > limit ? shown.at(-1) : undefined }
}
