-- SPDX-License-Identifier: MIT

-- What policies order entries with, against plain Lua tables: all short sequences of
-- operations, and long random ones.

local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"
local random = require "spec.support.random"

require "authstate.structures"

local library = core_ffi.library

local OBJECTS = {}

-- A cache without a policy, as policies see it, with so many entries: 1, 2, ...
local function new_cache(entries)
  local object = assert(core.cache(1e9, 0, 1))
  local cache = core_ffi.cache(object:address())
  OBJECTS[#OBJECTS + 1] = object
  for i = 1, entries do
    local id = tostring(i)
    assert.equal(i, library.authstate_cache_insert(cache, 1, 1, id, #id, "", 0))
  end
  return cache, object
end

-- Calls `try` with every sequence of `length` of the operations.
local function each_sequence(operations, length, try)
  local sequence = {}
  local function extend(at)
    if at > length then return try(sequence) end
    for _, operation in ipairs(operations) do
      sequence[at] = operation
      extend(at + 1)
    end
  end
  extend(1)
end

local function operations_of(names, entries)
  local list = {}
  for _, name in ipairs(names) do
    for e = 1, entries do list[#list + 1] = { name, e } end
  end
  return list
end

local function index_of(list, e)
  for i, each in ipairs(list) do
    if each == e then return i end
  end
end

-- ---- queue --------------------------------------------------------------------------

local QUEUE_MODEL = {}

function QUEUE_MODEL.remove(list, e)
  local at = index_of(list, e)
  if at then table.remove(list, at) end
end

function QUEUE_MODEL.push(list, e)
  QUEUE_MODEL.remove(list, e)
  list[#list + 1] = e
end

function QUEUE_MODEL.touch(list, e)
  if index_of(list, e) then QUEUE_MODEL.push(list, e) end
end

local function check_queue(cache, queue, list, entries)
  local bytes = 0
  for i, e in ipairs(list) do
    bytes = bytes + cache:entry(e).size_bytes
    assert.equal(list[i + 1] or 0, queue:newer(e))
    assert.equal(list[i - 1] or 0, queue:older(e))
  end
  assert.equal(#list, queue.count)
  assert.equal(bytes, queue.bytes)
  assert.equal(list[1] or 0, queue.oldest)
  assert.equal(list[#list] or 0, queue.newest)
  for e = 0, entries + 1 do assert.equal(index_of(list, e) ~= nil, queue:has(e)) end
end

-- ---- heap ---------------------------------------------------------------------------

-- A list of { entry, rank, turn }.
local HEAP_MODEL = {}

function HEAP_MODEL.remove(list, e)
  for i, each in ipairs(list) do
    if each[1] == e then return table.remove(list, i) end
  end
end

function HEAP_MODEL.put(list, e, rank)
  HEAP_MODEL.remove(list, e)
  list.turn = (list.turn or 0) + 1
  list[#list + 1] = { e, rank, list.turn }
  table.sort(list, function(a, b)
    return a[2] < b[2] or a[2] == b[2] and a[3] < b[3]
  end)
end

local function check_heap(heap, list)
  local e, rank = heap:first()
  assert.equal(list[1] and list[1][1] or 0, e)
  assert.equal(list[1] and list[1][2] or 0, rank)
  assert.equal(#list, heap.count)
  for _, each in ipairs(list) do assert.is_true(heap:has(each[1])) end
end

describe("the structures of a policy", function()
  after_each(function()
    for i, object in ipairs(OBJECTS) do
      assert.is_true(object:validate())
      object:close()
      OBJECTS[i] = nil
    end
  end)

  it("are a queue that is what a list is, after any four operations", function()
    local cache, object = new_cache(3)
    local queue = cache:queue()
    each_sequence(operations_of({ "push", "touch", "remove" }, 3), 4, function(sequence)
      local list = {}
      for _, operation in ipairs(sequence) do
        queue[operation[1]](queue, operation[2])
        QUEUE_MODEL[operation[1]](list, operation[2])
      end
      check_queue(cache, queue, list, 3)
      for e = 1, 3 do queue:remove(e) end
      check_queue(cache, queue, {}, 3)
    end)
    assert.is_true(object:validate())
  end)

  it("are a heap whose first is the smallest, of equal ones the first put in", function()
    local cache, object = new_cache(3)
    local heap, operations = cache:heap(), operations_of({ "remove" }, 3)
    for rank = 1, 2 do
      for e = 1, 3 do operations[#operations + 1] = { "put", e, rank } end
    end
    each_sequence(operations, 4, function(sequence)
      local list = {}
      for _, operation in ipairs(sequence) do
        heap[operation[1]](heap, operation[2], operation[3])
        HEAP_MODEL[operation[1]](list, operation[2], operation[3])
        check_heap(heap, list)
      end
      for e = 1, 3 do heap:remove(e) end
      check_heap(heap, {})
    end)
    assert.is_true(object:validate())
  end)

  it("stay so in long random sequences, while entries come and go", function()
    local dice = random.new()
    local cache, object = new_cache(60)
    local queue, heap, list, ranked = cache:queue(), cache:heap(), {}, {}
    local names = { "push", "touch", "remove" }
    for step = 1, 4000 do
      local e, name = dice:integer(1, 60), names[dice:integer(1, 3)]
      queue[name](queue, e)
      QUEUE_MODEL[name](list, e)
      if dice:integer(1, 2) == 1 then
        local rank = dice:integer(1, 20)
        heap:put(e, rank)
        HEAP_MODEL.put(ranked, e, rank)
      end
      if dice:integer(1, 20) == 1 then
        library.authstate_cache_delete(cache, e)
        QUEUE_MODEL.remove(list, e)
        HEAP_MODEL.remove(ranked, e)
        -- The number is the next one's, who is in neither.
        local id = "again" .. step
        assert.equal(e, library.authstate_cache_insert(cache, 1, 1, id, #id, "xy", 2))
      end
      check_heap(heap, ranked)
      if step % 50 == 0 then
        check_queue(cache, queue, list, 60)
        assert.is_true(object:validate())
      end
    end
  end)

  it("take NaN for the smallest rank", function()
    local heap = new_cache(3):heap()
    heap:put(1, -1e300)
    heap:put(2, 0 / 0)
    heap:put(3, 0 / 0)
    assert.equal(2, (heap:first()))
    heap:put(2, 5)
    heap:remove(3)
    assert.equal(1, (heap:first()))
  end)

  it("do nothing with numbers that name no entry, and tell who asks for its struct",
    function()
      local cache = new_cache(3)
      local queue, heap, ghost, sketch =
        cache:queue(), cache:heap(), cache:ghost(), cache:sketch()
      for _, e in ipairs { 0, 4, 64, 1000, 2 ^ 31, -1 } do
        queue:push(e)
        heap:put(e, 1)
        ghost:add(e)
        sketch:add(e)
        assert.same({ 0, 0, 0, 0 }, { queue.count, heap.count, ghost.count,
          sketch:count(e) })
        assert.has_error(function() return cache:entry(e) end, "there is no entry " .. e)
      end
      assert.has_error(function() return cache:entry() end)
    end)

  it("are 16 at most", function()
    local cache = new_cache(1)
    for _ = 1, 16 do cache:queue() end
    assert.has_error(function() cache:heap() end,
      "no memory for another structure, or there are 16 already")
  end)
end)

-- ---- ghost --------------------------------------------------------------------------

describe("a ghost", function()
  local cache, object

  local function insert(id)
    return library.authstate_cache_insert(cache, 1, 1, id, #id, "", 0)
  end

  before_each(function() cache, object = new_cache(0) end)

  after_each(function()
    assert.is_true(object:validate())
    object:close()
    OBJECTS = {}
  end)

  it("remembers keys, not entries: those who come again are known", function()
    local ghost, first = cache:ghost(), insert "a"
    insert "b"
    ghost:add(first)
    library.authstate_cache_delete(cache, first)
    assert.equal(first, insert "c")
    assert.is_false(ghost:has(first))
    assert.is_true(ghost:has(insert "a"))
  end)

  it("remembers as many as the cache has entries, those added last", function()
    local dice, ghost, list = random.new(), cache:ghost(), {}
    for i = 1, 40 do insert("stays" .. i) end
    for step = 1, 5000 do
      local id = "key" .. dice:integer(1, 150)
      local e = library.authstate_cache_peek(cache, 1, 1, id, #id)
      if e == 0 then e = insert(id) end
      assert.equal(index_of(list, id) ~= nil, ghost:has(e))
      QUEUE_MODEL.remove(list, id)
      if dice:integer(1, 4) == 1 then
        ghost:remove(e)
      else
        ghost:add(e)
        while #list >= 41 do table.remove(list, 1) end
        list[#list + 1] = id
      end
      assert.equal(#list, ghost.count)
      library.authstate_cache_delete(cache, e)
      if step % 100 == 0 then assert.is_true(object:validate()) end
    end
  end)
end)

-- ---- sketch -------------------------------------------------------------------------

describe("a sketch", function()
  it("estimates no less than the uses, halved when they were, and seldom more", function()
    local dice, cache = random.new(), new_cache(500)
    local sketch, uses, added, above = cache:sketch(4), {}, 0, 0
    for e = 1, 500 do uses[e] = 0 end
    for step = 1, 20000 do
      -- Some are used much more often than others.
      local e = math.min(dice:integer(1, 500), dice:integer(1, 500))
      sketch:add(e)
      uses[e], added = math.min(15, uses[e] + 1), added + 1
      if added >= 4 * 500 then
        added = added / 2
        for i = 1, 500 do uses[i] = math.floor(uses[i] / 2) end
      end
      assert.is_true(sketch:count(e) >= uses[e] and sketch:count(e) <= 15)
      if step % 1000 == 0 then
        for i = 1, 500 do above = above + sketch:count(i) - uses[i] end
      end
    end
    -- In 20 looks at 500 entries: less than one in ten is one too high.
    assert.is_true(above < 1000, tostring(above))
  end)

  it("counts a burst once when uses are to be apart, and new entries at once", function()
    local cache = new_cache(10)
    local sketch = cache:sketch(1000, 2)
    for _ = 1, 15 do sketch:add(1) end
    sketch:add(2)
    assert.same({ 1, 1, 0 }, { sketch:count(1), sketch:count(2), sketch:count(3) })
    -- 16 uses so far; entry 1 counts again from 20 uses after its first one.
    for _ = 1, 4 do sketch:add(3) end
    sketch:add(1)
    assert.same({ 2, 1 }, { sketch:count(1), sketch:count(3) })
    library.authstate_cache_delete(cache, 1)
    local e = library.authstate_cache_insert(cache, 1, 1, "1", 1, "", 0)
    sketch:add(e)
    assert.equal(3, sketch:count(e))
  end)

  it("keeps what it knows while the cache grows", function()
    local cache = new_cache(1)
    local sketch = cache:sketch(1000)
    for _ = 1, 9 do sketch:add(1) end
    for i = 2, 3000 do
      local id = tostring(i)
      sketch:add(library.authstate_cache_insert(cache, 1, 1, id, #id, "", 0))
    end
    assert.equal(9, sketch:count(1))
    assert.is_true(cache.used_bytes > 3000 * 8)
  end)
end)
