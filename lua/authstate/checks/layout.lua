-- SPDX-License-Identifier: MIT
--- What must hold of every layout, tried with random and with hostile names.

local failure = require "authstate.failure"
local glob = require "authstate.glob"

local show = failure.show

local SESSIONS = {
  "5511999999999", "a", "a}", "a}:k:x", "{a}", "{", "*", "?", "[a]", "a*", "\\", "a:b",
  "a:auth", "a:creds", " ", "\0", "\n", "ação", "\255", ("s"):rep(512), "index:0", "%7D",
}

local TYPES = {
  "pre-key", "session", "sender-key", "sender-key-memory", "app-state-sync-key",
  "app-state-sync-version", "lid-mapping", "device-list", "tctoken", "identity-key",
}

local IDS = {
  "1", "5511999999999.0", "120363000000030868@g.us::5521980000274::0", "AAAA/+A=",
  "__index", "a:b", "a-b", "a--b", "a__b", "creds", "*", "{a}", "}", " ", "\0", "日本語",
  "\255", "", "critical_block", "meta",
}

-- Of user input: some of the above, or random bytes.
local function pick(dice, list)
  if dice(4) > 1 then return list[dice(#list)] end
  local bytes = {}
  for i = 1, dice(12) do bytes[i] = string.char(dice(256) - 1) end
  return table.concat(bytes)
end

local function pick_session(dice)
  local session
  repeat session = pick(dice, SESSIONS) until session:sub(1, 1) ~= "}"
  return session
end

-- The part of a key that decides its slot in a cluster.
local function hash_tag(key)
  local tag = key:match "{([^}]*)}"
  return tag and tag ~= "" and tag or key
end

-- A glob may take in more than the session has; `parse` tells whose a key is.
local function is_in_scope(layout, session, key, field)
  local scope = layout.scope(session)
  local is_named = scope.match ~= nil and glob.matches(scope.match, key)
  for _, each in ipairs(scope.keys or {}) do is_named = is_named or each == key end
  return is_named and
    (layout.parse(key, field) == session or key == layout.meta_key(session))
end

-- One random record: where it is, and where its creds are.
local function draw(layout, dice)
  local drawn = { session = pick_session(dice), kind = TYPES[dice(#TYPES)] }
  drawn.id = pick(dice, IDS)
  drawn.key, drawn.field = layout.key(drawn.session, drawn.kind, drawn.id)
  drawn.creds_key, drawn.creds_field = layout.key(drawn.session, "creds", "creds")
  drawn.meta_key = layout.meta_key(drawn.session)
  return drawn
end

-- Where a session has something.
local function places(drawn)
  return {
    { key = drawn.key, field = drawn.field },
    { key = drawn.creds_key, field = drawn.creds_field },
    { key = drawn.meta_key, field = "gen" },
  }
end

local function name(drawn)
  return ("session %s, %s"):format(show(drawn.session),
    failure.record(drawn.kind, drawn.id))
end

-- The rules, by name: each looks at a record and at another one, and answers nothing or a
-- sentence.
local RULES = {}

RULES["key returns a key and a field"] = function(_, one)
  for _, value in ipairs { "key", "field", "creds_key", "creds_field", "meta_key" } do
    if type(one[value]) ~= "string" then
      return ("%s of %s is %s; a string is needed"):format(value, name(one),
        show(one[value]))
    end
  end
end

RULES["the same record is always in the same place"] = function(layout, one)
  local key, field = layout.key(one.session, one.kind, one.id)
  if key ~= one.key or field ~= one.field then
    return ("%s is in %s %s, then in %s %s"):format(name(one), show(one.key),
      show(one.field), show(key), show(field))
  end
end

RULES["key does not depend on the id"] = function(layout, one, other)
  local key = layout.key(one.session, one.kind, other.id)
  if key ~= one.key then
    return ("%s is in %s, but id %s of it in %s"):format(name(one), show(one.key),
      show(other.id), show(key))
  end
end

RULES["the keys of a session share a slot"] = function(layout, one)
  if layout.atomic == "key" and one.key ~= one.creds_key then
    return ("%s is in %s, its creds in %s"):format(name(one), show(one.key),
      show(one.creds_key))
  end
  local tag = hash_tag(one.creds_key)
  -- The slot of a whole key without a tag is that of a tag which is the whole key.
  for _, key in ipairs { one.key, one.meta_key } do
    if layout.atomic == "slot" and hash_tag(key) ~= tag then
      return ("%s has the hash tag %s, the creds of the session %s"):format(show(key),
        show(hash_tag(key)), show(tag))
    end
  end
end

RULES["creds, records and meta are in different places"] = function(_, one)
  if one.key == one.creds_key and one.field == one.creds_field then
    return name(one) .. " is where the creds are"
  elseif one.meta_key == one.key or one.meta_key == one.creds_key then
    return ("the meta key %s of session %s holds records too"):format(show(one.meta_key),
      show(one.session))
  end
end

RULES["parse undoes key"] = function(layout, one)
  local session, kind, id = layout.parse(one.key, one.field)
  if session ~= one.session or kind ~= one.kind or type(id) ~= "string" then
    return ("%s comes back as session %s, type %s, id %s"):format(name(one),
      show(session), show(kind), show(id))
  end
  local key, field = layout.key(session, kind, id)
  if key ~= one.key or field ~= one.field then
    return ("%s comes back as id %s, which is in another place"):format(name(one),
      show(id))
  end
  session, kind, id = layout.parse(one.creds_key, one.creds_field)
  if session ~= one.session or kind ~= "creds" or id ~= "creds" then
    return ("the creds of session %s come back as session %s, type %s, id %s"):format(
      show(one.session), show(session), show(kind), show(id))
  end
end

RULES["parse does not take meta for a record"] = function(layout, one)
  if layout.parse(one.meta_key, "gen") ~= nil then
    return ("parse knows the meta key %s"):format(show(one.meta_key))
  end
end

RULES["scope names all of a session"] = function(layout, one)
  for _, place in ipairs(places(one)) do
    if place.key ~= one.meta_key and
       not is_in_scope(layout, one.session, place.key, place.field) then
      return ("scope of session %s leaves out its key %s"):format(show(one.session),
        show(place.key))
    end
  end
end

RULES["sessions do not reach into each other"] = function(layout, one, other)
  if one.session == other.session then return end
  for _, place in ipairs(places(other)) do
    local key = place.key
    if key == one.key or key == one.creds_key or key == one.meta_key then
      return ("sessions %s and %s share the key %s"):format(show(one.session),
        show(other.session), show(key))
    elseif is_in_scope(layout, one.session, key, place.field) then
      return ("scope of session %s takes the key %s of session %s"):format(
        show(one.session), show(key), show(other.session))
    end
  end
end

RULES["session_match finds the session"] = function(layout, one)
  local is_found = glob.matches(layout.session_match, one.creds_key) or
    glob.matches(layout.session_match, one.meta_key)
  if not is_found then
    return ("the glob %s matches neither %s nor %s"):format(show(layout.session_match),
      show(one.creds_key), show(one.meta_key))
  end
end

local checks = {}

--- The names of the rules, sorted.
function checks.names()
  local names = {}
  for rule in pairs(RULES) do names[#names + 1] = rule end
  table.sort(names)
  return names
end

--- Tries a layout once.
-- @param layout see layout.lua
-- @param dice function(n) -> 1 to n
-- @param complain function(rule, sentence)
-- @return an id that does not come back from its field, for a note; or nil
function checks.step(layout, dice, complain)
  local one, other = draw(layout, dice), draw(layout, dice)
  local first = "key returns a key and a field"
  local sentence = RULES[first](layout, one) or RULES[first](layout, other)
  if sentence then return complain(first, sentence) end
  for rule, check in pairs(RULES) do
    sentence = rule ~= first and check(layout, one, other)
    if sentence then complain(rule, sentence) end
  end
  local _, _, id = layout.parse(one.key, one.field)
  if id ~= one.id then return failure.record(one.kind, one.id) end
end

return checks
