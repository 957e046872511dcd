-- Renews the leases of reservations that go on. Where the server has given one back, or forgotten it, what it holds is held
-- again, since it is: it may be more than the limit.
--
-- ARGV: time ("" for the server's), length of a lease, and as JSON for each reservation [id, charges], with
-- [key, window, term, amount] for each charge that is held.

local now = time_now(ARGV[1])
local ends = now + tonumber(ARGV[2])
for _, reservation in ipairs(cjson.decode(ARGV[3])) do
  local id, held = unpack(reservation)
  if redis.call('ZSCORE', LEASES, id) then
    redis.call('ZADD', LEASES, text(ends), id)
    redis.call('PEXPIRE', LEASE_PREFIX .. id, KEPT_WHILE_HELD)
  elseif #held > 0 then
    local lease = {}
    for _, charge in ipairs(held) do
      local key, window, term, amount = unpack(charge)
      lease[#lease + 1] = key
      lease[#lease + 1] = text(take(open_counter(key, window, term, now), amount, now)) .. '@'
    end
    begin_lease(id, lease, ends)
  end
end
redis.call('PEXPIRE', LEASES, KEPT_WHILE_HELD)
return 1
