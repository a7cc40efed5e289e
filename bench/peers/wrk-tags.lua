-- For wrk: a manifest by tag, the tags scattered. Arguments: the path in front of the tag, and how many tags there are.
dofile(debug.getinfo(1, 'S').source:sub(2):gsub('[^/]*$', '') .. 'wrk.lua')

local prefix, count, at = '', 1, 0

function init(args)
  prefix, count = args[1], tonumber(args[2])
end

function request()
  at = at + 1
  return wrk.format('GET', string.format('%sv%07d', prefix, (at * 7919) % count))
end
