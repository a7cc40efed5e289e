/** What every test of this folder needs: how many runs, inputs that make slow parsers slow, and what may be thrown. */
import { runs } from '../../support/runs.ts'

export const often = runs(300)

const long = (text: string) => text.repeat(Math.ceil(2 ** 20 / text.length))

/** Texts of a megabyte: work that grows with their square would not come to an end. */
export const megabytes: readonly string[] = [
  'a',
  'a/',
  '/',
  '-',
  '.',
  '..',
  '_',
  'a-',
  'a--',
  '0',
  '9',
  ' ',
  '\t',
  '\n',
  '\0',
  '"',
  '\\',
  '\\"',
  '*',
  '**',
  ',',
  ';',
  '=',
  'a=',
  'a="',
  'a="\\',
  '<',
  '<>',
  '<a>;',
  '%',
  '%2f',
  ':',
  'sha256:',
  '[',
  '{',
  '{"a":',
  '{"a":[',
  'é',
  '💥',
  '\ud800',
  '; rel=',
  ';rel ',
  '//',
  '//@',
  '/manifests/',
  '/blobs/uploads/',
  '1-',
  '0-0,',
  'W/',
  '*,',
  '${',
  '-----BEGIN A-----\n',
  '- ',
  '&a ',
  '*a ',
].flatMap(text => [long(text), `a${long(text)}!`])

/** Many of them take a while where there is little of a machine. */
export const patient = 120_000

/** An error of any other kind fails the test. */
export function throwsOnly(kind: abstract new (...args: never[]) => Error, task: () => void): void {
  try {
    task()
  } catch (error) {
    if (!(error instanceof kind)) throw error
  }
}
