-- SPDX-License-Identifier: MIT
--- What was read together before is read together again. It knows no library: it looks at
-- which round trip comes behind which one, and learns
--
--     forms   behind a record of type A comes one of type B with the same id, with its id
--             and something behind it, or with the number that follows the last one of B
--     pairs   behind this record comes that one
--
-- What comes often enough is read in the same round trip from then on. All counts halve
-- every PERIOD reads, so that what is no longer so is forgotten, and memory is bounded.

local LEAST_SHARE = { form = 0.15, pair = 0.3 } -- of the reads, so many must be followed
local LEAST_USES = 2
local PERIOD = 1024
local MAX_FORMS, MAX_PAIRS, MAX_PENDING, MAX_SESSIONS = 256, 4096, 4096, 4096

local SAME, LONGER, NEXT = "same", "longer", "next"

-- A table that is emptied when it has too many elements.
local function new_bounded(most)
  local self = { items = {}, count = 0 }
  function self.put(key, item)
    if self.items[key] == nil then
      if self.count >= most then self.items, self.count = {}, 0 end
      self.count = self.count + 1
    end
    self.items[key] = item
    return item
  end
  function self.remove(key)
    local item = self.items[key]
    if item ~= nil then self.items[key], self.count = nil, self.count - 1 end
    return item
  end
  return self
end

local function name_of(kind, id) return kind .. "\0" .. id end

local function number_after(id)
  local number = tonumber(id)
  return number and number % 1 == 0 and ("%.0f"):format(number + 1)
end

return function()
  local reads, last_id = {}, {}
  local forms, pairs_of = new_bounded(MAX_FORMS), new_bounded(MAX_PAIRS)
  local pending, before = new_bounded(MAX_PENDING), new_bounded(MAX_SESSIONS)
  local count = 0

  local function note_form(from, form, kind, text)
    local name = table.concat({ from, form, kind, text }, "\0")
    local known = forms.items[name]
      or forms.put(name, { from = from, form = form, kind = kind, text = text, uses = 0 })
    known.uses = known.uses + 1
  end

  local function note_pair(from, kind, id)
    local known = pairs_of.items[from] or pairs_of.put(from, { reads = 1, next = {} })
    local name = name_of(kind, id)
    local follower = known.next[name] or { kind = kind, id = id, uses = 0 }
    known.next[name], follower.uses = follower, follower.uses + 1
  end

  -- A round trip for `id` came behind one for `previous`.
  local function learn(previous, kind, id)
    if kind ~= previous.kind and id == previous.id then
      note_form(previous.kind, SAME, kind, "")
    elseif kind ~= previous.kind and id:sub(1, #previous.id) == previous.id then
      note_form(previous.kind, LONGER, kind, id:sub(#previous.id + 1))
    elseif last_id[kind] and number_after(last_id[kind]) == id then
      note_form(previous.kind, NEXT, kind, "")
    else
      note_pair(name_of(previous.kind, previous.id), kind, id)
    end
  end

  local function try(also, guess, share, of, kind, id)
    if guess.uses < LEAST_USES or guess.uses < share * of or not id then return end
    if also(kind, id) then pending.put(name_of(kind, id), guess) end
  end

  local function guess_all(also, kind, id)
    reads[kind] = (reads[kind] or 0) + 1
    for _, each in pairs(forms.items) do
      if each.from == kind then
        local last = last_id[each.kind]
        local wanted = each.form == NEXT and last and number_after(last)
          or each.form ~= NEXT and id .. each.text
        try(also, each, LEAST_SHARE.form, reads[kind], each.kind, wanted)
      end
    end
    local known = pairs_of.items[name_of(kind, id)]
    if not known then return end
    known.reads = known.reads + 1
    for _, each in pairs(known.next) do
      try(also, each, LEAST_SHARE.pair, known.reads, each.kind, each.id)
    end
  end

  -- Half of a count; what was seen once is forgotten.
  local function halve_all()
    for kind, number in pairs(reads) do reads[kind] = number / 2 end
    for name, each in pairs(forms.items) do
      each.uses = each.uses / 2
      if each.uses < 1 then forms.remove(name) end
    end
    for from, known in pairs(pairs_of.items) do
      known.reads = known.reads / 2
      for name, each in pairs(known.next) do
        each.uses = each.uses / 2
        if each.uses < 1 then known.next[name] = nil end
      end
      if next(known.next) == nil then pairs_of.remove(from) end
    end
  end

  local function read(also, kind, ids, session)
    count = count + 1
    if count % PERIOD == 0 then halve_all() end
    for _, id in ipairs(ids) do
      local previous = before.items[session]
      if previous then learn(previous, kind, id) end
      guess_all(also, kind, id)
      last_id[kind] = id
    end
    before.put(session, { kind = kind, id = ids[#ids] })
  end

  local function seen(kind, id, is_useful)
    local guess = pending.remove(name_of(kind, id))
    if not guess or not is_useful then return end
    guess.uses = guess.uses + 1
    if guess.form == NEXT then last_id[kind] = id end
  end

  return { read = read, seen = seen }
end
