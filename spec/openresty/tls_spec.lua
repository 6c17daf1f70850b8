-- SPDX-License-Identifier: MIT
-- TLS inside nginx is that of everywhere else: the same options, checks and words.

local certificates = require "spec.support.certificates"
local nginx = require "spec.support.nginx"
local redis_server = require "spec.support.redis_server"

local SERVER = [[
location = /large {
  content_by_lua_block {
    local store = assert(require("authstate").open {
      redis = { url = "rediss://127.0.0.1:${port}", tls = { ca = "${ca}" } },
    })
    local session, text = store:session "s", ("x"):rep(700000)
    assert(session.keys:set_json { session = { x = '"' .. text .. '"' } })
    local found = assert(session.keys:get("session", { "x" }))
    ngx.print(tostring(found.x == text))
    store:close()
  }
}
location = /ping {
  content_by_lua_block {
    local store = assert(require("authstate").open {
      redis = {
        url = ngx.var.arg_url, socket = { connect_timeout_ms = 1000 },
        tls = ngx.var.arg_ca and { ca = ngx.var.arg_ca } or nil,
      },
    })
    local is_fine, message, code = store:ping()
    ngx.print(code or "fine", " ", message)
    store:close()
  }
}
]]

describe("TLS inside nginx", function()
  local authority, other, redis, port, server

  setup(function()
    authority = certificates.authority "one"
    other = certificates.authority "another"
    local made = authority:issue { name = "redis", alt = { "IP:127.0.0.1" } }
    port = redis_server.free_port()
    redis = redis_server.start { tcp = true, config = {
      ["tls-port"] = port, ["tls-cert-file"] = made.cert, ["tls-key-file"] = made.key,
      ["tls-ca-cert-file"] = authority.cert, ["tls-auth-clients"] = "no",
    } }
    server = nginx.start {
      server = SERVER:gsub("%${(%w+)}", { port = port, ca = authority.cert }),
    }
  end)

  local function ping(url, ca)
    local status, body =
      server:get(("/ping?url=%s%s"):format(url, ca and "&ca=" .. ca or ""))
    assert.same(200, status, server:log())
    return body
  end

  it("carries large values", function()
    local status, body = server:get "/large"
    assert.same({ 200, "true" }, { status, body }, server:log())
  end)

  it("trusts only whom it is told to", function()
    assert.same("fine nil", ping("rediss://127.0.0.1:" .. port, authority.cert))
    local answer = ping("rediss://127.0.0.1:" .. port, other.cert)
    assert.truthy(answer:find "^unavailable .*certificate", answer)
  end)

  it("of a port without TLS, and none of one with it, are both told apart", function()
    local answer = ping("rediss://127.0.0.1:" .. redis.port, authority.cert)
    assert.truthy(answer:find("perhaps the port is one without TLS", 1, true), answer)
    answer = ping("redis://127.0.0.1:" .. port)
    assert.truthy(answer:find("perhaps the port is one with TLS", 1, true), answer)
  end)
end)
