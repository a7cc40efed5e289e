/** What is written in parts: visible under its key when all of them are there, and gone without a trace when it fails. */
import { hash } from 'node:crypto'
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { ObjectsFailure, type ObjectVersion } from '../objects.ts'

const maxParts = 9_000
const mebibyte = 1024 * 1024

export interface Parts {
  readonly count: number
  /** Resolves with the version of the part, whose number begins at 1. Parts are begun in their order. */
  readonly put: (uploadId: string, number: number) => Promise<string | undefined>
  readonly atOnce: number
  /** Asked when all parts are there. */
  readonly isRight?: (() => boolean | Promise<boolean>) | undefined
}

/** Bytes of each part, so that there are not too many. */
export function partBytes(size: number, usual: number): number {
  return Math.max(usual, Math.ceil(size / maxParts / mebibyte) * mebibyte)
}

/** Resolves with false where it was not right. */
export async function putInParts(
  client: S3Client,
  at: { readonly Bucket: string; readonly Key: string },
  { count, put, atOnce, isRight = () => true }: Parts,
): Promise<ObjectVersion | false> {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(at))
  if (UploadId === undefined) throw new ObjectsFailure('broken', 'an upload in parts was begun without an id')
  try {
    const parts = await putAll(count, atOnce, async number => ({
      PartNumber: number,
      ETag: await put(UploadId, number),
    }))
    if (!(await isRight())) {
      await client.send(new AbortMultipartUploadCommand({ ...at, UploadId }))
      return false
    }
    const command = new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload: { Parts: parts } })
    const { ETag = '' } = await client.send(command).catch(async (error: unknown) => {
      const found = await ifMadeOf(parts, client, at)
      if (found === undefined) throw error
      return found
    })
    return ETag
  } catch (error) {
    await client.send(new AbortMultipartUploadCommand({ ...at, UploadId })).catch(() => {}) // reaped later
    throw error
  }
}

/**
 * What stands there when nobody told whether the parts were put together, or a second try found nothing to do: undefined
 * where it is something else, or where it cannot be told, since the service has versions of another kind.
 */
async function ifMadeOf(
  parts: readonly CompletedPart[],
  client: S3Client,
  at: { readonly Bucket: string; readonly Key: string },
): Promise<{ readonly ETag: string } | undefined> {
  const { ETag = '' } = await client.send(new HeadObjectCommand(at)).catch(() => ({ ETag: undefined }))
  return ETag !== '' && bare(ETag) === versionOf(parts) ? { ETag } : undefined
}

/** MD5 of the MD5s of the parts, and how many they are. Undefined: they have others, e.g. since they are encrypted. */
function versionOf(parts: readonly CompletedPart[]): string | undefined {
  const versions = parts.map(({ ETag = '' }) => bare(ETag))
  if (!versions.every(each => /^[0-9a-f]{32}$/.test(each))) return undefined
  return `${hash('md5', Buffer.from(versions.join(''), 'hex'))}-${parts.length}`
}

function bare(version: string): string {
  return version.replaceAll('"', '')
}

/** So many at once; the first failure is told when those under way have ended. */
async function putAll(
  count: number,
  atOnce: number,
  put: (number: number) => Promise<CompletedPart>,
): Promise<CompletedPart[]> {
  const done: CompletedPart[] = []
  let next = 1
  let failed = false
  const work = async () => {
    while (next <= count && !failed) {
      const number = next
      next += 1
      try {
        done[number - 1] = await put(number)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const results = await Promise.allSettled(Array.from({ length: Math.min(atOnce, count) }, work))
  for (const result of results) if (result.status === 'rejected') throw result.reason
  return done
}
