-- SPDX-License-Identifier: MIT

-- The program behind `spec.support.proxy`:
--
--    luajit proxy_program.lua CONTROL LISTEN UPSTREAM
--
-- CONTROL is the path of a unix socket for orders; LISTEN and UPSTREAM are each the path
-- of a unix socket or a port of 127.0.0.1. Orders and answers are lines of words
-- `name=value`, where %XX stands for a byte.
--
-- A connection (a link) has two flows, request and reply. A flow reads from its source,
-- a cut order may take part of what was read away, and the rest waits in the flow's queue
-- until its time has come and its sink takes it. When the ordered number of bytes has
-- gone into the queue the link is sealed: nothing enters its queues any more, and once
-- the queue is empty and `settle_ms` have passed, both sockets are closed.

local socket = require "socket"
local unix = require "socket.unix"

local CONTROL, LISTEN, UPSTREAM = arg[1], arg[2], arg[3]
local CHUNK_BYTES = 65536
local CONNECT_TIMEOUT_S = 2
local IDLE_S = 10
local FIN_WAIT_MS = 100

local links = {}     -- set of open links
local controls = {}  -- control socket -> text of an unfinished line
local closing = {}   -- socket that got our FIN -> when to close it
local listener, control_listener
local cut_order      -- the one waiting cut order, or nil

local mode = {
  delay_request_ms = 0, delay_reply_ms = 0,
  holds = {},        -- list of { direction, sent }, nil for both, and for all
  replacement = nil, -- { from, to }, of requests
}
local totals = { connections = 0, cuts = 0, request_bytes = 0, reply_bytes = 0 }
local counts = {}    -- byte string -> times

local function now_ms()
  return socket.gettime() * 1000
end

local function escape(text)
  return (tostring(text):gsub("[^%w_.:/-]", function(char)
    return ("%%%02X"):format(char:byte())
  end))
end

local function unescape(text)
  return (text:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end))
end

-- Sockets ---------------------------------------------------------------------------

local function listen(address)
  local server
  if tonumber(address) then
    server = assert(socket.bind("127.0.0.1", tonumber(address), 128))
  else
    os.remove(address)
    server = unix.stream()
    assert(server:bind(address))
    assert(server:listen(128))
  end
  server:settimeout(0)
  return server
end

local function connect(address)
  local stream, connected
  if tonumber(address) then
    stream = socket.tcp()
    stream:settimeout(CONNECT_TIMEOUT_S)
    connected = stream:connect("127.0.0.1", tonumber(address))
  else
    stream = unix.stream()
    stream:settimeout(CONNECT_TIMEOUT_S)
    connected = stream:connect(address)
  end
  if connected then
    return stream
  end
  stream:close()
end

local function set_up(stream)
  stream:settimeout(0)
  pcall(stream.setoption, stream, "tcp-nodelay", true)
end

-- After a FIN we read on for a moment: closing with something unread would send RST.
local function close_with_fin(stream)
  stream:shutdown("send")
  closing[stream] = now_ms() + FIN_WAIT_MS
end

local function close_with_rst(stream)
  pcall(stream.setoption, stream, "linger", { on = true, timeout = 0 })
  stream:close()
end

-- Links -----------------------------------------------------------------------------

local function new_flow(name, source, sink)
  return {
    name = name, source = source, sink = sink, queue = {}, kept = "", tails = {},
    counts = {},     -- byte string -> times, of those that are counted
    unreplaced = "", -- what may be the beginning of what is to be replaced
  }
end

local function accept()
  local client = listener:accept()
  if not client then
    return
  end
  totals.connections = totals.connections + 1
  local server = connect(UPSTREAM)
  if not server then
    client:close()
    return
  end
  set_up(client)
  set_up(server)
  local link = { number = totals.connections, client = client, server = server }
  link.request = new_flow("request", client, server)
  link.reply = new_flow("reply", server, client)
  links[link] = true
end

local function close_link(link, how)
  links[link] = nil
  if cut_order and cut_order.link == link then
    cut_order = nil
  end
  local close = how == "rst" and close_with_rst or close_with_fin
  close(link.server)
  if not link.is_orphan then close(link.client) end
end

-- Counting --------------------------------------------------------------------------

