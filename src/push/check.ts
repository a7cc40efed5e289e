/** Whether a pushed body is a manifest that can be kept. What is not known is kept as it is: only contradictions are refused. */
import { RegistryError } from '../oci/errors.ts'
import { type ManifestView, viewManifest } from '../oci/manifest.ts'
import { isManifestType, isMediaType } from '../oci/media-type.ts'

/** Docker's signed manifests of 2015, whose digest is not that of their bytes. */
const schema1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+(?:json|prettyjws)$/

/** @throws RegistryError MANIFEST_INVALID (400) */
export function checkManifest(
  body: Buffer,
  contentType: string | undefined,
): { mediaType: string; view: ManifestView } {
  const view = viewManifest(body)
  if (!view) throw invalid('the body is no JSON object')
  const sent = contentType?.split(';', 1)[0]?.trim()
  const mediaType = sent === undefined || sent === '' ? view.mediaType : sent
  if (mediaType === undefined) throw invalid('send its media type as Content-Type')
  if (!isMediaType(mediaType) || !/\+json$/i.test(mediaType))
    throw invalid(`Content-Type has to be a manifest's, not ${shown(mediaType)}`)
  if (schema1.test(mediaType))
    throw invalid('schema 1 is not kept: push the image with a client of this decade')
  if (view.declaredType !== undefined && view.declaredType !== mediaType)
    throw invalid(`its mediaType field says ${shown(view.declaredType)}, Content-Type another`)
  if (isManifestType(mediaType) && view.schemaVersion !== undefined && view.schemaVersion !== 2)
    throw invalid('schemaVersion is not 2')
  if (view.isAmbiguous) throw invalid('it has the fields of an image and those of an index')
  return { mediaType, view }
}

function invalid(reason: string): RegistryError {
  return new RegistryError('MANIFEST_INVALID', `not a manifest that can be kept: ${reason}`)
}

function shown(text: string): string {
  return text.slice(0, 200)
}
