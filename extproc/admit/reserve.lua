-- Reserves all charges or none, and tells how their counters stand.
--
-- ARGV: id of the reservation ("" to be told only), time ("" for the server's), length of the lease, and as JSON for each
-- charge [key, window, term, amount, limit], where a limit of -1 refuses nothing.
-- Returns {wait, refused, used, reset}: milliseconds until the same would pass, -1 for nobody knows; indices of the
-- charges that do not pass; and for each charge what is used and the milliseconds until nothing is.

local id, now = ARGV[1], time_now(ARGV[2])
local charges = cjson.decode(ARGV[4])

local function leaves(counter, bucket)
  return math.ceil((bucket + BUCKETS_PER_PERIOD + 1) * counter.period / BUCKETS_PER_PERIOD)
end

local function wait_for(counter, amount, limit)
  if amount > limit or limit == 0 then return -1 end
  if counter.ends then return math.max(0, counter.ends - now) end
  if not counter.period then return -1 end
  local excess = counter.used + amount - limit
  local amounts = redis.call('HMGET', counter.key, unpack(buckets(counter.oldest, counter.bucket)))
  for place, counted in ipairs(amounts) do
    excess = excess - (tonumber(counted) or 0)
    if excess <= 0 then return leaves(counter, counter.oldest + place - 1) - now end
  end
  return leaves(counter, counter.bucket) - now
end

local function reset_of(counter)
  if counter.used == 0 then return 0 end
  if counter.ends then return math.max(0, counter.ends - now) end
  if not counter.period then return 0 end
  if counter.newest then return leaves(counter, counter.newest) - now end
  local amounts = redis.call('HMGET', counter.key, unpack(buckets(counter.oldest, counter.bucket)))
  for place = #amounts, 1, -1 do
    if (tonumber(amounts[place]) or 0) > 0 then return leaves(counter, counter.oldest + place - 1) - now end
  end
  return 0
end

-- The sums of all counters that do not slide, by their keys, in one call.
local function read_sums()
  local keys, sums = {}, {}
  for _, charge in ipairs(charges) do
    if charge[2] ~= 'sliding' then keys[#keys + 1] = charge[1] end
  end
  if #keys == 0 then return sums end
  for place, sum in ipairs(redis.call('MGET', unpack(keys))) do sums[keys[place]] = sum end
  return sums
end

end_expired_leases(now)
local counters, refused, wait = {}, {}, 0
local sums = read_sums()
for place, charge in ipairs(charges) do
  local key, window, term, amount, limit = unpack(charge)
  local counter = open_counter(key, window, term, now, sums[key])
  counters[place] = counter
  if limit == 0 or (limit > 0 and counter.used + amount > limit) then
    refused[#refused + 1] = place - 1
    local needed = wait_for(counter, amount, limit)
    wait = (wait < 0 or needed < 0) and -1 or math.max(wait, needed)
  end
end

if #refused == 0 and id ~= '' then
  local lease = {}
  for place, counter in ipairs(counters) do
    local amount = take(counter, charges[place][4], now)
    if amount > 0 then
      lease[#lease + 1] = counter.key
      lease[#lease + 1] = text(amount) .. '@' .. (counter.period and text(counter.bucket) or '')
    end
  end
  if #lease > 0 then begin_lease(id, lease, now + tonumber(ARGV[3])) end
end

local used, reset = {}, {}
for place, counter in ipairs(counters) do
  used[place] = counter.used
  reset[place] = reset_of(counter)
end
return { wait, refused, used, reset }
