-- Carries out a batch of operations that need no answer, once however often it comes: each writer numbers its batches.
-- A full server takes it, since most of it is given back (allow-oom).
--
-- KEYS[2]: what tells the writer's last batch. ARGV: time ("" for the server's), number of the batch, and as JSON the
-- operations:
--   ["settle", id, charges, age]   the real amounts in place of what the lease took; all of them where there is no lease
--   ["release", id, charges, age]  gives back these of the lease
--   ["add", "", charges, age]
-- with [key, window, term, amount] for each charge, and the milliseconds that the operation has waited to be sent: what
-- was used while nobody could tell is counted where it was used, so that nobody waits for it twice.
-- Returns how many charges could not be counted: each fails for itself.

local WRITER_KEPT = 86400000 -- after which nobody sends the same batch again

local now = time_now(ARGV[1])
local operations = cjson.decode(ARGV[3])
if tonumber(ARGV[2]) <= (tonumber(redis.call('GET', KEYS[2])) or 0) then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', WRITER_KEPT)

local function count(key, window, term, amount, age)
  local counter = open_counter(key, window, term, now)
  if counter.period then
    local bucket = math.floor((now - age) * BUCKETS_PER_PERIOD / counter.period)
    if bucket < counter.bucket - BUCKETS_PER_PERIOD then return end
    counter.bucket = math.min(bucket, counter.bucket)
  end
  take(counter, amount, now)
end

local function settle(lease, key, window, term, amount, age)
  local reserved, bucket = taken(redis.call('HGET', lease, key))
  if window == 'held' then
    give_back(key, bucket, reserved)
  elseif amount < reserved then
    give_back(key, bucket, reserved - amount)
  elseif amount > reserved then
    count(key, window, term, amount - reserved, age)
  end
end

local function carry_out(what, lease, charge, age)
  local key, window, term, amount = unpack(charge)
  if what == 'settle' then
    settle(lease, key, window, term, amount, age)
  elseif what == 'release' then
    local reserved, bucket = taken(redis.call('HGET', lease, key))
    give_back(key, bucket, reserved)
    redis.call('HDEL', lease, key)
  else
    count(key, window, term, amount, age)
  end
end

local failed = 0
for _, operation in ipairs(operations) do
  local what, id, charges, age = unpack(operation)
  for _, charge in ipairs(charges) do
    if not pcall(carry_out, what, LEASE_PREFIX .. id, charge, age) then failed = failed + 1 end
  end
  if what == 'settle' then end_lease(id) end
end
return failed
