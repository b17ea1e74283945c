"""The Lua scripts that run inside Redis: what must happen as a whole or not at all.

Their flags need Redis 7.0. When memory is full only new frames are refused (APPEND, the one script without
allow-oom): everything else makes room.
"""

# One command that must work even then.
CALL = """#!lua flags=allow-oom
return redis.call(unpack(ARGV))
"""

# If the holder is me or nobody: hold it for ARGV[2] ms.
LEASE = """#!lua flags=allow-oom
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) return 1 end
if holder then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

RELEASE = """#!lua flags=allow-oom
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

# Append one frame and store the position in one step, so that a repeated call appends nothing.
APPEND = """#!lua
local lease, frames, progress, flight = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, ttl, camera, epoch, seq, maxlen, first, header, jpeg = unpack(ARGV)
if redis.call('GET', lease) ~= token then
  return redis.error_reply('LEASELOST ' .. camera)
end
redis.call('PEXPIRE', lease, ttl)
local at = redis.call('HGET', progress, 'at|' .. camera)
local position = 0
if at then
  local stored, count = string.match(at, '^(.*) (%d+)$')
  if stored == epoch then position = tonumber(count) end
end
if position > tonumber(seq) then return false end
if position < tonumber(first) then return redis.error_reply('GAP ' .. camera) end
local id
if tonumber(maxlen) > 0 then
  id = redis.call('XADD', frames, 'MAXLEN', '~', maxlen, '*', 'h', header, 'j', jpeg)
else
  id = redis.call('XADD', frames, '*', 'h', header, 'j', jpeg)
  redis.call('RPUSH', flight, table.concat({epoch, seq, id, #jpeg}, ' '))
end
redis.call('HSET', progress, 'at|' .. camera, epoch .. ' ' .. string.format('%d', tonumber(seq) + 1))
redis.call('HINCRBY', progress, 'work|producer', tonumber(seq) + 1 - position)
return id
"""

# Pass over live frames that were left out before they could be appended: whoever comes to the gap counts them.
SKIP = """#!lua flags=allow-oom
local lease, progress = KEYS[1], KEYS[2]
local token, camera, epoch, from, to = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if redis.call('GET', lease) ~= token then
  return redis.error_reply('LEASELOST ' .. camera)
end
local at = redis.call('HGET', progress, 'at|' .. camera)
local position = 0
if at then
  local stored, count = string.match(at, '^(.*) (%d+)$')
  if stored == epoch then position = tonumber(count) end
end
if position < from then return redis.error_reply('GAP ' .. camera) end
if position >= to then return 0 end
redis.call('HSET', progress, 'at|' .. camera, epoch .. ' ' .. string.format('%d', to))
redis.call('HINCRBY', progress, 'work|producer', to - position)
return to - position
"""

# Frames of an interrupted run were thrown away: if it is taken up again, it goes on where its sinks are.
REWIND = """#!lua flags=allow-oom
local camera, epoch, seq = ARGV[1], ARGV[2], tonumber(ARGV[3])
local stored, count = string.match(redis.call('HGET', KEYS[1], 'at|' .. camera) or '', '^(.*) (%d+)$')
if stored ~= epoch or tonumber(count) <= seq then return 0 end
redis.call('HSET', KEYS[1], 'at|' .. camera, epoch .. ' ' .. string.format('%d', seq))
return 1
"""

# Lossless frames that are no longer needed: out of the stream, and off the list of those on their way.
LAND = """#!lua flags=allow-oom
for _, flown in ipairs(ARGV) do
  redis.call('XDEL', KEYS[1], (string.match(flown, '(%d+%-%d+) %d+$')))
  redis.call('LREM', KEYS[2], 1, flown)
end
return #ARGV
"""

