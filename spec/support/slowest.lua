-- SPDX-License-Identifier: MIT

--- Which specs take longest, for `make test SLOWEST=20`: so many files and so many `it`,
-- each with its seconds.
--
-- An `it` counts with what goes before it and was not counted yet: its `before_each`,
-- the `setup` of its `describe` if it is the first there, the `after_each` of the one
-- before. So the times of a file's `it` add up to the file's, but for the clean-up at its
-- end.
-- @module spec.support.slowest

local slowest = {}

local function place(element)
  local trace = element.trace
  return trace and ("%s:%d"):format(trace.short_src, trace.currentline) or element.name
end

--- Prints the `count` longest of a list of `{ seconds, text }`.
local function print_longest(title, rows, count)
  table.sort(rows, function(a, b) return a.seconds > b.seconds end)
  local all = 0
  for _, row in ipairs(rows) do all = all + row.seconds end
  io.write(("\n%s: %.1f s\n"):format(title, all))
  for i = 1, math.min(count, #rows) do
    io.write(("%8.2f s  %s\n"):format(rows[i].seconds, rows[i].text))
  end
end

--- Measures from now on, and prints at the end of the run.
-- @tparam table busted
-- @tparam number count how many to print
function slowest.watch(busted, count)
  local files, its = {}, {}
  local counted_until = busted.monotime()

  local function count_into(rows, since, text)
    local now = busted.monotime()
    table.insert(rows, { seconds = now - since, text = text })
    return now
  end

  busted.subscribe({ "file", "start" }, function()
    counted_until = busted.monotime()
    return nil, true
  end)
  busted.subscribe({ "test", "end" }, function(element)
    local text = place(element) .. " " .. tostring(element.name)
    counted_until = count_into(its, counted_until, text)
    return nil, true
  end)
  busted.subscribe({ "file", "end" }, function(element)
    count_into(files, element.starttick, element.name)
    return nil, true
  end)
  busted.subscribe({ "exit" }, function()
    print_longest("files", files, count)
    print_longest("specs", its, count)
    return nil, true
  end)
end

return slowest
