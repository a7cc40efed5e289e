/** What replicas share: a Redis without persistence, and an S3 server over a folder on the disk that counts. */
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { findOnPath } from '../distribution.ts'
import { freePort, goEnvironment, launch, Server } from '../server.ts'
import type { Site } from '../site.ts'

const bucket = 'layover'
const credentials = { accessKeyId: 'layover', secretAccessKey: 'layover-secret' }

export class Redis extends Server {
  static async start(site: Site, cores?: string): Promise<Redis> {
    const port = await freePort()
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
    return new Redis(
      await launch({
        command: [programOf('redis-server'), ...args],
        home: site.newPath(),
        url: `redis://127.0.0.1:${port}`,
        isReady: () => answersPing(port),
        cores,
      }),
    )
  }
}

export class S3 extends Server {
  readonly #root: string

  private constructor(launched: ConstructorParameters<typeof Server>[0], root: string) {
    super(launched)
    this.#root = root
  }

  static async start(site: Site, cores?: string): Promise<S3> {
    const home = site.newPath()
    const root = join(home, 'buckets')
    mkdirSync(join(root, bucket), { recursive: true })
    const address = `127.0.0.1:${await freePort()}`
    const { accessKeyId, secretAccessKey } = credentials
    const args = ['--access', accessKeyId, '--secret', secretAccessKey, '--port', address]
    const options = ['--health', '/health', '--keep-alive', '--quiet']
    const launched = await launch({
      command: [programOf('versitygw'), ...args, ...options, 'posix', root],
      home,
      url: `http://${address}`,
      readyPath: '/health',
      cores,
      env: goEnvironment(cores),
    })
    return new S3(launched, root)
  }

  /** As `store.s3` has it. */
  get setting() {
    return { bucket, endpoint: this.url, region: 'us-east-1', pathStyle: true, ...credentials }
  }

  /** Where an object lies. */
  path(key: string): string {
    return join(this.#root, bucket, key)
  }

  /** From here on anybody may read the objects. */
  async publish(): Promise<void> {
    const { PutBucketPolicyCommand, S3Client } = await import('@aws-sdk/client-s3')
    const { endpoint, region } = this.setting
    const client = new S3Client({ endpoint, region, credentials: { ...credentials }, forcePathStyle: true }) // it marks them
    const anybody = {
      Effect: 'Allow',
      Principal: '*',
      Action: 's3:GetObject',
      Resource: `arn:aws:s3:::${bucket}/*`,
    }
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [anybody] })
    await client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }))
    client.destroy()
  }

  /** For anybody, once it is published. */
  urlOf(key: string): string {
    return `${this.url}/${bucket}/${key}`
  }
}

function programOf(name: string): string {
  const program = findOnPath(name)
  if (program === undefined) throw new Error(`${name} is missing: \`sh bench/setup.sh\``)
  return program
}

async function answersPing(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    socket.write('PING\r\n')
    const [answer] = (await once(socket, 'data')) as [Buffer]
    return answer.toString().startsWith('+PONG')
  } catch {
    return false // not listening yet
  } finally {
    socket.destroy()
  }
}
