/** A power cut at any moment of a backup or a restore, replayed from what the system was asked to put on disk. */
import { spawnSync } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { BackupFailed } from '../../../src/backup/failure.ts'
import { restoreBackup } from '../../../src/backup/restore.ts'
import { createLogger } from '../../../src/observe/log.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { keyOf } from '../../conformance/index-samples.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { backupRig, lackingIn, recordsIn } from '../../unit/backup/backup-rig.ts'
import { seededRandom } from '../crashes.ts'
import { type Loss, PowerCutDisk } from '../power-cut-disk.ts'
import { mayTrace, readTrace, straceCommand, type TraceEvent, traceNote } from '../strace.ts'
import { configFor } from './scene.ts'

const log = createLogger('silent')
const losses: readonly Loss[] = ['everything', 'content', 'chance']
const cuts = 25

async function traced(folder: string, args: readonly string[]): Promise<TraceEvent[]> {
  const output = join(folder, 'trace')
  const [command = '', ...rest] = [
    ...straceCommand(output),
    process.execPath,
    resolve('src/main.ts'),
    ...args,
  ]
  const { status, stderr } = spawnSync(command, rest, { encoding: 'utf8' })
  expect(status, stderr).toBe(0)
  return readTrace(output)
}

/** Plays the events, and calls `look` with a folder of what a power cut would have left, some times on the way. */
async function cutAlong(
  events: readonly TraceEvent[],
  { disk, folder, seed }: { disk: PowerCutDisk; folder: string; seed: number },
  look: (left: string, what: string) => Promise<void>,
): Promise<void> {
  const random = seededRandom(seed)
  const touching = events.flatMap((event, at) => (event.phase === 'ended' ? [at] : []))
  const chosen = new Set(Array.from({ length: cuts }, () => touching[Math.floor(random() * touching.length)]))
  for (const [at, event] of events.entries()) {
    disk.play(event)
    if (!chosen.has(at)) continue
    for (const loss of losses) {
      const left = join(folder, `${at}-${loss}`)
      await mkdir(left, { recursive: true })
      await disk.cut(left, loss, random)
      await look(left, `cut after event ${at}, losing ${loss}`)
    }
  }
}

describe.skipIf(!mayTrace)(`a power cut${traceNote}`, () => {
  test('in a backup leaves the earlier one or the new one, whole', { timeout: 120_000 }, async () => {
    await using rig = await backupRig()
    await using dir = await tempDir()
    const home = dir.join('home')
    await mkdir(home)
    const args = ['backup', '--config', await configFor(dir.path, rig.path), join(home, 'backup')]
    const disk = new PowerCutDisk(home)
    const seen = new Set<string>()
    const states: Map<string, string>[] = []
    for (const round of [1, 2]) {
      const image = await rig.pusher.image('team/app', [`${round} a`, `${round} b`], {
        tags: ['v', `v${round}`],
      })
      await rig.pusher.image('team/app', [`${round} c`], { subject: image.digest })
      if (round === 2) await rig.holdings.dropTag(keyOf('team/app', '_local'), 'v1' as Tag)
      states.push(await recordsIn(rig.path))
      const cutting = { disk, folder: dir.join(`cuts-${round}`), seed: round }
      await cutAlong(await traced(dir.path, args), cutting, async (left, what) => {
        const root = join(left, 'restored')
        const restored = await restoreBackup({ root, path: join(left, 'backup'), log }).catch(noBackup)
        if (!restored) {
          expect(round, what).toBe(1)
          return
        }
        expect(restored.damaged, what).toBe(0)
        const records = await recordsIn(root)
        expect(states, what).toContainEqual(records)
        expect(await lackingIn(root), what).toEqual([])
        seen.add(`${round} ${states.findIndex(state => state.size === records.size)}`)
      })
    }
    expect(seen).toContain('2 0')
  })

  test('in a restore leaves no record without its bytes, no tag without its image, and no store that passes for restored', {
    timeout: 120_000,
  }, async () => {
    await using rig = await backupRig()
    await using dir = await tempDir()
    const one = await rig.pusher.image('team/app', ['a', 'b'], { tags: ['v1', 'latest'] })
    await rig.pusher.image('team/app', ['c'], { subject: one.digest, tags: ['signature'] })
    await rig.take()
    const { store: id } = JSON.parse(await readFile(join(rig.folder, 'backup.json'), 'utf8')) as {
      store: string
    }
    const home = dir.join('home')
    await mkdir(home)
    const args = ['restore', '--config', await configFor(dir.path, join(home, 'data')), rig.folder]
    const disk = new PowerCutDisk(home)
    const events = await traced(dir.path, args)
    let unfinished = 0
    await cutAlong(events, { disk, folder: dir.join('cuts'), seed: 3 }, async (left, what) => {
      const root = join(left, 'data')
      const format = await readFile(join(root, 'format.json'), 'utf8').catch(() => '{}')
      const isWhole = (JSON.parse(format) as { id?: string }).id === id
      const hasTags = [...(await recordsIn(root)).keys()].some(path => path.includes('/_tags/'))
      const lacking = await lackingIn(root) // before there are tags, a manifest may come before what it lists
      expect(hasTags ? lacking : lacking.filter(lack => lack.endsWith('its bytes')), what).toEqual([])
      if (isWhole) expect(await recordsIn(root), what).toEqual(await recordsIn(rig.path))
      else unfinished += 1
    })
    expect(unfinished).toBeGreaterThan(0)
  })
})

function noBackup(error: unknown): undefined {
  if (!(error instanceof BackupFailed && /there is no backup|was ever completed/.test(error.message)))
    throw error
}
