/** What replicas share, as real servers: one Redis that keeps nothing on disk, and an S3 server over a folder. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Daemon } from '../e2e/daemon.ts'
import { environment } from '../e2e/environment.ts'
import { freePort } from './free-port.ts'

export const bucket = 'layover'
const accessKeyId = 'replicas'
const secretAccessKey = 'the replicas of a test'

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

/** With one bucket. */
export async function startS3(root: string): Promise<Backend & { readonly setting: S3Setting }> {
  const home = join(root, 's3')
  await mkdir(join(home, bucket), { recursive: true })
  const port = await freePort()
  const server = ['--access', accessKeyId, '--secret', secretAccessKey, '--port', `127.0.0.1:${port}`]
  const args = [...server, '--keep-alive', '--quiet', 'posix', home]
  const backend = backendOf(port, async () => {
    const daemon = new Daemon('versitygw', args, { cwd: root, env: environment(home) })
    await daemon.line(/service listening on/)
    return daemon
  })
  await backend.start()
  return {
    ...backend,
    setting: {
      bucket,
      endpoint: `http://127.0.0.1:${port}`,
      region: 'us-east-1',
      pathStyle: true,
      accessKeyId,
      secretAccessKey,
    },
  }
}

export interface S3Setting {
  readonly bucket: string
  readonly endpoint: string
  readonly region: string
  readonly pathStyle: boolean
  readonly accessKeyId: string
  readonly secretAccessKey: string
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
