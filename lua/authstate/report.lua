-- SPDX-License-Identifier: MIT
--- What a command prints: lines for people or one JSON document for programs, and
-- progress and questions on a terminal.

local core = require "authstate.core"

local Report = { __name = "authstate.report" }
Report.__index = Report

local report = {}

local STDIN, STDOUT, STDERR = 0, 1, 2
local FAILED = 1
local BAR_WIDTH = 30
local REDRAW_MS = 50

--- @param is_json whether a program reads
function report.new(is_json)
  return setmetatable({
    is_json = is_json or false,
    draws = not is_json and core.is_terminal(STDERR) and core.is_terminal(STDOUT),
    drawn_ms = 0,
    held_lines = {},
  }, Report)
end

-- What cannot be written ends the command.
local function put_line(text)
  local is_written, reason = io.stdout:write(text, "\n")
  if not is_written then
    error({ message = "standard output: " .. reason, status = FAILED })
  end
end

--- Prints a line for people; nothing when a program reads.
function Report:line(format, ...)
  if self.is_json then return end
  self:clear()
  for _, text in ipairs(self.held_lines) do put_line(text) end
  self.held_lines = {}
  put_line(format:format(...))
end

--- Prints a value for programs; nothing when people read.
function Report:document(value)
  if self.is_json then put_line(assert(core.to_json(value))) end
end

--- Prints a list of ids for programs: { [name] = ids }.
function Report:names(name, ids)
  if not self.is_json then return end
  local list = core.array {}
  for i, id in ipairs(ids) do list[i] = report.json_id(id) end
  self:document { [name] = list }
end

--- Shows how far something is. Without a terminal only its end is a line, which comes
-- with the next other line: what fails right behind it has printed nothing.
function Report:progress(what, done, total)
  local is_end = done == total
  if not self.draws then
    if is_end and not self.is_json then
      table.insert(self.held_lines, ("%-8s %d of %d"):format(what, done, total))
    end
    return
  end
  local now_ms = core.now_ms()
  if not is_end and now_ms - self.drawn_ms < REDRAW_MS then return end
  self.drawn_ms = now_ms
  local filled = math.floor(BAR_WIDTH * done / math.max(total, 1))
  io.stderr:write(("\r%-8s [%s%s] %d of %d"):format(what, ("#"):rep(filled),
    ("."):rep(BAR_WIDTH - filled), done, total))
  self.is_dirty = true
  if is_end then
    io.stderr:write("\n")
    self.is_dirty = false
  end
end

--- Takes an unfinished progress line off the terminal.
function Report:clear()
  if not self.is_dirty then return end
  io.stderr:write("\r\27[K")
  self.is_dirty = false
end

--- Whether there is a person who can be asked.
function Report:can_ask()
  return not self.is_json and core.is_terminal(STDIN) and core.is_terminal(STDERR)
end

--- Prints a line for the person who is going to be asked: on the terminal, wherever the
-- output goes.
function Report:tell(format, ...)
  self:clear()
  io.stderr:write(format:format(...), "\n")
end

--- Asks on the terminal.
-- @return the line that was typed, "" at the end of the input
function Report:ask(question)
  self:clear()
  io.stderr:write(question, " ")
  -- A shell reads the line, because a read of our own would begin again after a SIGINT:
  -- at the terminal that ends the shell too, and we go on, interrupted.
  local shell = assert(io.popen("IFS= read -r line && printf '%s\\n' \"$line\"", "r"))
  local line = shell:read "*l"
  shell:close()
  if not line then io.stderr:write "\n" end
  return line or ""
end

--- A number of bytes for people.
function report.bytes(count)
  if count < 1024 then return ("%d B"):format(count) end
  if count < 1024 * 1024 then return ("%.1f KiB"):format(count / 1024) end
  return ("%.1f MiB"):format(count / 1024 / 1024)
end

--- A moment, milliseconds of the Unix epoch, as UTC of ISO 8601.
function report.utc(ms)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(ms / 1000))
end

-- Unit and how many milliseconds it has, the longest first.
local UNITS = {
  { "days", 24 * 3600 * 1000 }, { "h", 3600 * 1000 }, { "min", 60 * 1000 },
  { "s", 1000 },
}

--- A time span for people, in its largest unit of which there are two.
function report.span(ms)
  for _, unit in ipairs(UNITS) do
    if ms >= 2 * unit[2] then return ("%d %s"):format(ms / unit[2], unit[1]) end
  end
  return ("%d ms"):format(math.max(ms, 0))
end

--- An id in a document: one that is not UTF-8 cannot stand in JSON text and comes as
-- { hex = digits }.
function report.json_id(id)
  return core.to_json(id) and id or { hex = core.bytes(id):hex() }
end

--- An id on a line of its own: as it is, but for control characters and backslashes.
function report.id(id)
  return (id:gsub("[%c\\]", function(byte)
    return byte == "\\" and "\\\\" or ("\\x%02x"):format(byte:byte())
  end))
end

return report
