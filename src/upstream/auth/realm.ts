/** Which token realms may be sent the password of a registry: CVE-2026-33540 came of sending it anywhere. */

/** Registries whose realm is on another host, by their own documentation. */
const knownRealms: Readonly<Record<string, string>> = {
  'registry-1.docker.io': 'auth.docker.io',
  'index.docker.io': 'auth.docker.io',
  'registry.hub.docker.com': 'auth.docker.io',
  'lscr.io': 'ghcr.io',
  'nvcr.io': 'authn.nvidia.com',
  'registry.gitlab.com': 'gitlab.com',
  'registry.redhat.io': 'sso.redhat.com',
}

/** The realm as a URL that may be asked at all, if only without a password; undefined: none that we would ask. */
export function parseRealm(text: string | undefined, registry: URL): URL | undefined {
  if (text === undefined || !URL.canParse(text)) return undefined
  const realm = new URL(text)
  if (realm.protocol !== 'https:' && realm.protocol !== 'http:') return undefined
  if (realm.protocol === 'http:' && registry.protocol === 'https:') return undefined
  if (realm.username !== '' || realm.password !== '') return undefined
  return realm
}

/** `authRealms` holds `host` (the scheme's own port) or `host:port`. */
export function mayHavePassword(realm: URL, registry: URL, authRealms: readonly string[]): boolean {
  if (realm.protocol !== 'https:' && registry.protocol !== 'http:') return false
  if (realm.host === registry.host && realm.protocol === registry.protocol) return true
  if (realm.protocol === 'https:' && knownRealms[registry.host] === realm.host) return true
  return authRealms.some(entry => hostOf(entry, realm.protocol) === realm.host)
}

/** The entry as `URL.host` spells it: without the scheme's own port. */
function hostOf(entry: string, protocol: string): string | undefined {
  const url = entry.includes('://') ? entry : `${protocol}//${entry}`
  return URL.canParse(url) ? new URL(url).host : undefined
}
