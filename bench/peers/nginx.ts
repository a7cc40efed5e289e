/** nginx with the same bytes as static files: the practical limit. One worker, sendfile, its own access log. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findOnPath } from '../distribution.ts'
import { freePort, launch, Server } from '../server.ts'
import { type Peer, type PeerOptions, urlOf } from './peer.ts'
import { manifestType, writeShelf } from './shelf.ts'

export const nginx: Peer = {
  name: 'nginx',
  from: 'the Debian package nginx-light',
  find: () => findOnPath('nginx'),
  start,
  fill: (_site, { home }, shelf) => writeShelf(join(home, 'root'), shelf),
}

async function start(program: string, { home, cores, certificate }: PeerOptions): Promise<Server> {
  const address = `127.0.0.1:${await freePort()}`
  const file = join(home, 'nginx.conf')
  await mkdir(join(home, 'root', 'v2'), { recursive: true })
  await writeFile(join(home, 'root', 'v2', 'ready'), '{}')
  await writeFile(file, configuration(address, { home, certificate }))
  const command = [program, '-p', home, '-c', file, '-e', join(home, 'error.log')] as const
  const url = urlOf(address, certificate)
  return new Server(await launch({ command: [...command], home, url, readyPath: '/v2/ready', cores }))
}

/** As Debian ships it, where nothing is said. Connections are not closed after a thousand requests: registries do not either. */
function configuration(
  address: string,
  { home, certificate }: Pick<PeerOptions, 'home' | 'certificate'>,
): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(kind => `  ${kind}_temp_path ${join(home, kind)};`)
    .join('\n')
  const tls = certificate
    ? `ssl_certificate ${certificate.cert}; ssl_certificate_key ${certificate.key}; ssl_protocols TLSv1.2 TLSv1.3;`
    : ''
  return `daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${join(home, 'pid')};
events { worker_connections 4096; }
http {
${temporary}
  sendfile on;
  tcp_nopush on;
  access_log ${join(home, 'access.log')};
  keepalive_requests 1000000000;
  default_type application/octet-stream;
  server {
    listen ${address}${certificate ? ' ssl' : ''};
    ${tls}
    root ${join(home, 'root')};
    location ~ /manifests/ { default_type ${manifestType}; }
  }
}
`
}
