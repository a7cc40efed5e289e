/** What names mean under a configuration. */
import type { Config, UpstreamConfig } from '../config/config.ts'
import type { LocalNamespace } from '../pull/target.ts'
import { Resolver } from '../resolve/resolve.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { Upstream } from '../upstream/upstream.ts'

export function resolverOf(
  { upstreams, local, hosts }: Pick<Config, 'upstreams' | 'local' | 'hosts'>,
  upstreamOf: (config: UpstreamConfig) => Upstream,
): Resolver {
  const known = upstreams.map(upstream => ({
    upstream: upstreamOf(upstream),
    policy: upstream.policy,
    aliases: upstream.aliases,
    isDefault: upstream.isDefault,
  }))
  return new Resolver(known, local, hosts)
}

/** The rules for what a local repository holds; undefined where no namespace has it any more. */
export function namespaceOf({ repository }: RepositoryKey, resolver: Resolver): LocalNamespace | undefined {
  const local = resolver.find(repository)?.local
  return local?.repository === repository ? local.namespace : undefined
}

/** Path of `publicUrl`, without a trailing slash: what a proxy in front of us strips. */
export function publicPathOf({ publicUrl }: Config): string {
  return publicUrl === undefined ? '' : new URL(publicUrl).pathname.replace(/\/$/, '')
}
