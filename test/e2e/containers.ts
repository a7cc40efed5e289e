/** podman and buildah with a store of their own, which leave the machine's alone. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './tools.ts'

export interface ContainerTools {
  readonly podman: (...args: string[]) => Promise<string>
  readonly buildah: (...args: string[]) => Promise<string>
}

export async function containerTools(home: string): Promise<ContainerTools> {
  const settings = join(home, '.config', 'containers')
  await mkdir(settings, { recursive: true })
  await writeFile(join(settings, 'policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}')
  const store = [`--root=${home}/root`, `--runroot=${home}/run`, '--storage-driver=vfs']
  const engine = [`--tmpdir=${home}/tmp`, '--cgroup-manager=cgroupfs', '--events-backend=none']
  return {
    podman: (...args) => run('podman', [...store, ...engine, ...args], home),
    buildah: (...args) => run('buildah', [...store, ...args], home),
  }
}
