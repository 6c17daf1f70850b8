-- SPDX-License-Identifier: MIT
local codec_speed = require "bench.harness.codec_speed"

return {
  name = "codec_encode",
  sentence = "from a value of the language to what is stored; others to its JSON text",
  measure = codec_speed.measure("encode", {
    cjson = { total = 1.5, type = 0.9 },
    encrypted = { most = 1.4 },
    node = { total = 4 },
  }),
}
