-- SPDX-License-Identifier: MIT
--- The version of authstate, here and nowhere else.
return "0.1.0-dev"
