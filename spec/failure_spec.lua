-- SPDX-License-Identifier: MIT

local failure = require "authstate.failure"

describe("a failure", function()
  it("says that nothing was sent or changed unless it knows better", function()
    local result, message, code, details = failure.new("fenced", "gone")
    assert.is_nil(result)
    assert.same({ "gone", "fenced", { sent = false, applied = "no", retry = false } },
      { message, code, details })
    details = { sent = true, applied = "maybe" }
    details = select(4, failure.new("timeout", "late", details))
    assert.same({ sent = true, applied = "maybe", retry = true }, details)
  end)

  it("has one of the codes that are documented, each of them once", function()
    local seen = {}
    for _, code in ipairs(failure.CODES) do
      assert.is_nil(seen[code], code)
      seen[code] = true
      assert.equal(code, (select(3, failure.new(code, "message"))))
    end
    assert.has_error(function() failure.new("tiemout", "message") end, "tiemout")
  end)
end)
