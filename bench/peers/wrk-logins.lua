-- For wrk: one manifest, asked for by many in turn. Argument: a file with an Authorization header a line.
dofile(debug.getinfo(1, 'S').source:sub(2):gsub('[^/]*$', '') .. 'wrk.lua')

local requests, at = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    wrk.headers['Authorization'] = line
    requests[#requests + 1] = wrk.format('GET')
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
