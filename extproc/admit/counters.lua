-- What the scripts beside have in common: each is sent with this before it. Times are in milliseconds, amounts are
-- integers below 2^53, which Lua's numbers hold exactly.
--
-- A counter is one key. Where its window slides it is a hash: the amount of each bucket, by the bucket's number; their
-- sum; and the oldest bucket that may be there, which no other follows by more than 60. Else it is a number.
--
-- A reservation is a lease, which is a hash too: for each counter that it took something of, "amount@bucket", or
-- "amount@" where there are no buckets.

local LEASES = KEYS[1] -- a sorted set: the ids of reservations by the end of their lease
local LEASE_PREFIX = 'fairlead:{limits}:lease:'
local BUCKETS_PER_PERIOD = 60
local KEPT_AFTER_LEAVING = 60000 -- a clock that is corrected meanwhile finds the counter again
local KEPT_AFTER_END = 3600000 -- the period is the asker's to know, whose clock may be behind
local KEPT_WHILE_HELD = 86400000 -- longer than any request lasts
local MAX_COUNTED = 9000000000000000 -- as count.ts has it
local MAX_EXPIRED = 100 -- at once: the rest by whoever comes next

-- `given` by tests only.
local function time_now(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Lua's own conversion rounds to 14 digits.
local function text(integer)
  return string.format('%.0f', integer)
end

local function buckets(first, last)
  local fields = {}
  for bucket = first, last do fields[#fields + 1] = text(bucket) end
  return fields
end

-- Leaves behind the buckets that are older than the window. Each is visited once, so that it costs the same on average
-- however long the window is.
local function roll(counter, now)
  local key = counter.key
  local stored = redis.call('HMGET', key, 'sum', 'oldest')
  local bucket = math.floor(now * BUCKETS_PER_PERIOD / counter.period)
  local oldest = tonumber(stored[2]) or bucket
  local sum = tonumber(stored[1]) or 0
  if bucket < oldest then bucket = oldest end -- the clock was set back
  local first = bucket - BUCKETS_PER_PERIOD
  if oldest + BUCKETS_PER_PERIOD < first then
    redis.call('DEL', key)
    sum, oldest = 0, bucket
  elseif oldest < first then
    local left = buckets(oldest, first - 1)
    for _, amount in ipairs(redis.call('HMGET', key, unpack(left))) do sum = sum - (tonumber(amount) or 0) end
    redis.call('HDEL', key, unpack(left))
    redis.call('HSET', key, 'sum', text(sum), 'oldest', text(first))
  end
  counter.used, counter.bucket, counter.oldest = sum, bucket, math.max(oldest, first)
end

-- A counter as it stands now. `term`: the period of a sliding window, the end of a calendar's. `sum`: of one that does not
-- slide, where it was read already.
local function open_counter(key, window, term, now, sum)
  local counter = { key = key, used = 0 }
  if window == 'sliding' then
    counter.period = term
    roll(counter, now)
  elseif window == 'calendar' and now >= term + KEPT_AFTER_END then
    counter.ended = true
  else
    counter.ends = window == 'calendar' and term or nil
    if sum == nil then sum = redis.call('GET', key) end
    counter.used = tonumber(sum or 0) or 0
  end
  return counter
end

-- Counts `amount`, as far as the counter goes, and returns how much. Keys expire by themselves: whatever is counted later in
-- the same bucket leaves with it.
local function take(counter, amount, now)
  if counter.ended then return 0 end
  amount = math.min(amount, MAX_COUNTED - counter.used)
  if amount <= 0 then return 0 end
  local key = counter.key
  counter.used = counter.used + amount
  if counter.period then
    redis.call('HINCRBY', key, 'sum', text(amount))
    if redis.call('HINCRBY', key, text(counter.bucket), text(amount)) == amount then
      if counter.bucket <= counter.oldest then redis.call('HSET', key, 'oldest', text(counter.bucket)) end
      local counted = math.ceil(counter.period * (BUCKETS_PER_PERIOD + 1) / BUCKETS_PER_PERIOD)
      redis.call('PEXPIRE', key, text(counted + KEPT_AFTER_LEAVING))
    end
    counter.newest = counter.bucket
  else
    local isNew = redis.call('INCRBY', key, text(amount)) == amount
    if not counter.ends then
      redis.call('PEXPIRE', key, KEPT_WHILE_HELD)
    elseif isNew then
      redis.call('PEXPIRE', key, text(counter.ends - now + KEPT_AFTER_END))
    end
  end
  return amount
end

-- Takes back `amount` from where it was counted, as far as it is still there. `bucket`: "" where there are none.
local function give_back(key, bucket, amount)
  if amount == 0 then return end
  if bucket == '' then
    local counted = tonumber(redis.call('GET', key)) or 0
    if counted > amount then
      redis.call('DECRBY', key, text(amount))
    elseif counted > 0 then
      redis.call('DEL', key)
    end
    return
  end
  local counted = tonumber(redis.call('HGET', key, bucket)) or 0
  local given = math.min(counted, amount)
  if given == 0 then return end
  if given == counted then
    redis.call('HDEL', key, bucket)
  else
    redis.call('HINCRBY', key, bucket, text(-given))
  end
  if redis.call('HINCRBY', key, 'sum', text(-given)) == 0 then redis.call('DEL', key) end
end

-- What a lease's field says: the amount, 0 when there is none, and its bucket.
local function taken(field)
  if not field then return 0, '' end
  local amount, bucket = string.match(field, '^(%d+)@(%d*)$')
  return tonumber(amount), bucket
end

-- `fields`: what was taken, as key, field, key, field and so on.
local function begin_lease(id, fields, ends)
  local key = LEASE_PREFIX .. id
  redis.call('HSET', key, unpack(fields))
  redis.call('PEXPIRE', key, KEPT_WHILE_HELD)
  redis.call('ZADD', LEASES, text(ends), id)
  redis.call('PEXPIRE', LEASES, KEPT_WHILE_HELD)
end

local function end_lease(id)
  redis.call('DEL', LEASE_PREFIX .. id)
  redis.call('ZREM', LEASES, id)
end

-- Gives back what was reserved by those who have not renewed their leases.
local function end_expired_leases(now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', text(now), 'LIMIT', 0, MAX_EXPIRED)) do
    local fields = redis.call('HGETALL', LEASE_PREFIX .. id)
    for at = 1, #fields, 2 do
      local amount, bucket = taken(fields[at + 1])
      -- One that something else has written to must not keep all others from being given back.
      pcall(give_back, fields[at], bucket, amount)
    end
    end_lease(id)
  end
end
