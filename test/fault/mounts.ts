/** Small and read-only disks for tests that may mount them. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Whether this process may mount: root, and not in a container that forbids it. */
export const mayMount = process.platform === 'linux' && process.getuid?.() === 0 && trial()

/** A disk of its own; `fill` takes all the room that is left. */
export function tinyDisk(bytes: number) {
  const path = mkdtempSync(join(tmpdir(), 'layover-disk-'))
  mount('-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path)
  const ballast = join(path, 'ballast')
  return {
    path,
    async fill(): Promise<void> {
      const step = Buffer.alloc(4_096)
      const flag = 'a'
      for (;;) {
        try {
          await writeFile(ballast, step, { flag })
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return
          throw error
        }
      }
    },
    empty: () => rm(ballast, { force: true }),
    [Symbol.dispose]() {
      execFileSync('umount', ['--lazy', path])
      rmdirSync(path)
    },
  }
}

/** Makes a folder read-only for whatever opens files in it from now on. */
export function readOnly(path: string): Disposable {
  mount('--bind', path, path)
  mount('-o', 'remount,bind,ro', path)
  return {
    [Symbol.dispose]() {
      execFileSync('umount', ['--lazy', path]) // a process may have opened a file in it meanwhile
    },
  }
}

function trial(): boolean {
  try {
    tinyDisk(4_096)[Symbol.dispose]()
    return true
  } catch {
    return false
  }
}

function mount(...args: string[]): void {
  execFileSync('mount', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
