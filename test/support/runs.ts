/** How often property tests are run, and with what: the same each time, so that no chance decides over a change. */

const seed = Number(process.env.LAYOVER_SEED ?? 20_260_101)

/** `LAYOVER_RUNS` makes them more, `LAYOVER_SEED` others: fast-check prints that of a failure, and its path. */
export function runs(usual: number) {
  return { seed, numRuns: Number(process.env.LAYOVER_RUNS ?? usual) }
}
