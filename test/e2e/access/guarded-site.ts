/** A Layover that wants logins, and what clients need to knock at it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFailed } from 'vitest'
import { basic, usersNamed } from '../../support/access.ts'
import { freePort } from '../../support/free-port.ts'
import { type Bundle, multiArchImage } from '../image.ts'
import { writeLayout } from '../layout.ts'
import { Layover } from '../layover.ts'
import { publish } from '../publish.ts'
import type { Login, Visitor } from './clients.ts'

/** Pulled by alice, mallory and a robot of the issuer; pushed by alice. */
export const secret = 'local/team/app:1.0'
/** Pulled by everybody. */
export const open = 'local/open/app:1.0'
/** An `ns` that is our own. */
export const ownName = 'registry.test'

/** Alice may do everything; others may only pull, strangers what is open. */
const policy = {
  rules: [
    { name: 'alice', when: 'user == "alice"' },
    { name: 'people and robots pull', when: 'action == "pull" && authenticated' },
    { name: 'everybody pulls what is open', when: 'action == "pull" && repository.like("local/open/**")' },
  ],
}

/** All clients guess from one address, and what comes again after a while counts again: on a slow machine too often. */
const uncounted = { perAddress: 0, perUser: 0 }

export class GuardedSite implements AsyncDisposable {
  readonly image: Bundle = multiArchImage()
  readonly root: string
  /** `host:port`. */
  readonly address: string
  /** That of a listener which never challenges. */
  readonly mirror: string
  readonly #layover: Layover
  readonly #resources: AsyncDisposableStack

  private constructor(
    places: { root: string; mirror: string },
    layover: Layover,
    resources: AsyncDisposableStack,
  ) {
    this.root = places.root
    this.mirror = places.mirror
    this.address = layover.address
    this.#layover = layover
    this.#resources = resources
  }

  /** @param access besides users and policy; @param listeners besides that of a registry and that of a mirror */
  static async start(access: object, listeners: readonly object[] = []): Promise<GuardedSite> {
    const root = await mkdtemp(join(tmpdir(), 'layover-e2e-'))
    await using resources = new AsyncDisposableStack()
    resources.defer(() => rm(root, { recursive: true, force: true }))
    const mirror = `127.0.0.1:${await freePort()}`
    const layover = await Layover.start(
      root,
      { address: '127.0.0.1:1' },
      {
        listeners: [{ address: mirror, role: 'mirror' }, ...listeners],
        settings: {
          hosts: [ownName],
          access: { users: usersNamed('alice', 'mallory'), policy, logins: uncounted, ...access },
        },
      },
    )
    resources.use(layover)
    const site = new GuardedSite({ root, mirror }, layover, resources.move())
    await site.#fill()
    return site
  }

  /** What a client of this place is told about itself. */
  async visitor(login?: Login): Promise<Visitor> {
    const { address, layout, image } = this
    return { home: await this.home(), address, login, layout, image }
  }

  async #fill(): Promise<void> {
    await writeLayout(this.layout, this.image)
    for (const name of [secret, open])
      await publish({ address: this.address, namespace: '', authorization: basic('alice') }, name, this.image)
  }

  /** Folder of an OCI layout with the image. */
  get layout(): string {
    return join(this.root, 'image')
  }

  /** A fresh folder for a client. */
  async home(): Promise<string> {
    onTestFailed(() => console.error(this.#layover.log()))
    return mkdtemp(join(this.root, 'home-'))
  }

  audits(): Record<string, unknown>[] {
    return this.#layover.audits()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync()
  }
}
