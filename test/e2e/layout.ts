/** An OCI image layout on disk: the form in which clients take content that was never in a registry. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mediaTypes } from '../../src/oci/media-type.ts'
import { type Bundle, descriptor } from './image.ts'

/** The name that the layout's index gives its one entry. */
export const layoutTag = 'built'

export async function writeLayout(folder: string, { root, manifests, blobs }: Bundle): Promise<void> {
  const files = join(folder, 'blobs', 'sha256')
  await mkdir(files, { recursive: true })
  for (const { digest, bytes } of [root, ...manifests, ...blobs])
    await writeFile(join(files, digest.slice('sha256:'.length)), bytes)
  const entry = { ...descriptor(root), annotations: { 'org.opencontainers.image.ref.name': layoutTag } }
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [entry] }
  await writeFile(join(folder, 'index.json'), JSON.stringify(index))
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
}
