/** A real S3 service over a folder (versitygw), with a bucket and credentials of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { S3Options } from '../../src/store/s3/options.ts'
import { loopbackCertificate } from '../fake/certificates.ts'
import { freePort } from './free-port.ts'
import { tempDir } from './temp-dir.ts'

const credentials = { accessKeyId: 'layover', secretAccessKey: 'layover-secret' }
const tools = process.env.LAYOVER_TOOLS ?? join(homedir(), '.cache/layover-tools/bin')
const command = [tools, ...(process.env.PATH ?? '').split(delimiter), join(homedir(), 'go/bin')]
  .map(folder => join(folder, 'versitygw'))
  .find(path => existsSync(path))

/** Whether `test/setup.sh` could install it; in CI it has to. */
export const hasS3 = command !== undefined || process.env.CI !== undefined

export type S3Service = Awaited<ReturnType<typeof startS3>>

/** @param tls speaks HTTPS, with `loopbackCertificate` */
export async function startS3({ tls = false } = {}) {
  if (command === undefined) throw new Error('versitygw is not installed: run test/setup.sh')
  const dir = await tempDir()
  const bucket = 'layover'
  await mkdir(dir.join(bucket))
  const port = await freePort()
  const { accessKeyId, secretAccessKey } = credentials
  const args = ['--access', accessKeyId, '--secret', secretAccessKey, '--port', `127.0.0.1:${port}`]
  if (tls) {
    await writeFile(dir.join('cert'), loopbackCertificate.cert)
    await writeFile(dir.join('key'), loopbackCertificate.key)
    args.push('--cert', dir.join('cert'), '--key', dir.join('key'))
  }
  const start = async () => {
    const child = spawn(command, [...args, '--keep-alive', '--quiet', 'posix', dir.path], { stdio: 'ignore' })
    const kill = () => child.kill('SIGKILL')
    process.once('exit', kill) // of a test that failed before it could stop it
    const ended = once(child, 'exit').finally(() => process.off('exit', kill))
    await accepting(port, child)
    return {
      async stop() {
        kill()
        await ended
      },
    }
  }
  let running = await start()
  return {
    port,
    /** Where an object lies. */
    path: (key: string) => dir.join(bucket, key),
    /** @param at another port, of a proxy in front */
    options: (given: Partial<S3Options> = {}, at = port): S3Options => ({
      bucket,
      region: 'us-east-1',
      endpoint: `${tls ? 'https' : 'http'}://127.0.0.1:${at}`,
      prefix: '',
      pathStyle: true,
      credentials,
      ca: undefined,
      timeouts: { connectMs: 1_000, requestMs: 10_000, idleMs: 10_000 },
      connections: 64,
      ...given,
    }),
    stop: () => running.stop(),
    async restart() {
      running = await start()
    },
    async [Symbol.asyncDispose]() {
      await running.stop()
      await dir[Symbol.asyncDispose]()
    },
  }
}

async function accepting(port: number, child: { readonly exitCode: number | null }): Promise<void> {
  for (let tries = 0; tries < 1_200; tries += 1) {
    const socket = connect(port, '127.0.0.1')
    const is = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false)
    socket.destroy()
    if (is) return
    if (child.exitCode !== null) break
    await new Promise(resolve => setTimeout(resolve, 25))
  }
  throw new Error('versitygw does not listen')
}
