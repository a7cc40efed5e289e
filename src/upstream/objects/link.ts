/** The next page of a listing (RFC 8288, distribution-spec "Listing Tags"). */

const maxLength = 16 * 1024

/** The target of `rel="next"`, resolved against the page it came with. */
export function nextPage(header: string | readonly string[] | undefined, page: URL): URL | undefined {
  const lines = typeof header === 'string' ? [header] : (header ?? [])
  for (const line of lines.filter(({ length }) => length <= maxLength)) {
    for (const [, target = '', params = ''] of line.matchAll(/<([^<>]*)>([^<]*)/g)) {
      if (/;\s*rel\s*=\s*"?next\b/i.test(params) && URL.canParse(target, page)) return new URL(target, page)
    }
  }
  return undefined
}
