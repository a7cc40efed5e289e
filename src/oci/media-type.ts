/** Media types of manifests, and what we ask upstreams for. */

export const mediaTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  ociArtifact: 'application/vnd.oci.artifact.manifest.v1+json',
  orasArtifact: 'application/vnd.cncf.oras.artifact.manifest.v1+json',
} as const

/**
 * Sent on every manifest request, HEAD and GET alike: upstreams that negotiate must give one digest for a tag,
 * whichever client asked first.
 */
export const acceptManifests = `${Object.values(mediaTypes).join(', ')}, */*;q=0.1`

/** Whether a descriptor with this media type names a further manifest. */
export function isManifestType(mediaType: string): boolean {
  return (Object.values(mediaTypes) as string[]).includes(mediaType)
}

/** `type/subtype` in the characters of RFC 6838 §4.2: what stands in a manifest goes into a header. */
export function isMediaType(text: string): boolean {
  return /^[a-z0-9][\w!#$&^.+-]{0,126}\/[a-z0-9][\w!#$&^.+-]{0,126}$/i.test(text)
}
