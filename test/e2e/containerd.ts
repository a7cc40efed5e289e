/** containerd, a private one without the CRI, and ctr to speak to it. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Daemon } from './daemon.ts'
import { environment } from './environment.ts'
import { run } from './tools.ts'

export interface Containerd extends AsyncDisposable {
  readonly ctr: (...args: string[]) => Promise<string>
}

export async function startContainerd(home: string): Promise<Containerd> {
  const config = join(home, 'config.toml')
  const socket = join(home, 'containerd.sock')
  await writeFile(
    config,
    `version = 2
root = "${home}/root"
state = "${home}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${home}/opt"
`,
  )
  const daemon = new Daemon('containerd', ['--config', config], { cwd: home, env: environment(home) })
  await daemon.line(/containerd successfully booted/)
  return {
    ctr: (...args) => run('ctr', [`--address=${socket}`, ...args], home),
    [Symbol.asyncDispose]: () => daemon.stop(),
  }
}
