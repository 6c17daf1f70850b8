-- SPDX-License-Identifier: MIT

--- Certificates of a spec's own, made by the openssl command in a temporary directory.
-- @module spec.support.certificates

local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local KEY = { "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes" }

local Authority = { __name = "certificate_authority" }
Authority.__index = Authority

local certificates = {}

local function openssl(...)
  local command = { "openssl", env = { LD_PRELOAD = false } }
  for _, word in ipairs { ... } do
    for _, each in ipairs(type(word) == "table" and word or { word }) do
      command[#command + 1] = each
    end
  end
  local status, _, errors = process.run(command)
  if status ~= 0 then
    error("openssl: " .. errors, 3)
  end
end

local function new_paths()
  local directory = temporary.directory()
  return { cert = directory .. "/cert.pem", key = directory .. "/key.pem",
    request = directory .. "/request.pem", extensions = directory .. "/extensions" }
end

--- A certificate that nobody but itself has signed.
-- @tparam table options `name` (common name), `alt` (list like "DNS:localhost"),
-- `is_authority`
-- @treturn table `cert` and `key`, paths
function certificates.self_signed(options)
  local made = new_paths()
  local more = { "-addext", "basicConstraints=critical,CA:"
    .. (options.is_authority and "TRUE" or "FALSE") }
  if options.alt then
    more[#more + 1] = "-addext"
    more[#more + 1] = "subjectAltName=" .. table.concat(options.alt, ",")
  end
  openssl("req", "-x509", KEY, "-days", "10", "-subj", "/CN=" .. options.name, "-keyout",
    made.key, "-out", made.cert, more)
  return made
end

--- An authority that signs others.
-- @tparam string name
-- @treturn Authority with `cert` and `key`, paths
function certificates.authority(name)
  local made = certificates.self_signed { name = name, is_authority = true }
  return setmetatable(made, Authority)
end

--- A certificate that the authority has signed.
-- @tparam table options `name`, `alt` (list like "DNS:localhost", "IP:127.0.0.1"), `days`
-- (default 10; -1: it has expired), `is_authority`
-- @treturn Authority with `cert` and `key`, paths
function Authority:issue(options)
  local made = new_paths()
  local file = assert(io.open(made.extensions, "w"))
  file:write("basicConstraints=critical,CA:", options.is_authority and "TRUE" or "FALSE",
    "\n")
  if options.alt then
    file:write("subjectAltName=", table.concat(options.alt, ","), "\n")
  end
  file:close()
  openssl("req", KEY, "-subj", "/CN=" .. options.name, "-keyout", made.key, "-out",
    made.request)
  openssl("x509", "-req", "-in", made.request, "-CA", self.cert, "-CAkey", self.key,
    "-CAcreateserial", "-days", options.days or 10, "-extfile", made.extensions, "-out",
    made.cert)
  return setmetatable(made, Authority)
end

--- A copy of a key, encrypted with a passphrase.
-- @treturn string its path
function certificates.encrypted_key(made)
  local path = new_paths().key
  openssl("pkey", "-in", made.key, "-aes256", "-passout", "pass:secret", "-out", path)
  return path
end

--- One file of several, such as a chain.
-- @treturn string its path
function certificates.join(...)
  local texts = {}
  for i, path in ipairs { ... } do
    local file = assert(io.open(path, "rb"))
    texts[i] = file:read "*a"
    file:close()
  end
  return temporary.file(table.concat(texts), "chain.pem")
end

return certificates
