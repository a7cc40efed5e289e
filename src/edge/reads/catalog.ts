/** The names of everything that is held, as clients can pull it (`_catalog`, which Docker's registry brought). */
import type { Page } from '../../index/index.ts'
import { type Answer, json } from '../answer.ts'
import { type InventoryCall, othersTurn, shownKeysOf } from './inventory.ts'
import { cut, linkTo, pageAfter, pageAsked } from './paging.ts'

/** So many pages' worth of names that the configuration no longer gives to anyone are passed over in one request. */
const maxRounds = 10

/** @throws RegistryError UNAVAILABLE (503) while the index does not know them all */
export async function answerCatalog(call: InventoryCall): Promise<Answer> {
  const { exchange, base, pageLimit } = call
  const asked = pageAsked(exchange.query, pageLimit)
  const { names, next: stoppedAt } = await servedNames(call, { last: asked.last, limit: asked.limit + 1 })
  const { shown, next = stoppedAt } = cut(names, asked.limit)
  const answer = json({ repositories: shown })
  if (next === undefined || asked.limit === 0) return answer
  const link = linkTo(`${base}_catalog`, new URLSearchParams(pageAfter(next, asked)))
  return { ...answer, headers: { ...answer.headers, ...link } }
}

interface Names {
  names: readonly string[]
  /** More may come after this one: it was not looked at. */
  next: string | undefined
}

/** Where some names are hidden, a page is filled however many are: the next one begins after a name that is shown. */
async function servedNames(call: InventoryCall, page: Page): Promise<Names> {
  const { deps, shows } = call
  const { repositories, resolver } = deps
  const names: string[] = []
  let { last } = page
  const rounds = shows ? Number.POSITIVE_INFINITY : maxRounds
  for (let round = 0; round < rounds; round += 1) {
    const batch = await repositories.page({ last, limit: page.limit })
    for (const name of batch) {
      const key = shownKeysOf(resolver.find(name)).find(each => resolver.fullName(each) === name)
      if (key && (!shows || (await shows(key)))) names.push(name)
      last = name
      if (names.length === page.limit) return { names, next: undefined }
    }
    if (batch.length < page.limit) return { names, next: undefined }
    await othersTurn(call)
  }
  return { names, next: last }
}
