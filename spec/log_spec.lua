-- SPDX-License-Identifier: MIT

local authstate = require "authstate"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"

-- A store that logs into a list.
local function open(options)
  local lines = {}
  function options.log(level, message, fields)
    lines[#lines + 1] = { level = level, message = message, fields = fields }
  end
  return assert(authstate.open(options)), lines
end

describe("the log", function()
  it("is told of an operation that failed, with code and server, no secrets", function()
    local path = temporary.directory() .. "/nobody.sock"
    local store, lines = open { redis = { path = path, password = "hush" } }
    assert.is_nil(store:ping())
    assert.equal(1, #lines)
    assert.equal("warn", lines[1].level)
    assert.equal("unavailable", lines[1].fields.code)
    assert.equal("unix://" .. path, lines[1].fields.node)
    assert.falsy(lines[1].message:find("hush", 1, true))
  end)

  it("is told nothing when all goes well", function()
    local server = redis_server.start {}
    local store, lines = open { redis = server.url, log_level = "verbose" }
    assert(store:ping())
    assert.equal(0, #lines)
  end)

  it("hears of the private server from the level info on", function()
    local directory = temporary.directory() .. "/state"
    local store, lines = open { data_dir = directory, log_level = "info" }
    assert(store:close())
    assert.equal("info", lines[1].level)
    assert.equal(directory, lines[1].fields.directory)
    store, lines = open { data_dir = directory }
    assert(store:close())
    assert.equal(0, #lines)
  end)
end)
