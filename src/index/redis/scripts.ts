/** What Redis does in one go. Each script touches keys of one hash slot, and no more members than it is told. */

/** The member that begins with a name, if there is one. */
const find = `
local function find(key, name)
  local member = redis.call('ZRANGEBYLEX', key, '[' .. name, '+', 'LIMIT', 0, 1)[1]
  if member and string.sub(member, 1, #name) == name then return member end
end
local function put(key, name, value)
  local old = find(key, name)
  if old == name .. value then return end
  if old then redis.call('ZREM', key, old) end
  redis.call('ZADD', key, 0, name .. value)
end
local function live(key, life)
  if life ~= '' then redis.call('PEXPIRE', key, life) end
end
`

/** ARGV: life, then names and values by turns. */
export const putMembers = `${find}
for at = 2, #ARGV, 2 do put(KEYS[1], ARGV[at], ARGV[at + 1]) end
live(KEYS[1], ARGV[1])`

/** ARGV: what their values begin with, names. What somebody else put there since stays. */
export const dropMembers = `${find}
for at = 2, #ARGV do
  local old = find(KEYS[1], ARGV[at] .. ARGV[1])
  if old then redis.call('ZREM', KEYS[1], old) end
end`

/** ARGV: members, and by turns what points at each (none: ''). What has another value by now stays. */
export const dropExactly = `
for at = 1, #ARGV, 2 do
  if redis.call('ZREM', KEYS[1], ARGV[at]) == 1 and ARGV[at + 1] ~= '' then
    redis.call('ZREM', KEYS[1], ARGV[at + 1])
  end
end`

/**
 * ARGV: life, name, value, where in it the hint of the digest begins and ends, the tag. A value that ends before the hint
 * drops the tag, if its own value begins so.
 */
export const setTag = `${find}
local life, name, value, from, to, tag = unpack(ARGV)
if #value < tonumber(from) then
  local old = find(KEYS[1], name .. value)
  if old then redis.call('ZREM', KEYS[1], old, 'r' .. string.sub(old, #name + from, #name + to) .. tag) end
  return
end
local function pointer(packed) return 'r' .. string.sub(packed, from, to) .. tag end
local old = find(KEYS[1], name)
if old then redis.call('ZREM', KEYS[1], old, pointer(string.sub(old, #name + 1))) end
redis.call('ZADD', KEYS[1], 0, name .. value, 0, pointer(value))
live(KEYS[1], life)`

/** ARGV: from, to, limit, then names of marks. Gives the marks, each '' if there is none, and the members. */
export const readMembers = `${find}
local marks = {}
for at = 4, #ARGV do marks[at - 3] = find(KEYS[1], ARGV[at]) or '' end
return {marks, redis.call('ZRANGEBYLEX', KEYS[1], '[' .. ARGV[1], '(' .. ARGV[2], 'LIMIT', 0, ARGV[3])}`

/** KEYS: era, registries, repositories. ARGV: life, registry, repository, stamp (none: that of the era). */
export const putRepository = `${find}
local life, registry, repository, stamp = unpack(ARGV)
if stamp == '' then stamp = string.sub(redis.call('GET', KEYS[1]) or '', 1, 6) end
put(KEYS[2], registry, '')
put(KEYS[3], repository, stamp)
redis.call('ZADD', KEYS[3], 0, '!')
live(KEYS[3], life)`

/** KEYS: as above. ARGV: from, to, limit, name of the mark, registry. A listing that was lost has no mark of its own left. */
export const readRepositories = `${find}
local mark = find(KEYS[2], ARGV[4]) or ''
if find(KEYS[2], ARGV[5]) and not redis.call('ZSCORE', KEYS[3], '!') then mark = '' end
return {redis.call('GET', KEYS[1]) or '', mark,
  redis.call('ZRANGEBYLEX', KEYS[3], '[' .. ARGV[1], '(' .. ARGV[2], 'LIMIT', 0, ARGV[3])}`

/** Takes back what is said of all repositories, and forgets one registry's. */
export const forgetRepositories = `
redis.call('ZREMRANGEBYLEX', KEYS[1], '[!', '("')
redis.call('UNLINK', KEYS[2])`

/** KEYS: the era. ARGV: a stamp, the servers, whether it ends in any case. Gives what stands there then. */
export const beginEra = `
local known = redis.call('GET', KEYS[1])
if known and ARGV[3] == '' and string.sub(known, 7) == ARGV[2] then return known end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2])
return ARGV[1] .. ARGV[2]`

/** KEYS: bodies, their times, their bytes in all. ARGV: life, name, body, time, most entries, most bytes. */
export const putBody = `
local bodies, times, total = unpack(KEYS)
local life, name, body, time = unpack(ARGV)
if redis.call('ZCARD', times) == 0 then redis.call('SET', total, 0) end
local more = #body - redis.call('HSTRLEN', bodies, name)
redis.call('HSET', bodies, name, body)
redis.call('ZADD', times, time, name)
local bytes = redis.call('INCRBY', total, more)
local count = redis.call('ZCARD', times)
while count > 0 and (count > tonumber(ARGV[5]) or bytes > tonumber(ARGV[6])) do
  local oldest = redis.call('ZRANGE', times, 0, 0)[1]
  bytes = redis.call('DECRBY', total, redis.call('HSTRLEN', bodies, oldest))
  redis.call('HDEL', bodies, oldest)
  redis.call('ZREM', times, oldest)
  count = count - 1
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, life) end`
