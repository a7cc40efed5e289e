/** Clients with a login of an upstream's own, whose private image they pull through. */
import { writeFile } from 'node:fs/promises'
import { describe, expect } from 'vitest'
import { image } from '../fake/content.ts'
import { hub, scene } from '../http/scene.ts'
import { tempDir } from '../support/temp-dir.ts'
import { run, testWith } from './tools.ts'

const app = image('private', { layers: [300] })
const name = 'team/app'

async function site() {
  const at = await scene({
    realTime: true,
    upstreams: net => [
      hub(net, {
        options: { access: 'passthrough', authRealms: [new URL(net.url('auth.hub.test')).host] },
      }),
    ],
  })
  at.net.hub.put(name, 'v1', app)
  at.net.hub.makePrivate(name)
  at.net.hub.addUser('ann', 'right', { pull: [name] })
  at.net.hub.addUser('eve', 'right', { pull: [] })
  return { ...at, host: new URL(at.layover.url).host }
}

describe('a private image', () => {
  testWith(['crane'], 'is pulled by crane with a login that may, and by nobody else', async () => {
    await using at = await site()
    await using home = await tempDir()
    const digest = () => run('crane', ['--insecure', 'digest', `${at.host}/docker.io/${name}:v1`], home.path)
    const login = (user: string) =>
      run('crane', ['auth', 'login', at.host, '-u', user, '-p', 'right'], home.path)
    await expect(digest()).rejects.toThrow('401')
    await login('ann')
    expect((await digest()).trim()).toBe(app.digest)
    await run(
      'crane',
      ['--insecure', 'pull', `${at.host}/docker.io/${name}:v1`, home.join('image.tar')],
      home.path,
    )
    await login('eve')
    await expect(digest()).rejects.toThrow('403')
  })

  testWith(['regctl'], 'is pulled by regctl with a login that may', async () => {
    await using at = await site()
    await using home = await tempDir()
    const config = { hosts: { [at.host]: { tls: 'disabled', user: 'ann', pass: 'right' } } }
    await writeFile(home.join('config.json'), JSON.stringify(config))
    const regctl = (...args: string[]) =>
      run('env', [`REGCTL_CONFIG=${home.join('config.json')}`, 'regctl', ...args], home.path)
    expect((await regctl('image', 'digest', `${at.host}/docker.io/${name}:v1`)).trim()).toBe(app.digest)
  })
})
