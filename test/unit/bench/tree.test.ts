import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { cpuSecondsOfTree, memoryOfTree, processesOf } from '../../../bench/tree.ts'

const KiB = 2 ** 10
/** Works for a while, says that it is there, and stays until its input ends. */
const busy = 'n=0; while [ $n -lt 300000 ]; do n=$((n+1)); done; echo here; read -r _'
const parent = `exec 3<&0; sh -c '${busy}' <&3 & wait`

describe.runIf(process.platform === 'linux')('a process and what it started', () => {
  test('are counted together', async () => {
    await using child = startParent()
    await once(child.process.stdout, 'data')
    const pid = child.process.pid ?? 0
    const alone = await memoryOfTree(process.pid)
    const { resident, proportional } = await memoryOfTree(pid)
    const { user, system } = await cpuSecondsOfTree(pid)
    expect(await processesOf(pid)).toHaveLength(2)
    expect(user + system).toBeGreaterThan(0)
    expect(resident).toBeGreaterThan(proportional)
    expect(proportional).toBeGreaterThan(100 * KiB)
    expect(alone.resident).toBeGreaterThan(0)
  })

  test('that has ended counts nothing', async () => {
    const pid = 2 ** 22 + 1 // more than Linux gives
    expect(await memoryOfTree(pid)).toEqual({ resident: 0, proportional: 0 })
    expect(await cpuSecondsOfTree(pid)).toEqual({ user: 0, system: 0 })
  })
})

function startParent() {
  const child = spawn('sh', ['-c', parent], { stdio: ['pipe', 'pipe', 'inherit'] })
  return {
    process: child,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit')
      child.stdin.end()
      await ended
    },
  }
}
