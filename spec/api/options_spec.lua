-- SPDX-License-Identifier: MIT

local authstate = require "authstate"
local outcome = require "spec.api.outcome"

local raises, says = outcome.raises, outcome.says

local URL = "redis://127.0.0.1:1"

-- What was given, and what the message has to say. All but `redis` are merged with a URL.
local MISTAKES = {
  { { prefixx = "a" }, 'unknown option "prefixx", did you mean "prefix"?' },
  { { maxValueBytes = 1 },
    'unknown option "maxValueBytes", did you mean "max_value_bytes"?' },
  { { tombstone_ttl = 1 }, 'did you mean "tombstone_ttl_ms"?' },
  { { zzzzzzzzzz = 1 }, 'unknown option "zzzzzzzzzz"' },
  { { [1] = "a" }, 'unknown option "1"' },
  { { prefix = 5 }, 'option "prefix": 5 must be a string' },
  { { prefix = "a{b" },
    'option "prefix": "a{b" must have at most 128 bytes and no braces' },
  { { prefix = ("x"):rep(129) }, "at most 128 bytes" },
  { { layout = "typo" }, 'there is no layout "typo"; accepted: hbinduni-hash, typed' },
  { { layout = "type" }, 'there is no layout "type", did you mean "typed"?' },
  { { layout = {} }, 'option "layout": a table must be a string' },
  { { profile = "fast" },
    'there is no profile "fast"; accepted: default, high-compression' },
  { { profile = "defualt" }, 'there is no profile "defualt", did you mean "default"?' },
  { { profile = {} }, 'option "profile": a table must be a string' },
  { { max_value_bytes = "8MB" }, 'option "max_value_bytes": "8MB" must be a number' },
  { { max_value_bytes = 1 }, "must be a whole number from 1024 to 268435456 bytes" },
  { { max_value_bytes = 2048.5 }, "must be a whole number" },
  { { max_value_bytes = 0 / 0 }, "must be a whole number" },
  { { max_value_bytes = math.huge }, "must be a whole number" },
  { { max_commit_bytes = -1 }, 'option "max_commit_bytes": -1 must be' },
  { { queue_max_operations = 0 }, 'option "queue_max_operations": 0 must be' },
  { { queue_max_bytes = true }, 'option "queue_max_bytes": true must be a number' },
  { { tombstone_ttl_ms = 999 }, "from 1000 to" },
  { { log = "warn" }, 'option "log": "warn" must be a function' },
  { { log_level = "warning" },
    'must be one of "error", "warn", "info", "debug", "verbose"' },
  { { log_level = "warm" }, 'did you mean "warn"?' },
  { { append_fsync = "never" }, 'must be one of "everysec", "always"' },
  { { enable_cache = "yes" }, 'option "enable_cache": "yes" must be true or false' },
  { { enable_cache = true, policy = "lrv" },
    'option "policy": there is no policy "lrv", did you mean "lru"?' },
  { { enable_cache = true, preload = "signl" }, 'option "preload": ' },
  { { cache_ttl_ms = 0 }, "from 1 to 86400000 ms" },
  { { cache_ttl_ms = { session = "1s" } }, "session" },
  { { cache_max_bytes = 1000 }, "from 65536 to" },
  { { preload_limit = 0 }, "from 1 to 1000" },
  { { durability = { replicas = 1 } }, 'option "durability": a table is not there yet' },
  { { serializer = "cbr" }, 'there is no serializer "cbr", did you mean "cbor"?' },
  { { serializer = "/nowhere/s.lua" }, 'option "serializer": /nowhere/s.lua: No such' },
  { { serializer = 4 }, 'option "serializer": 4 must be a string' },
  { { pool_size = 0 }, 'option "pool_size": 0 must be a whole number from 1 to 64' },
  { { pool_size = 65 }, "from 1 to 64" },
  { { enable_batching = 1 }, 'option "enable_batching": 1 must be true or false' },
  { { batch_size = 0 }, "from 1 to 100000" },
  { { batch_window_ms = -1 }, "from 0 to 1000 ms" },
  { { writes = "fast" }, 'must be one of "checked", "plain"' },
  { { compression = "lz5" }, 'option "compression": "lz5" must be one of false, "lz4", '
    .. '"zstd", "gzip", or a whole number from 1 to 9, did you mean "lz4"?' },
  { { compression = 0 }, 'or a whole number from 1 to 9' },
  { { compression = 1.5 }, 'option "compression": 1.5 must be one of false' },
  { { compression = true }, 'option "compression": true must be one of false' },
  { { compression_threshold_bytes = -1 }, "from 0 to 268435456 bytes" },
  { { compression_threshold_bytes = "1k" }, "must be a number, or { [type] = number }" },
  { { compression_threshold_bytes = { 1 } }, "has the key 1; accepted: types of record" },
  { { compression_threshold_bytes = { session = -1 } },
    'has -1 for "session", which must be a whole number from 0 to 268435456 bytes' },
  { { compression_threshold_bytes = { session = "1" } }, "which must be a number" },
  { { compression_min_gain_bytes = 0 }, "from 1 to 1048576 bytes" },
  { { compression_min_gain_percent = 100 }, "from 0 to 99 percent" },
  { { encryption = 5 }, 'option "encryption": the given value must be a table' },
  { { encryption = {} }, 'option "encryption": keys is missing; accepted: { keys' },
  { { encryption = { keyz = {} } },
    'unknown option "encryption.keyz", did you mean "keys"?' },
  { { encryption = { keys = {}, primary = 1 } }, "there is no key; accepted: { [id]" },
  { { encryption = { keys = { "hunter2" }, primary = 1 } },
    'option "encryption.keys[1]": the given value is no key; accepted: authstate.bytes' },
  { { encryption = { keys = { ("g"):rep(64) }, primary = 1 } }, "is no key" },
  { { encryption = { keys = { ("!"):rep(44) }, primary = 1 } }, "is no key" },
  { { encryption = { keys = { ("A"):rep(44) }, primary = 1 } }, "is no key" },
  { { encryption = { keys = { authstate.bytes "short" }, primary = 1 } },
    "bytes of 5 bytes are no key" },
  { { encryption = { keys = { true }, primary = 1 } }, "the given value is no key" },
  { { encryption = { keys = { ("a"):rep(64), ("A"):rep(64) }, primary = 1 } },
    'option "encryption.keys[2]": the same key as that of id 1' },
  { { encryption = { keys = { a = ("a"):rep(64) }, primary = 1 } },
    "a string is no id of a key; accepted: a whole number from 0 to 255" },
  { { encryption = { keys = { [256] = ("a"):rep(64) }, primary = 1 } },
    "256 is no id of a key" },
  { { encryption = { keys = { [1.5] = ("a"):rep(64) }, primary = 1 } },
    "1.5 is no id of a key" },
  { { encryption = { keys = { { path = "x" } }, primary = 1 } },
    "the key 1 is a table; accepted: { file = path }" },
  { { encryption = { keys = { { file = "/nowhere/key" } }, primary = 1 } },
    'option "encryption.keys[1]": /nowhere/key: No such file' },
  { { encryption = { keys = { ("a"):rep(64) } } }, "primary is missing" },
  { { encryption = { keys = { ("a"):rep(64) }, primary = 2 } },
    'option "encryption.primary": 2 is none of encryption.keys' },
  { { encryption = { keys = { ("a"):rep(64) }, primary = 256 } }, "from 0 to 255" },
  { { encryption = { keys = { ("a"):rep(64) }, primary = 1, required = "yes" } },
    'option "encryption.required": the given value must be true or false' },
  { { encryption = { keys = { ("a"):rep(64) }, primary = 1 }, layout = "hbinduni-hash" },
    'the layout "hbinduni-hash" keeps JSON texts that others read' },
  { { durability = { replicas = 1 } }, "is not there yet in this version" },
  { { data_dir = "/tmp/x" }, "exclude each other" },
  { { redis = { "redis://127.0.0.1:1", "redis://127.0.0.1:2" } },
    'option "redis": a list, the seeds of a cluster, is not there yet' },
  { { redis = 6379 }, 'option "redis": 6379 must be a URL or a table' },
  { { redis = "127.0.0.1:6379" }, "not a URL; accepted: redis://" },
  { { redis = "http://127.0.0.1" }, 'unknown scheme "http"' },
  { { redis = "redis://127.0.0.1:port" }, "the port is not a number" },
  { { redis = "redis://127.0.0.1:70000" }, "the port is not in 1 to 65535" },
  { { redis = "redis://127.0.0.1:0" }, "the port is not in 1 to 65535" },
  { { redis = "redis://127.0.0.1/one" }, "the database is not a number" },
  { { redis = "unix://relative" }, "the path of a unix socket begins with /" },
  { { redis = "unix:///a?database=1" }, "only ?db=NUMBER is known" },
  { { redis = "unix:///" .. ("x"):rep(107) }, "the socket path has 108 bytes" },
  { { redis = "redis://:p@ss@127.0.0.1" }, "is written %40 or %2F" },
  { { redis = "redis://app@127.0.0.1" }, "a user is given without a password" },
  { { redis = "unix://app@/a" }, "a user is given without a password" },
  { { redis = { username = "app" } }, "a user is given without a password" },
  { { data_dir = "a\0b", redis = false }, 'option "data_dir": "a\\x00b" is no path' },
  { { data_dir = "", redis = false }, 'option "data_dir": "" is no path' },
  { { redis = { hosts = "a" } }, 'unknown option "redis.hosts", did you mean "host"?' },
  { { redis = { port = "6379" } }, 'option "redis.port": "6379" must be a number' },
  { { redis = { port = 0 } }, "from 1 to 65535" },
  { { redis = { socket = 5 } }, 'option "redis.socket": 5 must be a table' },
  { { redis = { socket = { connectTimeout = 5 } } },
    'unknown option "redis.socket.connectTimeout"' },
  { { redis = { socket = { connect_timeout_ms = 0 } } }, "from 1 to 600000 ms" },
  { { redis = { socket = { health_timeout_ms = 99 } } }, "from 100 to 3600000 ms" },
  { { redis = { socket = { quarantine_ms = 0 } } }, "from 1000 to 3600000 ms" },
  { { redis = { socket = { no_delay = 1 } } }, "must be true or false" },
  { { redis = { tls = true } }, 'option "redis.tls": the given value must be a table' },
  { { redis = { tls = { caFile = "a" } } }, 'unknown option "redis.tls.caFile"' },
  { { redis = { tls = { ca = 5 } } }, '"redis.tls.ca": the given value must be a' },
  { { redis = { tls = { ca = "" } } }, '"redis.tls.ca": the given value is no path' },
  { { redis = { tls = { insecure = 1 } } }, "must be true or false" },
  { { redis = { tls = { server_name = "a b" } } }, '"a b" is no name; accepted: a host' },
  { { redis = { tls = { cert = "a" } } },
    'option "redis.tls.cert": given without redis.tls.key; accepted: both, or neither' },
  { { redis = { tls = { key = "a" } } }, "given without redis.tls.cert" },
  { { redis = { path = "/a", tls = {} } }, "there is no TLS over a unix socket" },
  { { redis = { url = "rediss://a", path = "/a" } }, "no TLS over a unix socket" },
}

