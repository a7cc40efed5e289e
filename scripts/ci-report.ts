/**
 * What Vitest's JSON reports in a folder tell: `SUITE.json`, and beside it `SUITE.again.json` where the files that
 * had failed were run a second time. Usage: node scripts/ci-report.ts failures|totals FOLDER, or files REPORT
 *
 * - `files`: those with a failure, a line each
 * - `failures`: each with the beginning of its message, for the end of a log
 * - `totals`: how many tests passed, failed and were skipped in all, and how many of them passed only alone
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

type Test = {
  readonly status: string
  readonly fullName: string
  readonly failureMessages: readonly string[]
}
type File = {
  readonly name: string
  readonly status: string
  readonly message: string
  readonly assertionResults: readonly Test[]
}
type Report = {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly testResults: readonly File[]
}

/** Lines of a message that are shown: what was expected and where, not the whole stack. */
const MESSAGE_LINES = 12

/** None where a run ended before its report was written: its exit code told of that. */
const reportAt = (path: string): readonly Report[] => {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  return text === '' ? [] : [JSON.parse(text) as Report]
}

const placeOf = (file: File): string => relative(process.cwd(), file.name)

const filesOf = (report: Report): readonly File[] =>
  report.testResults.filter(file => file.status === 'failed')

const failuresOf = (file: File): readonly string[] => {
  const tests = file.assertionResults.filter(test => test.status === 'failed')
  if (tests.length === 0) return [`${placeOf(file)}\n${file.message}`]
  return tests.map(test => `${placeOf(file)} > ${test.fullName}\n${test.failureMessages.join('\n')}`)
}

const shortened = (text: string): string =>
  text
    .split('\n')
    .filter(line => !line.includes('node_modules'))
    .slice(0, MESSAGE_LINES)
    .join('\n    ')

const AGAIN = '.again.json'

const pathsIn = (folder: string): readonly string[] =>
  readdirSync(folder)
    .filter(name => name.endsWith('.json'))
    .toSorted()
    .map(name => join(folder, name))

const sum = (reports: readonly Report[], count: keyof Omit<Report, 'testResults'>): number =>
  reports.reduce((total, report) => total + report[count], 0)

const totals = (paths: readonly string[]): string => {
  const firsts = paths.filter(path => !path.endsWith(AGAIN)).flatMap(reportAt)
  const again = paths.filter(path => path.endsWith(AGAIN))
  const firstsOfThese = again.flatMap(path => reportAt(path.replace(AGAIN, '.json')))
  const alone = sum(firstsOfThese, 'numFailedTests') - sum(again.flatMap(reportAt), 'numFailedTests')
  const passed = sum(firsts, 'numPassedTests') + alone
  const failed = sum(firsts, 'numFailedTests') - alone
  const told = `${passed} passed, ${failed} failed, ${sum(firsts, 'numPendingTests')} skipped`
  return alone > 0 ? `${told}; ${alone} passed only when run alone` : told
}

const tellFailures = (path: string): void => {
  const failures = reportAt(path).flatMap(filesOf).flatMap(failuresOf)
  if (failures.length > 0) console.log(path.endsWith(AGAIN) ? '== failed alone too' : '== failed')
  for (const failure of failures) console.log(shortened(failure))
}

const [what, place = '.'] = process.argv.slice(2)
if (what === 'files') for (const file of reportAt(place).flatMap(filesOf)) console.log(placeOf(file))
if (what === 'failures') pathsIn(place).toReversed().forEach(tellFailures)
if (what === 'totals') console.log(totals(pathsIn(place)))
