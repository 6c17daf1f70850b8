-- SPDX-License-Identifier: MIT
--- The JSON text itself behind our header, written and checked by the core: larger, and
-- read by any program that skips a byte.

return { name = "json", code = 1, is_built_in = true }
