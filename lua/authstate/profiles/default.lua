-- SPDX-License-Identifier: MIT
--- The profile below all others. It sets nothing: each option's default is in its row in
-- options.lua.

return { options = {}, why = {} }
