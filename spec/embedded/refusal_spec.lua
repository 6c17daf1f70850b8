-- SPDX-License-Identifier: MIT

-- What the private server needs belongs to somebody else, or does not work: `open` says
-- so within moments, names the path, and changes nothing.

local authstate = require "authstate"
local lfs = require "lfs"
local log_files = require "spec.embedded.log_files"
local process = require "spec.support.process"
local program = require "spec.embedded.program"
local servers = require "spec.embedded.servers"

local NOBODY = "65534"

-- Opens, is refused within moments, and reports what was said.
local OPENED = [[
local started_ms = core.now_ms()
local store, message, code = authstate.open { data_dir = arg[1] }
if store then store:close() end
assert(core.now_ms() - started_ms < 10000, "took too long")
report(store and "opened" or "refused", code, message)
]]

describe("the private server", function()
  local directory

  before_each(function()
    directory = servers.directory() .. "/state"
  end)

  after_each(function()
    process.stop_all()
    servers.end_all(directory)
  end)

  local function fill()
    local store = assert(authstate.open { data_dir = directory })
    assert(store:session("s").keys:set { t = { a = "1" } })
    assert(store:close())
  end

  local function is_root()
    local _, id = process.run { "id", "-u" }
    return id == "0\n"
  end

  -- Gives the directory to another user, who runs the program; that user must reach it.
  local function run_as_nobody(text)
    local root = directory:match "^(.*)/[^/]*/[^/]*$"
    os.execute(("chmod 711 '%s'"):format(root))
    return program.run {
      directory, text = text, timeout_ms = 60000,
      before = {
        "setpriv", "--reuid=" .. NOBODY, "--regid=" .. NOBODY, "--clear-groups",
      },
    }
  end

  local function chown(...)
    os.execute(("chown %s '%s'"):format(...))
  end

  -- ---- files of somebody else -------------------------------------------------------

  it("works for another user than root", function()
    if not is_root() then
      pending "only root can become another user"
      return
    end
    fill()
    chown("-R " .. NOBODY, directory)
    local status, words, err = run_as_nobody(OPENED)
    assert.same({ 0, "opened", "" }, { status, words[1], err })
  end)

  local FILES = {
    "server.lock", "users.lock", "server.log", "appendonlydir",
    "appendonlydir/appendonly.aof.manifest", "appendonlydir/appendonly.aof.1.base.rdb",
    "appendonlydir/appendonly.aof.1.incr.aof",
  }

  for _, name in ipairs(FILES) do
    it("is not started when " .. name .. " belongs to somebody else", function()
      if not is_root() then
        pending "only root can make files of somebody else"
        return
      end
      fill()
      chown("-R " .. NOBODY, directory)
      chown("0", directory .. "/" .. name)
      os.execute(("chmod go= '%s/%s'"):format(directory, name))
      local before = log_files.snapshot(directory)
      local status, words, err = run_as_nobody(OPENED)
      assert.same({ 0, "refused", "" }, { status, words[1], err }, words[3])
      assert.equal("unavailable", words[2], words[3])
      for _, word in ipairs { directory, name:match "[^/]*$", "Permission denied" } do
        assert.matches(word, words[3], 1, true)
      end
      assert.same(before, log_files.snapshot(directory))
      assert.same({}, servers.using(directory))
      -- And opens when it is given back.
      chown(NOBODY, directory .. "/" .. name)
      status, words, err = run_as_nobody(OPENED)
      assert.same({ 0, "opened", "" }, { status, words[1], err })
    end)
  end

  it("is not started when always.lock belongs to somebody else and is needed", function()
    if not is_root() then
      pending "only root can make files of somebody else"
      return
    end
    local store = assert(authstate.open { data_dir = directory, append_fsync = "always" })
    assert(store:close())
    chown("-R " .. NOBODY, directory)
    chown("0", directory .. "/always.lock")
    local status, words, err = run_as_nobody((OPENED:gsub("data_dir = arg%[1%]",
      '%0, append_fsync = "always"')))
    assert.same({ 0, "refused", "" }, { status, words[1], err })
    assert.matches(directory .. "/always.lock", words[3], 1, true)
    assert.same({}, servers.using(directory))
  end)

  -- ---- locks that do not work -------------------------------------------------------

  -- The kernel answers every flock with EOPNOTSUPP, as some network file systems do.
  local WITHOUT_LOCKS = [[
local ffi = require "ffi"
local FLOCK = ({ x64 = 73, arm64 = 32 })[jit.arch]
ffi.cdef [=[
struct spec_filter { uint16_t code; uint8_t jt, jf; uint32_t k; };
struct spec_program { unsigned short length; struct spec_filter *filters; };
int prctl(int option, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d);
]=]
local filters = ffi.new("struct spec_filter[4]", {
  { 0x20, 0, 0, 0 },                  -- load the number of the system call
  { 0x15, 0, 1, FLOCK },              -- unless it is flock, skip one
  { 0x06, 0, 0, 0x00050000 + 95 },    -- fail with EOPNOTSUPP
  { 0x06, 0, 0, 0x7fff0000 },         -- allow
})
local program = ffi.new("struct spec_program[1]", { { 4, filters } })
assert(ffi.C.prctl(38, 1, 0, 0, 0) == 0)                    -- PR_SET_NO_NEW_PRIVS
assert(ffi.C.prctl(22, 2, ffi.cast("uintptr_t", program), 0, 0) == 0) -- PR_SET_SECCOMP
]]

  it("is not waited for where locks do not work", function()
    if jit.arch ~= "x64" and jit.arch ~= "arm64" then
      pending("the number of flock on " .. jit.arch .. " is not known")
      return
    end
    local status, words, err = program.run {
      directory, text = WITHOUT_LOCKS .. OPENED, timeout_ms = 60000,
    }
    assert.same({ 0, "refused", "unavailable", "" },
      { status, words[1], words[2], err })
    assert.matches(directory, words[3], 1, true)
    assert.matches("Operation not supported", words[3], 1, true)
    assert.same({}, servers.using(directory))
    assert.is_nil(lfs.attributes(directory .. "/appendonlydir"))
    -- The same directory is fine where they do.
    fill()
  end)
end)
