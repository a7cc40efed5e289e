/** nginx with the same bytes as static files: the practical limit. sendfile, its own access log. */
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
  mirrorBase: '/v2',
}

async function start(program: string, options: PeerOptions): Promise<Server> {
  const { home, cores, certificate } = options
  const address = `127.0.0.1:${await freePort()}`
  const file = join(home, 'nginx.conf')
  await mkdir(join(home, 'root', 'v2'), { recursive: true })
  await writeFile(join(home, 'root', 'v2', 'ready'), '{}')
  await writeFile(file, configuration(address, options))
  const command = [program, '-p', home, '-c', file, '-e', join(home, 'error.log')] as const
  const url = urlOf(address, certificate)
  return new Server(await launch({ command: [...command], home, url, readyPath: '/v2/ready', cores }))
}

/** As Debian ships it, where nothing is said. Connections are not closed after a thousand requests: registries do not either. */
function configuration(address: string, { home, certificate, upstream, workers = 1 }: PeerOptions): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(kind => `  ${kind}_temp_path ${join(home, kind)};`)
    .join('\n')
  const tls = certificate
    ? `ssl_certificate ${certificate.cert}; ssl_certificate_key ${certificate.key}; ssl_protocols TLSv1.2 TLSv1.3;`
    : ''
  return `daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes ${workers};
pid ${join(home, 'pid')};
events { worker_connections 4096; }
http {
${temporary}
  sendfile on;
  tcp_nopush on;
  access_log ${join(home, 'access.log')};
  keepalive_requests 1000000000;
  default_type application/octet-stream;
  proxy_cache_path ${join(home, 'cache')} levels=1:2 keys_zone=cache:1m inactive=1d use_temp_path=off;
  server {
    listen ${address}${certificate ? ' ssl' : ''};
    ${tls}
    root ${join(home, 'root')};
    ${upstream === undefined ? '' : caching(upstream)}
    location ~ /manifests/ { default_type ${manifestType}; }
  }
}
`
}

/** One request upstream, for which the others wait. */
function caching(upstream: string): string {
  return `location ~ /blobs/ {
      proxy_pass ${upstream};
      proxy_http_version 1.1;
      proxy_cache cache;
      proxy_cache_valid 200 1d;
      proxy_cache_lock on;
      proxy_cache_lock_timeout 1h;
      proxy_cache_lock_age 1h;
    }`
}
