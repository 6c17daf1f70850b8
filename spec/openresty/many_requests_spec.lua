-- SPDX-License-Identifier: MIT
-- Many requests at once: every one gets its own answer, and memory stays. MANY_REQUESTS
-- says how many seconds each of the two halves takes (make test: 2; two million requests
-- take some minutes).

local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"

local SECONDS = tonumber(os.getenv "MANY_REQUESTS" or 2)
local CLIENTS = 256

-- In the first seconds LuaJIT compiles, and its heap finds its size.
local MAX_GROWTH_KIB = SECONDS >= 60 and 2048 or 8192

local HTTP = [[
init_by_lua_block {
  authstate = require "authstate"
  store = assert(authstate.open { redis = "%s", pool_size = 2 })
  sessions = {}
  for i = 0, 9 do sessions[i] = store:session("s" .. i) end
  function answer(id, found, message)
    if not found then
      ngx.status = 500
      ngx.log(ngx.ERR, message)
    end
    ngx.print(id, " ", found or message)
  end
}
]]

local SERVER = [[
location = /fill {
  content_by_lua_block {
    for i = 0, 9 do
      local records = {}
      for id = i, 1000, 10 do
        records[tostring(id)] = { id = id, filling = ("x"):rep(id) }
      end
      assert(sessions[i].keys:set { session = records })
    end
  }
}
location = /get {
  content_by_lua_block {
    local id = ngx.var.arg_id
    local found, message = sessions[id % 10].keys:get("session", { id })
    answer(id, found and found[id].id, message)
  }
}
location = /several {
  content_by_lua_block {
    local id = ngx.var.arg_id
    local other = tostring((id + 9) % 1000 + 1)
    local session = sessions[id % 10]
    local found, message = session.keys:get("session", { id, "absent", other })
    if found and found.absent then found, message = nil, "an absent record" end
    answer(id, found and found[id].id, message)
  }
}
location = /absent {
  content_by_lua_block {
    local id = ngx.var.arg_id
    local found, message = sessions[id % 10].keys:get("session", { "absent" .. id })
    answer(id, found and next(found) == nil and id, message)
  }
}
location = /set {
  content_by_lua_block {
    local id = ngx.var.arg_id
    local version, message = sessions[id % 10].keys:set {
      session = { [id] = { id = tonumber(id), filling = ("x"):rep(id) } },
    }
    answer(id, version and id, message)
  }
}
location = /same {
  content_by_lua_block {
    local redis = require "nginx.redis"
    local function plain(n)
      local client = redis:new()
      assert(client:connect("unix:${socket}"))
      assert(client:set("plain" .. n, n) == "OK")
      assert(client:get("plain" .. n) == n)
      assert(client:set_keepalive(10000, 64))
    end
    local id = ngx.var.arg_id
    local is_fine, message = pcall(function()
      plain(id)
      local session = sessions[id % 10]
      local found = assert(session.keys:get("session", { id }))
      plain(id)
      assert(found[id].id == tonumber(id))
      return true
    end)
    answer(id, is_fine and id, message)
  }
}
]]

local function resident_kib(pid)
  local file = assert(io.open("/proc/" .. pid .. "/status"))
  local text = file:read "*a"
  file:close()
  return tonumber(text:match "VmRSS:%s+(%d+)")
end

local function load(server, seconds, only_path)
  local _, out, err = process.run {
    "wrk", "-t2", "-c" .. CLIENTS, "-d" .. seconds .. "s", "-s",
    "spec/openresty/crossed.wrk.lua", server.url,
    env = { LD_PRELOAD = false, ONLY_PATH = only_path or false },
  }
  local answers, wrong, errors = out:match "answers (%d+) wrong (%d+) errors (%d+)"
  assert(answers, out .. err)
  assert.same({ "0", "0" }, { wrong, errors }, out .. server:log():sub(-2000))
  return tonumber(answers)
end

describe("many requests at once", function()
  local redis, server

  setup(function()
    redis = redis_server.start()
    server = nginx.start {
      workers = 2, level = "error", http = HTTP:format(redis.url),
      server = SERVER:gsub("%${socket}", redis.socket),
    }
    assert.same(200, (server:get "/fill"), server:log())
  end)

  it("get an answer each, and their own; memory stays", function()
    local first = load(server, SECONDS)
    local workers, before = server:workers(), {}
    for i, pid in ipairs(workers) do before[i] = resident_kib(pid) end
    local second = load(server, SECONDS)
    local grown = {}
    for i, pid in ipairs(workers) do grown[i] = resident_kib(pid) - before[i] end
    print(("%d requests, then %d; RSS of the workers grew by %d and %d KiB, to %d")
      :format(first, second, grown[1], grown[2], before[1] + grown[1]))
    for _, kib in ipairs(grown) do
      assert.truthy(kib <= MAX_GROWTH_KIB, "KiB: " .. kib)
    end
  end)

  it("may use lua-resty-redis with its pool beside", function()
    assert.truthy(load(server, SECONDS, "/same") > 100)
  end)
end)
