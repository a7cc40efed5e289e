/** A Redis that keeps nothing on disk. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Daemon } from '../e2e/daemon.ts'
import { environment } from '../e2e/environment.ts'
import { freePort } from './free-port.ts'

export interface Backend extends AsyncDisposable {
  readonly port: number
  /** As the kernel's out-of-memory killer ends it. */
  kill(): Promise<void>
  /** On the same port, with what it keeps on disk. */
  start(): Promise<void>
  /** It keeps its connections, and does nothing. */
  sleep(): void
  wake(): void
}

/** Empty at every start. */
export async function startRedis(root: string): Promise<Backend & { readonly url: string }> {
  const home = join(root, 'redis')
  await mkdir(home)
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const backend = backendOf(port, async () => {
    const daemon = new Daemon('redis-server', args, { cwd: home, env: environment(home) })
    await daemon.line(/Ready to accept connections/)
    return daemon
  })
  await backend.start()
  return { ...backend, url: `redis://127.0.0.1:${port}` }
}

function backendOf(port: number, run: () => Promise<Daemon>): Backend {
  let daemon: Daemon | undefined
  const kill = async () => {
    daemon?.send('SIGKILL') // one that sleeps dies of it too
    await daemon?.ended
  }
  return {
    port,
    kill,
    start: async () => {
      daemon = await run()
    },
    sleep: () => daemon?.send('SIGSTOP'),
    wake: () => daemon?.send('SIGCONT'),
    [Symbol.asyncDispose]: kill,
  }
}
