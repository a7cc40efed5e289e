/** The registries that Layover is compared with, each with its defaults, its access log on, and a store on the same disk. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findDistribution, findOnPath, findProgram, startDistribution } from '../distribution.ts'
import { freePort, launch, Server } from '../server.ts'
import { fillByPushing, type Peer, type PeerOptions, urlOf } from './peer.ts'

const distribution: Peer = {
  name: 'distribution 3',
  from: 'go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2',
  find: () => findDistribution()?.program,
  start: (program, options) => startDistribution(program, { ...options, accessLog: true }),
  fill: fillByPushing,
}

const dockerRegistry: Peer = {
  name: 'docker-registry 2',
  from: 'the Debian package docker-registry',
  find: () => findProgram('docker-registry', / v?2\./)?.program,
  start: (program, options) => startDistribution(program, { ...options, accessLog: true }),
  fill: fillByPushing,
}

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
}

export const registries: readonly Peer[] = [distribution, dockerRegistry, zot, angos]

async function startZot(program: string, { home, cores, certificate }: PeerOptions): Promise<Server> {
  const [host, port] = ['127.0.0.1', String(await freePort())]
  const file = join(home, 'config.json')
  const tls = certificate ? { tls: certificate } : {}
  const configuration = {
    storage: { rootDirectory: join(home, 'data') },
    http: { address: host, port, ...tls },
    log: { level: 'info' },
  }
  await mkdir(home, { recursive: true })
  await writeFile(file, JSON.stringify(configuration))
  const command = [program, 'serve', file] as const
  const url = urlOf(`${host}:${port}`, certificate)
  const env = { GOMAXPROCS: '1' }
  return new Server(await launch({ command: [...command], home, url, readyPath: '/v2/', cores, env }))
}

async function startAngos(program: string, { home, cores, certificate }: PeerOptions): Promise<Server> {
  const [host, port] = ['127.0.0.1', String(await freePort())]
  const file = join(home, 'config.toml')
  const tls = certificate
    ? `[server.tls]
server_certificate_bundle = "${certificate.cert}"
server_private_key = "${certificate.key}"`
    : ''
  await mkdir(home, { recursive: true })
  await writeFile(
    file,
    `[server]
bind_address = "${host}"
port = ${port}
${tls}
[global.access_policy]
default = "allow"
[blob_store.fs]
root_dir = "${join(home, 'data')}"
[metadata_store.fs]
root_dir = "${join(home, 'data')}"
[repository.local]
namespace = "^local/"
`,
  )
  const command = [program, '-c', file, 'server'] as const
  const url = urlOf(`${host}:${port}`, certificate)
  return new Server(await launch({ command: [...command], home, url, readyPath: '/v2/', cores }))
}
