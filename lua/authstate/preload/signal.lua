-- SPDX-License-Identifier: MIT
--- What a Signal library reads together, by what its ids say. A message of a new session
-- reads the identity key of an address, its session, and the next pre-key; a first
-- contact its LID mapping, devices and session; a message to a group the group's
-- sender-key memory, one's own sender key there, and sessions of the members.
--
-- Libraries differ, so each guess is kept up only while it is of use.

local MEMBERS = 4 -- of a group, those who wrote last
local MAX_GROUPS = 256
local MAX_PENDING = 4096
local LEAST_USE = 0.1 -- of the records of a guess, so many must be read
local MEMORY = 64 -- after so many, what was counted counts half
local FORGET = 0.98 -- each time a guess is not tried, so that it is tried again

return function()
  local guesses, pending, pending_count = {}, {}, 0
  local groups, group_count, group, own = {}, 0, nil, nil
  local last_pre_key

  -- Whether a guess has done well enough. It has credit at first.
  local function is_worth(name)
    local guess = guesses[name] or { made = 8, useful = 4 }
    guesses[name] = guess
    if guess.useful >= LEAST_USE * guess.made then return true end
    guess.made = guess.made * FORGET
    return false
  end

  local function try(also, name, kind, id)
    if not is_worth(name) or not also(kind, id) then return end
    if pending_count >= MAX_PENDING then pending, pending_count = {}, 0 end
    pending[kind .. "\0" .. id], pending_count = name, pending_count + 1
    local guess = guesses[name]
    guess.made = guess.made + 1
    if guess.made < MEMORY then return end
    guess.made, guess.useful = guess.made / 2, guess.useful / 2
  end

  -- Who writes in a group: "group::user::device".
  local function note_member(id)
    local name, user, device = id:match "^(.*)::([^:]*)::(%d+)$"
    if not name then return end
    if name == group then own = ("::%s::%s"):format(user, device) end
    if not groups[name] and group_count == MAX_GROUPS then groups, group_count = {}, 0 end
    if not groups[name] then groups[name], group_count = {}, group_count + 1 end
    local members, address = groups[name], user .. "." .. device
    for i = 1, #members do
      if members[i] == address then return end
    end
    table.insert(members, 1, address)
    members[MEMBERS + 1] = nil
  end

  local rules = {}

  rules["identity-key"] = function(also, id)
    try(also, "session of identity", "session", id)
    if last_pre_key then
      try(also, "next pre-key", "pre-key", ("%d"):format(last_pre_key + 1))
    end
  end

  rules["session"] = function(also, id)
    try(also, "identity of session", "identity-key", id)
  end

  rules["lid-mapping"] = function(also, id)
    try(also, "devices of contact", "device-list", id)
    try(also, "session of contact", "session", id .. ".0")
  end

  rules["pre-key"] = function(_, id)
    last_pre_key = tonumber(id) or last_pre_key
  end

  rules["sender-key"] = function(_, id) note_member(id) end

  rules["sender-key-memory"] = function(also, id)
    group = id -- whose sender key is read next is one's own
    if own then try(also, "own sender key", "sender-key", id .. own) end
    for _, address in ipairs(groups[id] or {}) do
      try(also, "session of member", "session", address)
    end
  end

  return {
    read = function(also, kind, ids)
      local rule = rules[kind]
      if not rule then return end
      for i = 1, #ids do rule(also, ids[i]) end
      if kind ~= "sender-key-memory" then group = nil end
    end,

    seen = function(kind, id, is_useful)
      local name = pending[kind .. "\0" .. id]
      if not name then return end
      pending[kind .. "\0" .. id], pending_count = nil, pending_count - 1
      if not is_useful then return end
      guesses[name].useful = guesses[name].useful + 1
      if kind == "pre-key" then last_pre_key = tonumber(id) end
    end,
  }
end
