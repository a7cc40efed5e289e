/** Opening a store: its format, its one owner, its folders. Nothing in it is read. */
import { mkdir } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { syncFolder } from './files/folders.ts'
import { takeLock } from './files/owner.ts'
import { settleFormat, type Upgrade } from './format.ts'
import { Layout } from './layout.ts'
import { reason, StoreUnusable } from './unusable.ts'

export { StoreUnusable }

/** @throws StoreUnusable when it cannot be written, is of a newer format, or another process owns it */
export async function openLayout(
  root: string,
  upgrades?: readonly Upgrade[],
): Promise<{ layout: Layout; unlock: () => void }> {
  const layout = new Layout(root)
  try {
    await makeRoot(root)
    for (const folder of [layout.partials, layout.uploads, layout.trash, layout.names])
      await mkdir(folder, { recursive: true })
    return await lockSettled(layout, upgrades)
  } catch (error) {
    if (error instanceof StoreUnusable) throw error
    throw new StoreUnusable(`cannot use the store at ${root}: ${reason(error)}`, { cause: error })
  }
}

/** Where the store is made, its own name has to survive a power cut like all that is put into it. */
export async function makeRoot(root: string): Promise<void> {
  const path = resolve(root)
  const first = await mkdir(path, { recursive: true })
  if (first === undefined) return
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made))
}

async function lockSettled(layout: Layout, upgrades: readonly Upgrade[] | undefined) {
  const unlock = takeLock(layout.lock, `the store at ${layout.root}`)
  try {
    await settleFormat(layout, upgrades)
    return { layout, unlock }
  } catch (error) {
    unlock()
    throw error
  }
}
