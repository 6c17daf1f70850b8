-- SPDX-License-Identifier: MIT

--- Bytes as hexadecimal text, for specs about stored bytes.
-- @module spec.codec.hex

local hex = {}

--- "80 f6" or "80f6" to two bytes.
-- @tparam string text
-- @treturn string
function hex.decode(text)
  return (text:gsub("%s", ""):gsub("%x%x", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

--- Two bytes to "80f6".
-- @tparam string bytes
-- @treturn string
function hex.encode(bytes)
  return (bytes:gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
  end))
end

return hex
