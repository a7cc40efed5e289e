import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { cpuSecondsOfTree, memoryOfTree, processesOf } from '../../../bench/tree.ts'

const MiB = 2 ** 20
/** Starts another one, which says that it is there and stays. */
const parent = `
  const child = require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(`
    while (process.cpuUsage().user < 300_000);
    console.log('here')
    setInterval(() => {}, 1000)
  `)}], { stdio: ['ignore', 'inherit', 'inherit'] })
  process.on('SIGTERM', () => { child.kill(); process.exit() })
`

describe.runIf(process.platform === 'linux')('a process and what it started', () => {
  test('are counted together', async () => {
    await using child = startParent()
    await once(child.process.stdout, 'data')
    const pid = child.process.pid ?? 0
    const alone = await memoryOfTree(process.pid)
    const { resident, proportional } = await memoryOfTree(pid)
    const { user, system } = await cpuSecondsOfTree(pid)
    expect(await processesOf(pid)).toHaveLength(2)
    expect(user + system).toBeGreaterThan(0.2)
    expect(resident).toBeGreaterThan(proportional)
    expect(proportional).toBeGreaterThan(10 * MiB)
    expect(alone.resident).toBeGreaterThan(0)
  })

  test('that has ended counts nothing', async () => {
    const pid = 2 ** 22 + 1 // more than Linux gives
    expect(await memoryOfTree(pid)).toEqual({ resident: 0, proportional: 0 })
    expect(await cpuSecondsOfTree(pid)).toEqual({ user: 0, system: 0 })
  })
})

function startParent() {
  const child = spawn(process.execPath, ['-e', parent], { stdio: ['ignore', 'pipe', 'inherit'] })
  return {
    process: child,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit')
      child.kill()
      await ended
    },
  }
}
