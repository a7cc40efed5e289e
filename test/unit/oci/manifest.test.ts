/** Views of manifests, of the usual kinds and of odd ones. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { isSchema1, viewManifest } from '../../../src/oci/manifest.ts'
import { acceptManifests, isManifestType, mediaTypes } from '../../../src/oci/media-type.ts'

const digests = Array.from({ length: 5 }, (_, at) => digestOf(Buffer.from(`content ${at}`)))
const [configDigest, layerDigest, childDigest, otherDigest, subjectDigest] = digests
const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
const view = (value: unknown) => viewManifest(bytes(value))

describe('manifest view', () => {
  test('an image lists its config and its layers', () => {
    const found = view({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: configDigest, size: 2 },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: layerDigest, size: 30 }],
      subject: { mediaType: mediaTypes.ociManifest, digest: subjectDigest, size: 4 },
      annotations: { a: 'b', odd: 7 },
    })
    expect(found).toMatchObject({
      mediaType: mediaTypes.ociManifest,
      artifactType: 'application/vnd.oci.image.config.v1+json',
      subject: { digest: subjectDigest },
      annotations: { a: 'b' },
      blobs: [
        { digest: configDigest, size: 2 },
        { digest: layerDigest, size: 30 },
      ],
      manifests: [],
    })
    expect(found?.annotations).not.toHaveProperty('odd')
  })

  test('an index lists manifests apart from blobs', () => {
    const found = view({
      manifests: [
        { mediaType: mediaTypes.dockerManifest, digest: childDigest, size: 1 },
        { mediaType: 'application/octet-stream', digest: otherDigest, size: 2 },
      ],
    })
    expect(found?.manifests.map(({ digest }) => digest)).toEqual([childDigest])
    expect(found?.blobs.map(({ digest }) => digest)).toEqual([otherDigest])
  })

  test.each([
    ['an index', { manifests: [] }, mediaTypes.ociIndex],
    ['an image by its layers', { layers: [] }, mediaTypes.ociManifest],
    ['an image by its config', { config: {} }, mediaTypes.ociManifest],
    ['nothing known', {}, undefined],
    ['nothing by an empty mediaType', { mediaType: '' }, undefined],
    ['nothing by a mediaType of another kind', { mediaType: 7 }, undefined],
    ['what it says', { mediaType: 'x/y', manifests: [] }, 'x/y'],
  ])('the media type of %s', (_, body, mediaType) => {
    expect(view(body)?.mediaType).toBe(mediaType)
  })

  test('an explicit artifactType wins over the config', () => {
    const config = { mediaType: 'config/type', digest: configDigest, size: 2 }
    expect(view({ artifactType: 'artifact/type', config })?.artifactType).toBe('artifact/type')
  })

  test.each([
    ['no digest', { size: 1 }],
    ['a malformed digest', { digest: 'sha256:no', size: 1 }],
    ['an algorithm unknown here', { digest: `blake3:${'a'.repeat(64)}`, size: 1 }],
    ['no size', { digest: layerDigest }],
    ['a size in words', { digest: layerDigest, size: '12' }],
    ['a negative size', { digest: layerDigest, size: -1 }],
    ['a broken size', { digest: layerDigest, size: 1.5 }],
    ['a size beyond all integers', { digest: layerDigest, size: 1e300 }],
    ['nothing', null],
    ['a list', []],
    ['a text', 'layer'],
  ])('a layer with %s is passed over, the others are kept', (_, odd) => {
    const good = { digest: otherDigest, size: 5 }
    expect(view({ layers: [odd, good] })?.blobs).toEqual([{ ...good, mediaType: '' }])
  })

  test('a size that JSON turns into infinity is passed over', () => {
    expect(view(`{"layers":[{"digest":"${layerDigest}","size":1e999}]}`)?.blobs).toEqual([])
  })

  test('fields of the wrong kind count as absent', () => {
    expect(view({ config: [], layers: {}, manifests: 'all', subject: 3, annotations: ['a'] })).toEqual({
      mediaType: undefined,
      declaredType: undefined,
      schemaVersion: undefined,
      isAmbiguous: true,
      required: [],
      artifactType: undefined,
      subject: undefined,
      annotations: undefined,
      blobs: [],
      manifests: [],
    })
  })

  test.each([
    '',
    'null',
    '7',
    '"text"',
    '[]',
    '{',
    '<html>',
    '{"a":1}{"b":2}',
    '\ufeff{"schemaVersion":2}',
  ])('%j is no manifest', text => {
    expect(view(text)).toBeUndefined()
    expect(isSchema1(bytes(text))).toBe(false)
  })

  test('bytes that are no UTF-8 do no harm', () => {
    expect(viewManifest(Buffer.from([0xff, 0xfe, 0x00, 0x80]))).toBeUndefined()
  })

  test('a view of part of a larger buffer reads that part only', () => {
    const whole = Buffer.from('junk{"layers":[]}junk')
    expect(viewManifest(whole.subarray(4, -4))?.mediaType).toBe(mediaTypes.ociManifest)
  })

  test('10 000 layers are all listed', () => {
    const layers = Array.from({ length: 10_000 }, () => ({ digest: layerDigest, size: 1 }))
    expect(view({ layers })?.blobs).toHaveLength(10_000)
  })

  test.each([
    '[',
    '{"a":',
  ])('nesting of %s as deep as a manifest can be does not overflow the stack', open => {
    const depth = 256 * 1024
    const close = open === '[' ? ']' : '}'
    expect(view(open.repeat(depth))).toBeUndefined()
    expect(view(`{"layers":[],"x":${open.repeat(depth)}1${close.repeat(depth)}}`)).toBeDefined()
  })

  test('no JSON makes it throw, and what it lists is always usable', () => {
    fc.assert(
      fc.property(fc.json(), text => {
        const found = view(text)
        for (const { size } of found?.blobs ?? []) expect(Number.isSafeInteger(size)).toBe(true)
      }),
    )
  })

  test('schema 1 is recognised', () => {
    expect(isSchema1(bytes({ schemaVersion: 1 }))).toBe(true)
    expect(isSchema1(bytes({ schemaVersion: 2 }))).toBe(false)
  })
})

describe('media types', () => {
  test.each(Object.values(mediaTypes))('%s names a manifest and is asked for', type => {
    expect(isManifestType(type)).toBe(true)
    expect(acceptManifests.split(', ')).toContain(type)
  })

  test.each([
    '',
    'application/json',
    'application/vnd.oci.image.layer.v1.tar',
    'APPLICATION/VND.OCI.IMAGE.INDEX.V1+JSON',
  ])('%j names none', type => {
    expect(isManifestType(type)).toBe(false)
  })
})
