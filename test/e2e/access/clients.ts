/** What clients do who log in, pull and push, in each one's own words. */
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DockerLogin, type Kept } from '../../clients/docker-login.ts'
import { DockerPush, userAgent } from '../../clients/docker-push.ts'
import { ClientError } from '../../clients/http.ts'
import type { Containerd } from '../containerd.ts'
import { containerTools } from '../containers.ts'
import type { Bundle } from '../image.ts'
import { layoutTag } from '../layout.ts'
import { run } from '../tools.ts'

export interface Login {
  readonly user: string
  readonly password: string
}

/** Who uses a client where. */
export interface Visitor {
  /** Folder of its own, with what the client remembers. */
  readonly home: string
  /** `host:port`, without TLS. */
  readonly address: string
  /** Undefined: a stranger. */
  readonly login: Login | undefined
  /** Folder of an OCI layout with an image to push. */
  readonly layout: string
  readonly image: Bundle
}

export interface Client {
  readonly tools: readonly string[]
  /** Rejects for a wrong password, unless the client never asks. */
  readonly logIn: (visitor: Visitor, login: Login) => Promise<unknown>
  /** @param name with a tag */
  readonly pull: (visitor: Visitor, name: string) => Promise<unknown>
  readonly push: (visitor: Visitor, name: string) => Promise<unknown>
  /** Without a login it pulls nothing from where a password is asked for. */
  readonly stopsAtBasic?: boolean
  /** containerd 1.6 waits for ever once it has read that its manifest is refused. */
  readonly hangsAtManifest?: boolean
}

const crane: Client = {
  tools: ['crane'],
  logIn: ({ home, address }, { user, password }) =>
    run('crane', ['auth', 'login', '-u', user, '-p', password, address], home),
  pull: ({ home, address }, name) =>
    run('crane', ['--insecure', 'validate', '--remote', `${address}/${name}`], home),
  push: ({ home, address, layout }, name) =>
    run('crane', ['--insecure', 'push', layout, `${address}/${name}`], home),
}

function regctlAt({ home, address }: Visitor, ...args: string[]) {
  return run('regctl', ['--host', `reg=${address},tls=disabled`, ...args], home)
}

const regctl: Client = {
  tools: ['regctl'],
  logIn: (visitor, { user, password }) =>
    regctlAt(visitor, 'registry', 'login', '-u', user, '-p', password, visitor.address),
  pull: (visitor, name) =>
    regctlAt(visitor, 'image', 'copy', `${visitor.address}/${name}`, `ocidir://${visitor.home}/pulled`),
  push: (visitor, name) =>
    regctlAt(
      visitor,
      'image',
      'copy',
      `ocidir://${visitor.layout}:${layoutTag}`,
      `${visitor.address}/${name}`,
    ),
}

const plain = '--tls-verify=false'

function skopeoAt({ home }: Visitor, ...args: string[]) {
  return run('skopeo', ['--insecure-policy', `--tmpdir=${home}`, ...args], home)
}

const skopeo: Client = {
  tools: ['skopeo'],
  logIn: ({ home, address }, { user, password }) =>
    run('skopeo', ['login', plain, '-u', user, '-p', password, address], home),
  pull: (visitor, name) =>
    skopeoAt(
      visitor,
      'copy',
      '--all',
      '--src-tls-verify=false',
      `docker://${visitor.address}/${name}`,
      `dir:${visitor.home}/pulled`,
    ),
  push: (visitor, name) =>
    skopeoAt(
      visitor,
      'copy',
      '--all',
      '--dest-tls-verify=false',
      `oci:${visitor.layout}:${layoutTag}`,
      `docker://${visitor.address}/${name}`,
    ),
}

const podman: Client = {
  tools: ['podman'],
  async logIn({ home, address }, { user, password }) {
    const tools = await containerTools(home)
    return tools.podman('login', plain, '-u', user, '-p', password, address)
  },
  async pull({ home, address }, name) {
    const tools = await containerTools(home)
    return tools.podman('pull', '--quiet', plain, `${address}/${name}`)
  },
  async push({ home, address, layout }, name) {
    const tools = await containerTools(home)
    await symlink(layout, join(home, 'image')).catch(() => {}) // it is there from an earlier push
    const id = (await tools.podman('pull', '--quiet', `oci:image:${layoutTag}`)).trim() // it makes a name of the path
    return tools.podman('push', plain, id, `docker://${address}/${name}`)
  },
}

