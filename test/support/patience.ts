/** How long a test waits for what happens behind an answer: much longer than it takes, on a machine that does much else. */
export const patience = { timeout: 10_000, interval: 5 }
