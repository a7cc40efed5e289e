/** The registries that Layover is compared with, each with its defaults, its access log on, and a store on the same disk. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findDistribution, findOnPath, findProgram, startDistribution } from '../distribution.ts'
import { freePort, goEnvironment, launch, Server } from '../server.ts'
import { fillByPushing, type Peer, type PeerOptions, urlOf } from './peer.ts'

const distribution: Peer = {
  name: 'distribution 3',
  from: 'go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2',
  find: () => findDistribution()?.program,
  start: (program, options) => startDistribution(program, { ...options, accessLog: true }),
  fill: fillByPushing,
  mirrorBase: '/v2',
}

const dockerRegistry: Peer = {
  name: 'docker-registry 2',
  from: 'the Debian package docker-registry',
  find: () => findProgram('docker-registry', / v?2\./)?.program,
  start: (program, options) => startDistribution(program, { ...options, accessLog: true }),
  fill: fillByPushing,
  mirrorBase: '/v2',
}

/** No mirror here: it fetches whole images. */
const zot: Peer = {
  name: 'zot',
  from: 'https://zotregistry.dev, put on PATH',
  find: () => findOnPath('zot'),
  start: startZot,
  fill: fillByPushing,
}

const angos: Peer = {
  name: 'angos',
  from: 'https://github.com/project-angos/angos, put on PATH',
  find: () => findOnPath('angos'),
  start: startAngos,
  fill: fillByPushing,
  mirrorBase: '/v2/origin',
}

export const registries: readonly Peer[] = [distribution, dockerRegistry, zot, angos]

async function startZot(program: string, { home, cores, certificate }: PeerOptions): Promise<Server> {
  const [address, port] = ['127.0.0.1', String(await freePort())]
  const file = join(home, 'config.json')
  const tls = certificate && { cert: certificate.cert, key: certificate.key }
  const configuration = {
    distSpecVersion: '1.1.1',
    storage: { rootDirectory: join(home, 'data') },
    http: { address, port, tls },
    log: { level: 'info' }, // with it comes a line for each request
  }
  await mkdir(home, { recursive: true })
  await writeFile(file, JSON.stringify(configuration))
  const command = [program, 'serve', file] as const
  const url = urlOf(`${address}:${port}`, certificate)
  const env = goEnvironment(cores)
  return new Server(await launch({ command: [...command], home, url, readyPath: '/v2/', cores, env }))
}

async function startAngos(program: string, options: PeerOptions): Promise<Server> {
  const { home, cores, certificate } = options
  const port = await freePort()
  const file = join(home, 'config.toml')
  await mkdir(home, { recursive: true })
  await writeFile(file, angosConfiguration(port, options))
  const command = [program, '-c', file, 'server'] as const
  const url = urlOf(`127.0.0.1:${port}`, certificate)
  const env = { RUST_LOG: 'info' } // its access log
  return new Server(await launch({ command: [...command], home, url, readyPath: '/v2/', cores, env }))
}

function angosConfiguration(port: number, { home, certificate, upstream }: PeerOptions): string {
  const tls =
    certificate &&
    `[server.tls]
server_certificate_bundle = "${certificate.cert}"
server_private_key = "${certificate.key}"
`
  const repository =
    upstream === undefined
      ? '[repository."local"]'
      : `[[repository."origin".upstream]]
url = "${upstream}"`
  return `[server]
bind_address = "127.0.0.1"
port = ${port}

${tls ?? ''}
[global.access_policy]
default = "allow"

[blob_store.fs]
root_dir = "${join(home, 'data')}"

${repository}
`
}
