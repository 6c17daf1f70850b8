-- SPDX-License-Identifier: MIT
local work = require "bench.harness.work"

return {
  name = "read_one",
  sentence = "one record, one after the other, each waited for",
  operations = 1000,
  work = function(fixture, random, knobs, count)
    return work.single_reads(fixture, random, count, knobs.TYPE)
  end,
  peers = {
    { name = "authstate get", program = "authstate", method = "get", storage = "typed" },
    { name = "authstate get_json", program = "authstate", method = "get_json",
      storage = "typed" },
    { name = "hiredis HGET", program = "hiredis", method = "hget", storage = "typed",
      form = "stored", is_floor = true },
    { name = "node HGET, revive", program = "node", method = "hget", storage = "hash" },
    { name = "node GET, revive", program = "node", method = "get", storage = "strings" },
  },
}
