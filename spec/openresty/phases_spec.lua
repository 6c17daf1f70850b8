-- SPDX-License-Identifier: MIT
-- Where in nginx calls work, and what they say where they cannot.

local certificates = require "spec.support.certificates"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"

local HTTP = [[
init_by_lua_block {
  store = assert(require("authstate").open { redis = "${redis}" })
  -- Writes and reads, and notes that it could, under the name of the phase.
  function use()
    local session, phase = store:session "s", ngx.get_phase()
    assert(session.keys:set { phases = { [phase] = { name = phase } } })
    assert(assert(session.keys:get("phases", { phase }))[phase].name == phase)
  end
  -- Calls that fail before anything waits.
  function try()
    local is_fine, reason = pcall(store.ping, store)
    ngx.log(ngx.WARN, "tried: ", tostring(is_fine), " ", tostring(reason))
    assert(store:stats() and store:session "another")
  end
  try()
}
init_worker_by_lua_block { try() }
exit_worker_by_lua_block { try() }
upstream behind {
  server 0.0.0.1;
  balancer_by_lua_block {
    try()
    assert(require("ngx.balancer").set_current_peer("127.0.0.1", ${port}))
  }
}
server {
  listen 127.0.0.1:${port};
  listen 127.0.0.1:${tls_port} ssl;
  ssl_certificate ${certificate};
  ssl_certificate_key ${key};
  ssl_certificate_by_lua_block { use() }
  location = / { content_by_lua_block { ngx.print "behind" } }
}
]]

local SERVER = [[
server_rewrite_by_lua_block { if ngx.var.uri == "/wait" then use() end }
location = /wait {
  rewrite_by_lua_block { use() }
  access_by_lua_block { use() }
  content_by_lua_block {
    use()
    assert(ngx.location.capture("/within").body == "2")
    local done = require("ngx.semaphore").new()
    ngx.timer.at(0, function() use() done:post() end)
    assert(done:wait(10))
    local found = assert(store:session "s".keys:list "phases")
    table.sort(found)
    ngx.print(table.concat(found, " "))
  }
}
location = /within {
  internal;
  content_by_lua_block {
    local session = store:session "within"
    assert(session.keys:set { x = { a = { n = 1 }, b = { n = 2 } } })
    ngx.print(assert(session.keys:get("x", { "a", "b" })).b.n)
  }
}
location = /try {
  set_by_lua_block $x { try() return "" }
  content_by_lua_block { ngx.print "tried" }
  header_filter_by_lua_block { try() }
  body_filter_by_lua_block { try() }
  log_by_lua_block { try() }
}
location = /balanced { proxy_pass http://behind/; }
]]

local REFUSED = {
  "init", "init_worker", "set", "header_filter", "body_filter", "log", "balancer",
  "exit_worker",
}

describe("in the phases of nginx", function()
  local redis, server, tls_port

  setup(function()
    redis = redis_server.start()
    local made = certificates.authority("one"):issue {
      name = "nginx", alt = { "IP:127.0.0.1" },
    }
    tls_port = redis_server.free_port()
    server = nginx.start {
      http = HTTP:gsub("%${([%w_]+)}", {
        redis = redis.url, port = redis_server.free_port(), tls_port = tls_port,
        certificate = made.cert, key = made.key,
      }),
      server = SERVER,
    }
  end)

  local function body_of(path)
    local status, body = server:get(path)
    assert.same(200, status, server:log())
    return body
  end

  it("calls work where they can wait", function()
    local status, body = process.run {
      "curl", "-sk", ("https://127.0.0.1:%d/"):format(tls_port),
      env = { LD_PRELOAD = false },
    }
    assert.same({ 0, "behind" }, { status, body }, server:log())
    assert.same("access content rewrite server_rewrite ssl_cert timer", body_of "/wait")
  end)

  it("they name the phase where they cannot, with the way out", function()
    assert.same("tried", body_of "/try")
    assert.same("behind", body_of "/balanced")
    assert.same(0, server:quit())
    local log = server:log() .. server.process:errors()
    for _, phase in ipairs(REFUSED) do
      local words = ("tried: false %s_by_lua cannot wait"):format(phase)
      assert.truthy(log:find(words, 1, true), words .. "\n" .. log)
    end
    local _, tries = log:gsub("tried: ", "")
    local _, ways = log:gsub("ngx.timer.at%(0", "")
    assert.same(tries, ways)
  end)
end)
