/** In front of every path of the admin API. */
export const base = '/api/v1'
