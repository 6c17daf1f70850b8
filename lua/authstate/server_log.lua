-- SPDX-License-Identifier: MIT
--- Why a private server ended, as far as its log tells. The sentences are those of redis
-- 7.0, src/aof.c and src/server.c.

local server_log = {}

local TAIL_BYTES = 400

-- Lua patterns for lines after which a server ends, the code that they mean, and what
-- they capture of the reason. `reason` looks for it elsewhere in the same text. "cut",
-- "base" and "memory" are no codes of ours: the named file ends in the middle of a
-- command; the base file, which is not named, is damaged; there is too little memory.
local CAUSES = {
  { code = "memory", line = "# Out Of Memory allocating ([^\n]+)" },
  { code = "memory", line = "([Ff]ailed [a-z ]*allocating [^\n]+)" },
  { code = "cut",
    line = "# Unexpected end of file reading the append only file (%S+)%. " },
  { code = "disk", line = "# Can't recover from AOF write error",
    reason = "# Error writing to the AOF file: ([^\n]+)" },
  { code = "disk",
    line = "# Can't persist AOF for fsync error[^\n]*: ([^\n]+)%. Exiting" },
  { code = "disk", line = "# Can't open or create append%-only dir [^\n]*: ([^\n]+)" },
  { code = "disk", line = "# Can't open the append%-only file:? ([^\n]+)" },
  { code = "disk", line = "# [^\n]*([Nn]o space left on device)" },
  { code = "corrupt", line = "# (Bad file format reading the append only file [^:\n]+)" },
  { code = "corrupt", line = "# (Unknown command [^\n]* reading the append only[^\n]*)" },
  { code = "corrupt", line = "# (Unrecoverable error reading the append only [^\n]+)" },
  { code = "corrupt", line = "# (Unable to obtain the AOF file [^\n]+)" },
  { code = "corrupt", line = "(FATAL AOF MANIFEST FILE ERROR)" },
  { code = "base", line = "# Internal error in RDB reading[^\n]* %-> ([^\n]+)" },
}

-- What stands in the file from `mark` on, at most its last `max_bytes`.
local function read_from(path, mark, max_bytes)
  local file = io.open(path, "rb")
  if not file then return "" end
  local size = file:seek "end"
  file:seek("set", math.max(mark <= size and mark or 0, size - max_bytes))
  local text = file:read "*a"
  file:close()
  return text or ""
end

--- Where the log ends now.
function server_log.mark(path)
  local file = io.open(path, "rb")
  if not file then return 0 end
  local size = file:seek "end"
  file:close()
  return size
end

--- What the server said of its end since a mark.
-- @return "disk" or "corrupt", and its words; "cut" and the name of a file; "base" or
--   "memory" and its words; nil when it said nothing that we know
function server_log.cause(path, mark)
  local text = read_from(path, mark, 64 * 1024)
  for _, cause in ipairs(CAUSES) do
    local words = text:match(cause.line)
    if words then
      return cause.code, cause.reason and text:match(cause.reason) or words
    end
  end
end

--- Whether the last line since a mark is an ordinary notice (`*`): a server that ends of
-- itself says why at last, as a warning (`#`) or before its log has a form at all.
function server_log.is_cut_short(path, mark)
  local last_line = read_from(path, mark, TAIL_BYTES):match "([^\n]*)\n*$"
  return last_line:find "^%d+:%u %d+ %a+ %d+ [%d:.]+ %* " ~= nil
end

--- The last lines of the log in one, for a message; empty when there is none.
function server_log.tail(path)
  local text = read_from(path, 0, TAIL_BYTES):gsub("%s+$", ""):gsub("\n+", " | ")
  return text == "" and "" or "; its log ends: " .. text
end

return server_log
