-- SPDX-License-Identifier: MIT

-- What the error replies of a server mean to a caller.

local peer = require "spec.engine.peer"

-- As redis 7 and its modules write them.
local ERRORS = {
  { "auth", "NOAUTH Authentication required." },
  { "auth", "WRONGPASS invalid username-password pair or user is disabled." },
  { "auth", "ERR invalid password" },
  { "auth", "ERR AUTH <password> called without any password configured" },
  { "auth", "DENIED Redis is running in protected mode" },
  { "denied", "NOPERM User u has no permissions to run the 'hset' command" },
  { "readonly", "READONLY You can't write against a read only replica." },
  { "oom", "OOM command not allowed when used memory > 'maxmemory'." },
  { "loading", "LOADING Redis is loading the dataset in memory" },
  { "unavailable", "MASTERDOWN Link with MASTER is down" },
  { "unavailable", "ERR max number of clients reached" },
  { "cluster_down", "CLUSTERDOWN The cluster is down" },
  { "disk", "MISCONF Redis is configured to save RDB snapshots" },
  { "not_durable", "NOREPLICAS Not enough good replicas to write." },
  { "wrong_type", "WRONGTYPE Operation against a key holding the wrong kind of value" },
  { "denied", "EXECABORT Transaction discarded because of: NOPERM User u has no" },
  { "oom", "EXECABORT Transaction discarded because of: OOM command not allowed" },
  { "readonly", "EXECABORT Transaction discarded because of: READONLY You can't" },
  { "server", "EXECABORT Transaction discarded because of previous errors." },
  { "server", "ERR unknown command 'NO'" },
  { "server", "BUSY Redis is busy running a script." },
  { "server", "NOPERMISSION is another word" },
  { "server", "ERR" },
  { "server", "" },
}

describe("an error reply", function()
  for _, case in ipairs(ERRORS) do
    local code, text = unpack(case)
    it(("%q ends its operation as %s, in these words"):format(text, code), function()
      local result = peer.each_cut(function(p)
        p:start {}
        p.answers.GET = "-" .. text .. "\r\n"
        p:submit { { "GET", "key" } }
        p:submit { { "ECHO", "after" } }
        p:pump()
        return p:ends()
      end)
      assert.equal(code, result[1].code)
      assert.equal(1, result[1].attempts)
      if text ~= "" then assert.equal(text, result[1].message) end
      assert.same({ "after" }, result[2].replies)
    end)
  end

  it("of any command of an operation is its end, the first one is told", function()
    local result = peer.each_cut(function(p)
      p:start {}
      p.answers["GET b"] = "-WRONGTYPE b\r\n"
      p.answers["GET c"] = "-ERR c\r\n"
      p:submit { { "GET", "a" }, { "GET", "b" }, { "GET", "c" }, { "GET", "d" } }
      p:submit { { "ECHO", "after" } }
      p:pump()
      return p:ends()
    end)
    assert.equal("wrong_type", result[1].code)
    assert.equal("WRONGTYPE b", result[1].message)
    assert.same({ "after" }, result[2].replies)
  end)

  it("within an array counts too", function()
    local p = peer.new()
    p:start {}
    p.answers.GET = peer.array { ":1\r\n", peer.array { "-OOM inside\r\n" } }
    p:submit { { "GET", "a" } }
    p:pump()
    assert.equal("oom", p:ended().code)
  end)
end)