-- Counts in `bytes`, and across the border to what went before. The tail kept for each
-- text is shorter than the text, so nothing is counted twice.
local function count_texts(flow, bytes)
  for text in pairs(counts) do
    local window = (flow.tails[text] or "") .. bytes
    local from = 1
    while true do
      local first, last = window:find(text, from, true)
      if not first then
        break
      end
      counts[text] = counts[text] + 1
      flow.counts[text] = (flow.counts[text] or 0) + 1
      from = last + 1
    end
    local keep = math.min(#text - 1, #window - from + 1)
    flow.tails[text] = window:sub(#window - keep + 1)
  end
end

local function on_written(flow, bytes)
  local total = flow.name .. "_bytes"
  totals[total] = totals[total] + #bytes
  if flow.name == "request" then
    count_texts(flow, bytes)
  end
end

-- Cutting ---------------------------------------------------------------------------

-- The length of the longest end of `bytes` that may be the beginning of `marker`.
local function partial_length(bytes, marker)
  for length = math.min(#bytes, #marker - 1), 1, -1 do
    if bytes:sub(-length) == marker:sub(1, length) then
      return length
    end
  end
  return 0
end

-- Splits `bytes` at the first byte of `marker`: before, from there on (or nil). What may
-- turn out to be its beginning is kept in the flow for the next time.
local function split_at(flow, bytes, marker)
  bytes = flow.kept .. bytes
  flow.kept = ""
  local first = bytes:find(marker, 1, true)
  if first then
    return bytes:sub(1, first - 1), bytes:sub(first)
  end
  local length = partial_length(bytes, marker)
  flow.kept = bytes:sub(#bytes - length + 1)
  return bytes:sub(1, #bytes - length), nil
end

local function seal(link, flow)
  link.sealed = cut_order
  link.last_flow = flow
  cut_order = nil
end

-- Takes from `bytes` what the order still lets through, and seals the link when that is
-- all.
local function take(link, flow, bytes)
  local taken = bytes:sub(1, cut_order.remaining)
  cut_order.remaining = cut_order.remaining - #taken
  if cut_order.remaining == 0 then
    seal(link, flow)
  end
  return taken
end

-- Whether a link is one of those that an order is for.
local function has_sent(link, text)
  return text == nil or link.request.counts[text] ~= nil
end

local function concerns(link)
  return cut_order
    and (cut_order.connection == nil or cut_order.connection == link.number)
    and (cut_order.link == nil or cut_order.link == link)
    and has_sent(link, cut_order.sent)
end

-- Without a request marker the order is bound to the first link that sends something;
-- with one, to the link that sends it.
local function filter_request(link, flow, bytes)
  local before, after = "", bytes
  if not cut_order.link and cut_order.from then
    before, after = split_at(flow, bytes, cut_order.from)
  end
  if not after then
    return before
  end
  cut_order.link = link
  if cut_order.flow == "reply" then
    return before .. after
  end
  return before .. take(link, flow, after)
end

-- An order for a certain link without a request marker needs no request: the server may
-- be about to answer an earlier one, or push.
local function filter_reply(link, flow, bytes)
  if not cut_order.link and cut_order.connection and not cut_order.from then
    cut_order.link = link
  end
  if cut_order.flow == "request" or not cut_order.link then
    return bytes
  end
  if not cut_order.reply_from or cut_order.reply_seen then
    return take(link, flow, bytes)
  end
  local before, after = split_at(flow, bytes, cut_order.reply_from)
  if not after then
    return before
  end
  cut_order.reply_seen = true
  return before .. take(link, flow, after)
end

local filters = { request = filter_request, reply = filter_reply }

-- What of `bytes` goes on.
local function filter(link, flow, bytes)
  if concerns(link) then
    return filters[flow.name](link, flow, bytes)
  end
  bytes = flow.kept .. bytes
  flow.kept = ""
  return bytes
end

-- Replacing -------------------------------------------------------------------------

-- `bytes` with what is to be replaced in requests replaced.
local function replace(flow, bytes)
  local order = mode.replacement
  bytes = flow.unreplaced .. bytes
  flow.unreplaced = ""
  if not order or flow.name ~= "request" then
    return bytes
  end
  local parts, from = {}, 1
  while true do
    local first, last = bytes:find(order.from, from, true)
    if not first then
      break
    end
    parts[#parts + 1] = bytes:sub(from, first - 1) .. order.to
    from = last + 1
  end
  local rest = bytes:sub(from)
  local length = partial_length(rest, order.from)
  flow.unreplaced = rest:sub(#rest - length + 1)
  return table.concat(parts) .. rest:sub(1, #rest - length)
end

-- Flowing ---------------------------------------------------------------------------

local function enqueue(flow, bytes)
  if bytes ~= "" then
    local delay_ms = mode["delay_" .. flow.name .. "_ms"]
    table.insert(flow.queue, { bytes = bytes, due_ms = now_ms() + delay_ms })
  end
end

-- Whether there may be more.
local function read_flow(link, flow)
  local bytes, message, partial = flow.source:receive(CHUNK_BYTES)
  bytes = bytes or partial or ""
  local is_wanted = not link.sealed and not (link.is_orphan and flow.name == "reply")
  if #bytes > 0 and is_wanted then
    enqueue(flow, filter(link, flow, replace(flow, bytes)))
  end
  if message and message ~= "timeout" then
    flow.ended = true
  end
  return message == nil
end

local function write_flow(flow)
  local item = flow.queue[1]
  while item and item.due_ms <= now_ms() do
    local last, message, partial = flow.sink:send(item.bytes)
    last = last or partial
    on_written(flow, item.bytes:sub(1, last))
    item.bytes = item.bytes:sub(last + 1)
    if item.bytes ~= "" then
      flow.broken = message ~= "timeout"
      return
    end
    table.remove(flow.queue, 1)
    item = flow.queue[1]
  end
end

local function is_held(link, flow)
  if link.is_orphan then
    return false
  end
  for _, hold in ipairs(mode.holds) do
    local is_direction = hold.direction == nil or hold.direction == flow.name
    if is_direction and has_sent(link, hold.sent) then
      return true
    end
  end
  return false
end

-- The client's side of a link is gone. What it has sent reaches the server later, unless
-- the server closes its side before.
local function orphan(link, late_ms)
  local request = link.request
  while not request.ended and read_flow(link, request) do end
  for _, item in ipairs(request.queue) do item.due_ms = now_ms() + late_ms end
  request.ended, link.reply.queue, link.is_orphan = true, {}, true
  close_with_rst(link.client)
end

-- Closes a link that is sealed and settled, or one of whose sides is gone.
local function finish(link)
  if link.sealed then
    if #link.last_flow.queue > 0 and not link.last_flow.broken then
      return
    end
    link.cut_at_ms = link.cut_at_ms or now_ms() + link.sealed.settle_ms
    if now_ms() >= link.cut_at_ms then
      totals.cuts = totals.cuts + 1
      close_link(link, link.sealed.how)
    end
    return
  end
  for _, flow in ipairs { link.request, link.reply } do
    if flow.broken or (flow.ended and #flow.queue == 0) then
      close_link(link, "fin")
      return
    end
  end
end

-- Orders ----------------------------------------------------------------------------

local function checked_how(options)
  local how = options.how or "fin"
  assert(how == "fin" or how == "rst", "how is fin or rst")
  return how
end

-- Who says what is counted from then on only would be taken for one who has never.
local function checked_sent(options)
  assert(options.sent == nil or counts[options.sent], "sent is not counted")
  return options.sent
end

local function new_cut(flow, options)
  return {
    flow = flow,
    from = options.from,
    reply_from = options.reply_from,
    remaining = assert(tonumber(options.after_bytes), "after_bytes is missing"),
    connection = tonumber(options.connection),
    sent = checked_sent(options),
    settle_ms = tonumber(options.settle_ms) or 0,
    how = checked_how(options),
  }
end

local function release_kept()
  for link in pairs(links) do
    for _, flow in ipairs { link.request, link.reply } do
      enqueue(flow, flow.kept .. flow.unreplaced)
      flow.kept, flow.unreplaced = "", ""
    end
  end
end

local orders = {}

function orders.cut_request(options)
  release_kept()
  cut_order = new_cut("request", options)
end

function orders.cut_reply(options)
  release_kept()
  cut_order = new_cut("reply", options)
end

function orders.cut(options)
  local how = checked_how(options)
  checked_sent(options)
  for link in pairs(links) do
    if has_sent(link, options.sent) then
      totals.cuts = totals.cuts + 1
      close_link(link, how)
    end
  end
end

function orders.lose(options)
  local late_ms = assert(tonumber(options.late_ms), "late_ms is missing")
  for link in pairs(links) do
    if not link.is_orphan and not link.sealed then
      totals.cuts = totals.cuts + 1
      orphan(link, late_ms)
    end
  end
end

function orders.hold(options)
  table.insert(mode.holds, {
    direction = options.direction, sent = checked_sent(options),
  })
end

function orders.release(options)
  for i = #mode.holds, 1, -1 do
    if mode.holds[i].sent == options.sent then table.remove(mode.holds, i) end
  end
end

function orders.replace(options)
  assert(options.from and options.from ~= "", "from is missing")
  mode.replacement = { from = options.from, to = assert(options.to, "to is missing") }
end

function orders.delay(options)
  local delay_ms = assert(tonumber(options.delay_ms), "delay_ms is missing")
  local direction = options.direction or "reply"
  if direction ~= "reply" then mode.delay_request_ms = delay_ms end
  if direction ~= "request" then mode.delay_reply_ms = delay_ms end
end

function orders.refuse()
  if listener then
    listener:close()
    listener = nil
  end
end

function orders.pass()
  release_kept()
  cut_order = nil
  mode.holds, mode.replacement = {}, nil
  mode.delay_request_ms, mode.delay_reply_ms = 0, 0
  listener = listener or listen(LISTEN)
end

function orders.count(options)
  assert(options.text and options.text ~= "", "text is missing")
  counts[options.text] = counts[options.text] or 0
end

function orders.stats()
  local open = 0
  for _ in pairs(links) do
    open = open + 1
  end
  local words = { "open=" .. open, "waiting=" .. (cut_order and 1 or 0) }
  for name, value in pairs(totals) do
    words[#words + 1] = name .. "=" .. value
  end
  for text, times in pairs(counts) do
    words[#words + 1] = "count:" .. escape(text) .. "=" .. times
  end
  return table.concat(words, " ")
end

local function obey(line)
  local verb = line:match("^%S+")
  local options = {}
  for name, value in line:gmatch("(%S+)=(%S*)") do
    options[name] = unescape(value)
  end
  if not orders[verb] then
    return "no such order: " .. tostring(verb)
  end
  local ok, result = pcall(orders[verb], options)
  return ok and "ok " .. (result or "") or "failed: " .. tostring(result)
end

local function accept_control()
  local control = control_listener:accept()
  if control then
    control:settimeout(0)
    controls[control] = ""
  end
end

local function read_control(control)
  local line, message, partial = control:receive("*l")
  if line then
    local whole = controls[control] .. line
    controls[control] = ""
    control:settimeout(1)
    control:send(obey(whole) .. "\n")
    control:settimeout(0)
  elseif message == "timeout" then
    controls[control] = controls[control] .. partial
  else
    controls[control] = nil
    control:close()
  end
end

-- The loop --------------------------------------------------------------------------

local function read_closing(stream)
  local _, message = stream:receive(CHUNK_BYTES)
  if message and message ~= "timeout" then
    closing[stream] = nil
    stream:close()
  end
end

local function close_overdue()
  for stream, due_ms in pairs(closing) do
    if due_ms <= now_ms() then
      closing[stream] = nil
      stream:close()
    end
  end
end

-- What to wait for: readable sockets, each with what to do then; writable sockets; and
-- the next moment something falls due.
local function interests()
  local wanted = { readers = {}, writers = {}, actions = {}, due_ms = math.huge }
  local function on_readable(stream, action, ...)
    table.insert(wanted.readers, stream)
    wanted.actions[stream] = { action, ... }
  end
  local function wake_at(due_ms)
    wanted.due_ms = math.min(wanted.due_ms, due_ms)
  end

  on_readable(control_listener, accept_control)
  if listener then
    on_readable(listener, accept)
  end
  for control in pairs(controls) do
    on_readable(control, read_control, control)
  end
  for stream, due_ms in pairs(closing) do
    on_readable(stream, read_closing, stream)
    wake_at(due_ms)
  end
  for link in pairs(links) do
    for _, flow in ipairs { link.request, link.reply } do
      local item = flow.queue[1]
      if not is_held(link, flow) and not flow.ended then
        on_readable(flow.source, read_flow, link, flow)
      end
      if item and not is_held(link, flow) then
        if item.due_ms <= now_ms() then
          table.insert(wanted.writers, flow.sink)
        else
          wake_at(item.due_ms)
        end
      end
    end
    if link.cut_at_ms then
      wake_at(link.cut_at_ms)
    end
  end
  return wanted
end

local function turn()
  local wanted = interests()
  local wait_s = math.min(IDLE_S, math.max(0, (wanted.due_ms - now_ms()) / 1000))
  local readable = socket.select(wanted.readers, wanted.writers, wait_s)
  for _, stream in ipairs(readable) do
    local action = wanted.actions[stream]
    action[1](action[2], action[3])
  end
  for link in pairs(links) do
    for _, flow in ipairs { link.request, link.reply } do
      if not is_held(link, flow) then
        write_flow(flow)
      end
    end
    finish(link)
  end
  close_overdue()
end

listener = listen(LISTEN)
control_listener = listen(CONTROL)
while true do
  turn()
end