# The hop: a result is appended only if its input's acknowledgement counted, so a worker that was thought dead
# cannot append a second one. Hints are stored as `<id of the frame> <data>` per camera; newer frames' stay.
HOP = """#!lua flags=allow-oom
local source, target, dead, progress, hints = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group, maxlen, deadlen = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local deadbytes, deadtotal = tonumber(ARGV[4]), tonumber(ARGV[5])
local ttl, first = ARGV[6], 8 + 3 * tonumber(ARGV[7])
local counted = 0
local function newer(a, b)
  local ms, n = string.match(a, '^(%d+)-(%d+)')
  local than_ms, than_n = string.match(b, '^(%d+)-(%d+) ')
  if not than_ms then return true end
  ms, than_ms = tonumber(ms), tonumber(than_ms)
  return ms > than_ms or (ms == than_ms and tonumber(n) > tonumber(than_n))
end
for i = 8, first - 1, 3 do
  local camera, id, data = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local known = redis.call('HGET', hints, camera)
  if not known or newer(id, known) then redis.call('HSET', hints, camera, id .. ' ' .. data) end
end
if first > 8 then redis.call('PEXPIRE', hints, ttl) end
for i = first, #ARGV, 4 do
  local id, payload, reason, deliveries = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local original = reason ~= '' and redis.call('XRANGE', source, id, id) or {}
  if redis.call('XACK', source, group, id) == 1 then
    counted = counted + 1
    if payload ~= '' then
      if maxlen > 0 then redis.call('XADD', target, 'MAXLEN', '~', maxlen, '*', 'm', payload)
      else redis.call('XADD', target, '*', 'm', payload) end
    end
    if reason ~= '' then
      local entry = {'stream', source, 'group', group, 'id', id, 'reason', reason, 'deliveries', deliveries}
      local keep = deadlen
      if original[1] then
        local size = 0
        for _, v in ipairs(original[1][2]) do size = size + #v end
        if size <= deadbytes then
          keep = math.min(deadlen, math.floor(deadtotal / math.max(1, size)))
          for n, v in ipairs(original[1][2]) do
            entry[#entry + 1] = n % 2 == 1 and 'field:' .. v or v
          end
        end
      end
      redis.call('XADD', dead, 'MAXLEN', '~', keep, '*', unpack(entry))
    end
  end
end
if counted > 0 then redis.call('HINCRBY', progress, 'work|' .. group, counted) end
return counted
"""

# What a sink has shown: acknowledged, with its new positions, statistics and tracks, in one step.
SHOWN = """#!lua flags=allow-oom
local emotions, progress, lease, stats, tracks = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group, token, summary = ARGV[1], ARGV[2], ARGV[3]
local pairs_count, tracks_count = tonumber(ARGV[4]), tonumber(ARGV[5])
local holder = redis.call('GET', lease)
if holder and holder ~= token then return redis.error_reply('LEASELOST ' .. group) end
redis.call('HSET', stats, group, summary)
local first_track = 6 + 2 * pairs_count
local first_id = first_track + 2 * tracks_count
for i = 6, first_track - 1, 2 do redis.call('HSET', progress, ARGV[i], ARGV[i + 1]) end
for i = first_track, first_id - 1, 2 do redis.call('HSET', tracks, ARGV[i], ARGV[i + 1]) end
for i = first_id, #ARGV do redis.call('XACK', emotions, group, ARGV[i]) end
redis.call('HINCRBY', progress, 'work|' .. group, #ARGV - first_id + 1)
return 1
"""

# A consumer leaves its group only with nothing pending: removing it throws its pending entries away.
LEAVE = """#!lua flags=allow-oom
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if #pending == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) return 1 end
return 0
"""

# Entries below every group's oldest unacknowledged entry have been used by all. Groups of other programs
# ('reader:...') are waited for, too, but not for more than ARGV[1] entries: they may have gone for good.
TRIM = """#!lua flags=allow-oom
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local oldest, late
local function before(id, than)
  if not than then return true end
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  local than_ms, than_seq = string.match(than, '^(%d+)-(%d+)$')
  ms, than_ms = tonumber(ms), tonumber(than_ms)
  return ms < than_ms or (ms == than_ms and tonumber(seq) < tonumber(than_seq))
end
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #info, 2 do group[info[i]] = info[i + 1] end
  local id = group['last-delivered-id']
  if group['pending'] > 0 then id = redis.call('XPENDING', KEYS[1], group['name'])[2] end
  if string.sub(group['name'], 1, 7) == 'reader:' then
    if before(id, late) then late = id end
  elseif before(id, oldest) then oldest = id end
end
if not oldest then return 0 end
if late and before(late, oldest) and redis.call('XLEN', KEYS[1]) <= tonumber(ARGV[1]) then oldest = late end
return redis.call('XTRIM', KEYS[1], 'MINID', '~', oldest)
"""

# A dead letter goes back into a stream: both or nothing, so that it is never there twice.
REPLAY = """#!lua flags=allow-oom
local dead, target = KEYS[1], KEYS[2]
if redis.call('XDEL', dead, ARGV[1]) == 0 then return false end
return redis.call('XADD', target, '*', unpack(ARGV, 2))
"""
