-- SPDX-License-Identifier: MIT
--- Which processors a redis-server and the peers run on.
--
--     "one"    the server and each peer share one
--     "two"    the server has one for itself
--     "free"   as the scheduler likes: for a whole turn it keeps two programs that wait
--              for each other on one processor or apart, and the same program differs
--              from itself by what waking an idle processor costs

local processor = {}

-- The numbers of those that this process may run on.
local function list_allowed()
  local file = io.open("/proc/self/status", "rb")
  local text = file and file:read "*a" or ""
  if file then file:close() end
  local numbers = {}
  local ranges = text:match "Cpus_allowed_list:%s*(%S+)" or "0"
  for first, last in ranges:gmatch "(%d+)%-?(%d*)" do
    for number = tonumber(first), tonumber(last) or tonumber(first) do
      numbers[#numbers + 1] = number
    end
  end
  return numbers
end

local splits = {}

function splits.one(numbers)
  return { numbers[1] }, { numbers[1] }
end

function splits.two(numbers)
  if #numbers == 1 then return numbers, numbers end
  return { table.remove(numbers) }, numbers
end

function splits.free(numbers)
  return numbers, numbers
end

--- Whether there is such a way to share them.
function processor.has(name)
  return splits[name] ~= nil
end

--- Who runs where.
-- @param name a way to share them
-- @return the server's processors and the peers', as taskset wants to be told
function processor.split(name)
  local server, peers = splits[name](list_allowed())
  return table.concat(server, ","), table.concat(peers, ",")
end

--- The words of a command that keeps to some processors.
-- @param list as told by `split`
-- @param words the command
function processor.keep(list, words)
  return { "taskset", "-c", list, unpack(words) }
end

--- Brings a process that runs to some processors, all its threads.
-- @param list as told by `split`
-- @param pid its number
function processor.bring(list, pid)
  local command = ("taskset -a -p -c %s %d >/dev/null"):format(list, pid)
  assert(os.execute(command) == 0, "taskset failed")
end

return processor
