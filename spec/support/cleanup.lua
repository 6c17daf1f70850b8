-- SPDX-License-Identifier: MIT

--- Loaded by busted before the specs (`helper` in `.busted`).
--
-- busted gives each spec file its own copy of what it requires. What is required here is
-- loaded before, so all files share it, and one place can clean up: after every file all
-- processes it started are killed and its temporary directories are removed. If busted
-- itself is killed, the guards in `process` and `temporary` do the same.
-- @script cleanup

local busted = require "busted"
local process = require "spec.support.process"
local proxy = require "spec.support.proxy"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"
local share = require "spec.support.share"
local temporary = require "spec.support.temporary"

assert(proxy and random)

local function clean_up()
  redis_server.stop_all()
  process.stop_all()
  temporary.remove_all()
  return nil, true
end

share.watch(busted)
busted.subscribe({ "file", "end" }, clean_up)
busted.subscribe({ "exit" }, clean_up, { priority = 1 })
