-- SPDX-License-Identifier: MIT
--- What the connections of a store have in common under TLS: whom they trust, and the
-- certificate that they show. Its files are read when the store is opened.

local core = require "authstate.core"
local failure = require "authstate.failure"

local tls = {}

local ACCEPTED = {
  ca = "a PEM file with the certificates to trust",
  cert = "a PEM file with a certificate and those above it",
  key = "a PEM file with the private key of redis.tls.cert, without a passphrase",
}

--- Makes it for a server.
-- @param server see options.check
-- @return what `loop:attach` takes, nil for a server without TLS; or false, the full name
--   of the option that is wrong, its value and a sentence
function tls.new(server)
  if not server.tls then return nil end
  local made, reason, part = core.tls(server.tls)
  if made then return made end
  if not part then
    return false, "redis.tls", server.tls, ('option "redis.tls": %s'):format(reason)
  end
  local option, value = "redis.tls." .. part, server.tls[part]
  return false, option, value, ('option "%s": %s %s; accepted: %s'):format(option,
    value and failure.show(value) or "what the system trusts", reason, ACCEPTED[part])
end

return tls