/** Its charts lie one name deeper. */
const helm: Client = {
  tools: ['helm'],
  logIn: ({ home, address }, { user, password }) =>
    run('helm', ['registry', 'login', '--plain-http', '-u', user, '-p', password, address], home),
  pull: ({ home, address }, name) => {
    const { repository, tag } = parts(name)
    return run(
      'helm',
      ['pull', '--plain-http', `oci://${address}/${repository}/web`, '--version', `${tag}.0`],
      home,
    )
  },
  async push({ home, address }, name) {
    const { repository, tag } = parts(name)
    await mkdir(join(home, 'web'), { recursive: true })
    await writeFile(join(home, 'web', 'Chart.yaml'), `apiVersion: v2\nname: web\nversion: ${tag}.0\n`)
    await run('helm', ['package', 'web'], home)
    return run('helm', ['push', '--plain-http', `web-${tag}.0.tgz`, `oci://${address}/${repository}`], home)
  },
}

/** It is told the login each time. What it pushes it has pulled before. */
export function ctrOf({ ctr }: Containerd, source: string): Client {
  const as = ({ login }: Visitor) => (login ? [`--user=${login.user}:${login.password}`] : [])
  return {
    tools: ['containerd', 'ctr'],
    hangsAtManifest: true,
    logIn: () => Promise.resolve(),
    pull: (visitor, name) =>
      ctr(
        'content',
        'fetch',
        '--plain-http',
        '--all-platforms',
        ...as(visitor),
        `${visitor.address}/${name}`,
      ),
    push: (visitor, name) =>
      ctr('images', 'push', '--plain-http', ...as(visitor), `${visitor.address}/${name}`, source),
  }
}

/** The emulator: its daemon is no client that a test could start. */
export function docker(): Client {
  const config = new Map<string, Kept>()
  const sessionOf = ({ home, address }: Visitor) => new DockerLogin(`http://${address}`, config.get(home))
  return {
    tools: [],
    stopsAtBasic: true,
    async logIn({ home, address }, { user, password }) {
      config.set(home, await new DockerLogin(`http://${address}`, { username: user, password }).login())
    },
    async pull(visitor, name) {
      const { repository, tag } = parts(name)
      const login = sessionOf(visitor)
      await login.ping()
      const headers = await login.headers([`repository:${repository}:pull`])
      const base = `http://${visitor.address}/v2/${repository}`
      const [amd64] = visitor.image.manifests
      const paths = [
        `manifests/${tag}`,
        `manifests/${amd64?.digest}`,
        `blobs/${visitor.image.blobs[0]?.digest}`,
      ]
      for (const path of paths) await got(`${base}/${path}`, headers)
    },
    async push(visitor, name) {
      const { repository, tag } = parts(name)
      const { manifests, blobs } = visitor.image
      const [manifest] = manifests
      if (!manifest) throw new Error('the image has no manifest')
      const held = blobs.filter(({ digest }) => manifest.bytes.includes(digest))
      const body = { mediaType: manifest.mediaType, body: manifest.bytes }
      await new DockerPush(`http://${visitor.address}`, repository, sessionOf(visitor)).push(held, body, tag)
    },
  }
}

async function got(url: string, headers: Readonly<Record<string, string>>): Promise<void> {
  const accept = 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, */*'
  const answer = await fetch(url, { headers: { 'user-agent': userAgent, accept, ...headers } })
  const text = await answer.text()
  if (!answer.ok) throw new ClientError(`${answer.status} ${text}`, { status: answer.status })
}

function parts(name: string): { repository: string; tag: string } {
  const [repository = '', tag = ''] = name.split(':')
  return { repository, tag }
}

export const clients: Readonly<Record<string, Client>> = {
  crane,
  regctl,
  skopeo,
  podman,
  helm,
  Docker: docker(),
}