describe("authstate.open", function()
  for _, mistake in ipairs(MISTAKES) do
    local given, words = mistake[1], mistake[2]
    it("refuses " .. words, function()
      if given.redis == nil then given.redis = URL end
      local message = raises(function() authstate.open(given) end)
      assert.match(words, message, 1, true)
    end)
  end

  it("tells all mistakes at once, one line each, in the order of the names", function()
    local given = { redis = URL, a1b2c3 = 1, maxCommitBytes = 2, prefix = "{" }
    local message = raises(function() authstate.open(given) end)
    local lines = {}
    for line in message:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal(3, #lines)
    assert.match('"a1b2c3"', lines[1], 1, true)
    assert.match('"maxCommitBytes", did you mean "max_commit_bytes"?', lines[2], 1, true)
    assert.match('"prefix"', lines[3], 1, true)
  end)

  it("suggests a name for each of the usual camelCase options", function()
    local given = {
      enableBatching = true, batchSize = 100, batchWindowMs = 10, poolSize = 5,
      enableCache = true, cacheTtlMs = 1000, memoryEfficient = true, slowMs = 5,
      logLevel = "info",
    }
    local wanted = {
      "enable_batching", "batch_size", "batch_window_ms", "pool_size", "enable_cache",
      "cache_ttl_ms", "memory_efficient", "slow_ms", "log_level",
    }
    local message = raises(function() authstate.open(given) end)
    for _, name in ipairs(wanted) do
      assert.match(('did you mean "%s"?'):format(name), message, 1, true)
    end
  end)

  it("takes a value that says what happens anyway", function()
    local store = assert(authstate.open {
      redis = URL, enable_cache = false, compression = false, serializer = "cbor",
      memory_efficient = true, debug = false, enable_metrics = false, log_level = "debug",
      log = print,
      profile = "default", layout = "typed",
    })
    store:close()
  end)

  it("does not show a password or URL in a message", function()
    for _, redis in ipairs {
      "redis://user:hunter2@127.0.0.1:port", "http://user:hunter2@127.0.0.1",
      { password = 42, host = "a" }, { url = "redis://:hunter2@127.0.0.1/x" },
      "unix://user:hunter2@relative", "rediss://:hunter2@a:port", "redis://hunter2@a",
      "redis://:x@hunter2@a", "redis://:x/hunter2@a", "redis://x:1/hunter2@a",
      "unix://:x/hunter2@/a", "unix://hunter2@/a", { username = "hunter2" },
      { tls = { key = "-----BEGIN PRIVATE KEY-----\nhunter2" } },
      { tls = { cert = "hunter2\n" } }, { tls = "hunter2" },
    } do
      local message = raises(function() authstate.open { redis = redis } end)
      assert.is_nil(message:find("hunter2", 1, true), message)
      assert.is_nil(message:find("42", 1, true), message)
    end
  end)

  it("refuses what is no table", function()
    for _, given in ipairs { "redis://127.0.0.1", 6379, true, print } do
      says("accepted: a table", function() authstate.open(given) end)
    end
  end)
end)

describe("an option of a call", function()
  local store = authstate.open { redis = URL }
  local session = store:session "s"

  it("that is unknown is refused with what is meant", function()
    says('unknown option "timeout", did you mean "timeout_ms"?',
      function() session:load_creds { timeout = 1 } end)
    says('unknown option "expects", did you mean "expect"?',
      function() session.keys:set({}, { expects = 1 }) end)
    says('unknown option "1"', function() session.keys:get("a", {}, { "x" }) end)
    says('unknown option "limits", did you mean "limit"?',
      function() store:sessions { limits = 1 } end)
  end)

  it("that is no time, version, page or cursor is refused", function()
    for _, timeout_ms in ipairs { 0, -1, "5", 0 / 0, math.huge, 3600001, true } do
      assert.match("^timeout_ms: ",
        raises(function() session:load { timeout_ms = timeout_ms } end))
      assert.match("^timeout_ms: ",
        raises(function() store:ping { timeout_ms = timeout_ms } end))
      assert.match("^timeout_ms: ",
        raises(function() store:sessions { timeout_ms = timeout_ms } end))
    end
    for _, expect in ipairs { "1", true, {}, 1.5, -1, 0 / 0, math.huge } do
      assert.match("expect: ", raises(function() session:commit { expect = expect } end))
      assert.match("expect: ",
        raises(function() session:save_creds({}, { expect = expect }) end))
    end
    for _, limit in ipairs { 0, -1, 1.5, "10", 100001, 0 / 0 } do
      assert.match("^limit: ", raises(function() store:sessions { limit = limit } end))
    end
    for _, after in ipairs { "x", 5, "64:1:a", "1:x:a", "" } do
      assert.match("^after: ", raises(function() store:sessions { after = after } end))
    end
  end)

  it("that is to come is refused, unless it says what happens anyway", function()
    says("replace: only true", function() session:save_creds({}, { replace = false }) end)
    says("unowned: ", function() store:sessions { unowned = true } end)
  end)

  it("list that is no table is refused by every call", function()
    for _, options in ipairs { "x", 5, true } do
      assert.match("options: ", raises(function() session:load_creds(options) end))
      assert.match("options: ", raises(function() session:load_creds_json(options) end))
      assert.match("options: ", raises(function() session:load(options) end))
      assert.match("options: ", raises(function() session:load_json(options) end))
      assert.match("options: ",
        raises(function() session:load_or_create(print, options) end))
      assert.match("options: ", raises(function() session:save_creds({}, options) end))
      assert.match("options: ", raises(function() session:commit({}, options) end))
      assert.match("options: ", raises(function() session:commit_json("{}", options) end))
      assert.match("options: ", raises(function() session:delete(options) end))
      assert.match("options: ", raises(function() session.keys:get("a", {}, options) end))
      assert.match("options: ",
        raises(function() session.keys:get_json("a", {}, options) end))
      assert.match("options: ", raises(function() session.keys:set({}, options) end))
      assert.match("options: ", raises(function() session.keys:set_json({}, options) end))
      assert.match("options: ", raises(function() session.keys:list("a", options) end))
      assert.match("options: ", raises(function() session.keys:count("a", options) end))
      assert.match("options: ", raises(function() session.keys:types(options) end))
      assert.match("options: ", raises(function() store:ping(options) end))
      assert.match("options: ", raises(function() store:sessions(options) end))
      assert.match("options: ", raises(function() store:session_info("s", options) end))
    end
  end)
end)
