-- SPDX-License-Identifier: MIT

-- A data directory whose path is too long for the address of a socket: the socket is
-- elsewhere, and everything else is as with a short path.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local core = require "authstate.core"
local lfs = require "lfs"
local private_server = require "spec.embedded.private_server"
local process = require "spec.support.process"
local program = require "spec.embedded.program"
local servers = require "spec.embedded.servers"
local small_disk = require "spec.embedded.small_disk"

local LONGEST = 107 - #"/redis.sock"
local VERY_LONG = 3000
local MAX_NAME = 200
local KILLS = 10

describe("a data directory with a long path", function()
  local directory

  -- A path of that many bytes; the directories are not made.
  local function path_of(bytes)
    local path = servers.directory()
    while bytes - #path > MAX_NAME + 2 do path = path .. "/" .. ("d"):rep(MAX_NAME) end
    return path .. "/" .. ("e"):rep(bytes - #path - 1)
  end

  local function socket_elsewhere()
    local _, id = process.run { "id", "-u" }
    return ("/tmp/authstate-%d/%s.sock"):format(tonumber(id),
      core.sha256_hex(directory):sub(1, 32))
  end

  after_each(function()
    process.stop_all()
    servers.end_all(directory)
    os.remove(socket_elsewhere())
  end)

  local function open(path)
    return assert(authstate.open { data_dir = path or directory,
      append_fsync = "always" })
  end

  local function put(store, id)
    assert(store:session("s").keys:set { t = { [id] = "1" } })
  end

  local function stored(store)
    local ids = assert(store:session("s").keys:list "t")
    table.sort(ids)
    return table.concat(ids, " ")
  end

  it("has its socket in it as long as that is possible", function()
    directory = path_of(LONGEST)
    local store = open()
    assert.equal("socket", lfs.attributes(directory .. "/redis.sock", "mode"))
    assert.is_nil(lfs.attributes(directory .. "/socket"))
    put(store, "1")
    assert(store:close())
  end)

  for _, bytes in ipairs { LONGEST + 1, 200, VERY_LONG } do
    it(("works with %d bytes, its socket in a directory of ours alone"):format(bytes),
      function()
        directory = path_of(bytes)
        assert.equal(bytes, #directory)
        local store = open()
        assert.is_nil(lfs.attributes(directory .. "/redis.sock"))
        assert.equal(socket_elsewhere(), private_server.socket_path(directory))
        assert.equal("socket", lfs.attributes(socket_elsewhere(), "mode"))
        assert.equal("rwx------",
          lfs.attributes(socket_elsewhere():match "^(.*)/", "permissions"))
        assert.equal(1, #servers.of(directory))
        put(store, "1")
        assert(store:close())
        assert.is_nil(lfs.attributes(socket_elsewhere()))
        assert.same({}, servers.using(directory))
        store = open()
        assert.equal("1", stored(store))
        assert(store:close())
      end)
  end

  it("is one for who names it relatively or by a link", function()
    directory = path_of(VERY_LONG)
    local store = open()
    put(store, "1")
    local pid = private_server.pid(directory)
    local link = servers.directory() .. "/link"
    assert(lfs.link(directory, link, true))
    local other = open(link)
    put(other, "2")
    assert(other:close())
    local parent, name = directory:match "^(.*)/([^/]*/[^/]*)$"
    local status, words, err = program.run {
      name, cwd = parent, text = [[
        local store = open()
        assert(store:session "s".keys:set { t = { ["3"] = "1" } })
        assert(store:close())
        report "done"
      ]],
    }
    assert.same({ 0, "done", "" }, { status, words[1], err })
    assert.equal(pid, private_server.pid(directory))
    assert.equal("1 2 3", stored(store))
    assert(store:close())
  end)

  -- arg: data directory, name, the file that ends it
  local USER = [[
    local count, file = 0, nil
    repeat
      local store = open { data_dir = arg[1], append_fsync = "always" }
      for _ = 1, 20 do
        count = count + 1
        local keys = store:session(arg[2]).keys
        assert(keys:set({ t = { [tostring(count)] = "1" } }, { timeout_ms = 30000 }))
      end
      assert(store:close())
      file = io.open(arg[3])
    until file
    report("done", count)
  ]]

  it("is shared by several processes while the server is killed", function()
    directory = path_of(VERY_LONG)
    local users, stop = {}, servers.directory() .. "/stop"
    for i = 1, 4 do
      users[i] = program.start { directory, tostring(i), stop, text = USER }
    end
    for _ = 1, KILLS do
      servers.kill(assert(clock.wait_for(function()
        local pids = servers.of(directory)
        assert.is_true(#pids <= 1)
        return pids[1]
      end)))
      clock.sleep(100)
    end
    io.open(stop, "w"):close()
    local store = open()
    for i, user in ipairs(users) do
      assert.equal(0, user:wait(60000), user:errors() .. user:output())
      local count = tonumber(program.await(user, "done")[2])
      assert.equal(count, store:session(tostring(i)).keys:count "t")
      user:kill()
    end
    assert(store:close())
  end)

  it("takes a socket file that a killed server left behind", function()
    directory = path_of(VERY_LONG)
    local store = open()
    put(store, "1")
    private_server.kill(directory)
    assert.equal("socket", lfs.attributes(socket_elsewhere(), "mode"))
    put(store, "2")
    assert(store:close())
    store = open()
    assert.equal("1 2", stored(store))
    assert(store:close())
  end)

  it("is refused with the path when the file system allows no such path", function()
    directory = path_of(LONGEST)
    local long = directory .. ("/" .. ("x"):rep(250)):rep(20)
    local store, message, code = authstate.open { data_dir = long }
    assert.is_nil(store)
    assert.equal("unavailable", code)
    assert.matches("File name too long", message, 1, true)
    assert.matches(long:sub(1, 100), message, 1, true)
  end)

  -- ---- the directory of the sockets -------------------------------------------------

  -- Sees a /tmp of its own, in which the directory of the sockets is made so before, and
  -- of the other one only what it needs: $1 is a list of names in /tmp, $2 an empty
  -- directory, $3 what is done before.
  local OWN_TMP = [[
set -e
names=$1 tmp=$2 prepare=$3
shift 3
mount -t tmpfs -o size=8m tmpfs "$tmp"
for name in $names; do
  mkdir "$tmp/$name"
  mount --rbind "/tmp/$name" "$tmp/$name"
done
cd "$tmp"
sockets=authstate-$(id -u)
eval "$prepare"
mount --rbind "$tmp" /tmp
cd /
exec "$@"
]]

  -- The names in /tmp under which these paths lie.
  local function names_in_tmp(...)
    local names = {}
    for _, path in ipairs { ... } do names[#names + 1] = path:match "^/tmp/([^/]+)" end
    return table.concat(names, " ")
  end

  local function run_with(prepare, text)
    directory = path_of(VERY_LONG)
    local tmp = servers.directory()
    local _, id = process.run { "id", "-u" }
    return program.run {
      directory, text = text, timeout_ms = 60000,
      before = {
        "unshare", id == "0\n" and "-m" or "-rm", "sh", "-c", OWN_TMP, "sh",
        names_in_tmp(tmp, lfs.currentdir()), tmp, prepare,
      },
    }
  end

  local REFUSED = [[
    local socket_directory = "/tmp/authstate-" .. io.popen "id -u":read "*l"
    local store, message, code = authstate.open { data_dir = arg[1] }
    assert(store == nil)
    assert(message:find(socket_directory, 1, true), message)
    report("refused", code, message)
  ]]

  local FOREIGN = {
    ["of somebody else"] = {
      "mkdir -m 700 $sockets; "
        .. "chown 65534 $sockets 2>/dev/null || mount --bind /usr $sockets",
      "belongs to another user",
    },
    ["that lets others in"] = { [[mkdir -m 755 $sockets]], "chmod 700" },
    ["that is a link"] = { [[mkdir -m 700 real; ln -s real $sockets]], "" },
    ["that is a file"] = { [[touch $sockets]], "is not a directory" },
  }

  local can_mount = small_disk.is_possible(small_disk.kinds[1])
  for name, case in pairs(FOREIGN) do
    it("is refused when the directory of the sockets is one " .. name, function()
      if not can_mount then
        pending "no mount namespaces here"
        return
      end
      local status, words, err = run_with(case[1], REFUSED)
      assert.same({ 0, "refused", "unavailable", "" },
        { status, words[1], words[2], err })
      assert.matches(case[2], words[3], 1, true)
    end)
  end

  it("works in such a namespace when nothing is in the way", function()
    if not can_mount then
      pending "no mount namespaces here"
      return
    end
    local status, words, err = run_with("true", [[
      local store = open()
      assert(store:session "s".keys:set { t = { a = "1" } })
      assert(store:close())
      report "done"
    ]])
    assert.same({ 0, "done", "" }, { status, words[1], err })
  end)
end)
