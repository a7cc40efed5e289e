/** What replicas over one bucket may be configured to do: some of it takes a bucket whose writes can be conditional. */
import type { LocalNamespace } from '../pull/target.ts'
import type { Objects } from '../store/objects.ts'
import { StoreUnusable } from '../store/unusable.ts'

type Probed = Pick<Objects, 'name' | 'probe' | 'isConditional'>

/**
 * A bucket that is not there now is asked again before anybody becomes the owner.
 *
 * @throws StoreUnusable where the bucket cannot say who owns the local names
 */
export async function assertElectable(objects: Probed): Promise<void> {
  if (!(await takesNone(objects))) return
  throw new StoreUnusable(
    `${objects.name} takes no conditional writes, so that replicas cannot elect the owner of local names: set \`replica.owner\` to the \`replica.advertise\` of one of them, the same for all`,
  )
}

/**
 * Two that take themselves for the owner could each give a tag a manifest, and the bucket would refuse neither.
 *
 * @throws StoreUnusable where the bucket cannot keep a tag as it is
 */
export async function assertKeepsTags(
  objects: Probed,
  local: readonly Pick<LocalNamespace, 'match' | 'immutableTags'>[],
): Promise<void> {
  const names = local.filter(({ immutableTags }) => immutableTags.length > 0).map(({ match }) => match)
  if (names.length === 0 || !(await takesNone(objects))) return
  throw new StoreUnusable(
    `${objects.name} takes no conditional writes, so that with \`replica\` no tag is surely immutable: remove \`immutableTags\` from ${names.join(', ')}, or \`replica\` where this is the only one, or use a bucket that takes them`,
  )
}

/** False also where nobody can tell at the moment. */
async function takesNone(objects: Probed): Promise<boolean> {
  const isThere = await objects.probe().then(
    () => true,
    () => false,
  )
  return isThere && !objects.isConditional
}
