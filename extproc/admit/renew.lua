-- Renews leases that have not ended. ARGV: time ("" for the server's), length of a lease, ids as JSON.

local ends = text(time_now(ARGV[1]) + tonumber(ARGV[2]))
for _, id in ipairs(cjson.decode(ARGV[3])) do
  redis.call('ZADD', LEASES, 'XX', ends, id)
  redis.call('PEXPIRE', LEASE_PREFIX .. id, KEPT_WHILE_HELD)
end
return 1
