-- SPDX-License-Identifier: MIT
--- A new directory of files that hold secrets: whole, or not there.
--
-- It is written under another name beside its own, forced to disk, and renamed.

local core = require "authstate.core"
local report = require "authstate.report"

local whole_directory = {}

local function parent_of(path)
  local parent = path:match "^(.*)/[^/]*$"
  return parent == "" and "/" or parent or "."
end

--- Finds out where a new directory can be written.
-- @return the path to give to `write`; or nil and a sentence
function whole_directory.find_place(path)
  local real, reason = core.real_path(path)
  if real then
    local names
    names, reason = core.list_directory(real)
    if not names then return nil, path .. ": " .. reason end
    if #names == 0 then return real end
    return nil, path .. ": not empty; accepted: a directory that is empty or not there"
  elseif reason ~= "No such file or directory" then
    return nil, path .. ": " .. reason
  end
  local place = path:gsub("/+$", "")
  if core.is_directory(parent_of(place)) then return place end
  return nil, ("%s: there is no directory %s"):format(path, parent_of(place))
end

local function fill(directory, files, on_file)
  local made, reason = core.make_directory(directory)
  if not made then return nil, ("cannot make %s: %s"):format(directory, reason) end
  for i, file in ipairs(files) do
    on_file(i - 1)
    made, reason = core.write_file(directory .. "/" .. file.name, file.text)
    if not made then
      return nil, ("cannot write %s/%s: %s"):format(directory, report.id(file.name),
        reason)
    end
  end
  made, reason = core.sync_directory(directory)
  if not made then return nil, ("cannot sync %s: %s"):format(directory, reason) end
  return true
end

local function fill_and_rename(draft, place, files, on_file)
  local is_done, message = fill(draft, files, on_file)
  if not is_done then return nil, message end
  local reason
  is_done, reason = os.rename(draft, place)
  if is_done then return true end
  -- os.rename begins its words with the name.
  return nil, ("cannot rename %s to it: %s"):format(draft, reason:sub(#draft + 3))
end

-- Removes what a failed write left; the words for the rest, "" when there is none.
local function discard(draft, files)
  for _, file in ipairs(files) do os.remove(draft .. "/" .. file.name) end
  os.remove(draft)
  if not core.is_directory(draft) then return "" end
  return "; what was written is still in " .. draft
end

--- Writes a directory: whole, or not at all.
-- @param place what `find_place` gave
-- @param files list of { name, text }; a name has no "/" and no NUL
-- @param on_file function(done), called with how many files are written: all of them only
--   when the directory is in its place
-- @return true; or nil and a sentence
function whole_directory.write(place, files, on_file)
  local parent = parent_of(place)
  local draft = parent .. "/.authstate-export-" .. core.bytes(core.random(8)):hex()
  local is_whole, is_done, message = pcall(fill_and_rename, draft, place, files, on_file)
  if not is_whole then
    discard(draft, files)
    error(is_done, 0) -- an interrupt
  elseif not is_done then
    return nil, ("%s: %s%s"):format(place, message, discard(draft, files))
  end
  local is_durable, reason = core.sync_directory(parent)
  if not is_durable then
    return nil, ("%s is written, but a crash may undo it: cannot sync %s: %s"):format(
      place, parent, reason)
  end
  on_file(#files)
  return true
end

return whole_directory
