/** What is special about Docker Hub: its names. */

export const hub = 'docker.io'
export const hubUrl = 'https://registry-1.docker.io'

/** Clients, libraries and old documentation use all of them (clients send `ns=registry-1.docker.io`, too). */
export const hubAliases: readonly string[] = [
  'index.docker.io',
  'registry-1.docker.io',
  'registry.hub.docker.com',
  'registry.docker.io',
]
