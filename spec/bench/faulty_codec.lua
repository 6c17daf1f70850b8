-- SPDX-License-Identifier: MIT

-- authstate's codec as a peer, with one fault:
--
--     luajit spec/bench/faulty_codec.lua FAULT CALL
--
-- The fault happens in the call of that number, counted from 1, and in all that follow.

local core = require "authstate.core"

local FAULT, CALL = arg[1], tonumber(arg[2])

local calls = 0

-- Replaces a function of the core by one that calls `wrong` from some call on.
local function spoil(name, wrong)
  local right = core[name]
  core[name] = function(...)
    calls = calls + 1
    return (calls >= CALL and wrong or right)(...)
  end
end

local faults = {}

function faults.none() end

function faults.empty()
  spoil("decode", function() return {} end)
end

function faults.nothing()
  spoil("decode", function() return nil, "out of ink" end)
end

function faults.not_ours()
  spoil("encode", function() return "\255" end)
end

faults[FAULT]()
rawset(_G, "arg", { "authstate" })
dofile "bench/peers/codec.lua"
