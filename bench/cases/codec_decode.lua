-- SPDX-License-Identifier: MIT
local codec_speed = require "bench.harness.codec_speed"

return {
  name = "codec_decode",
  sentence = "from what is stored to a value of the language; others from its JSON text",
  measure = codec_speed.measure("decode", {
    cjson = { total = 3, type = 1.2 },
    encrypted = { most = 1.6 },
    node = { total = 6 },
  }),
}
