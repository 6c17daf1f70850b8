-- SPDX-License-Identifier: MIT
--- The default: CBOR (RFC 8949), packed by the core. See doc/envelope.md.

return { name = "cbor", code = 0, is_built_in = true }
