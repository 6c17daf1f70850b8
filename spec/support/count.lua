-- SPDX-License-Identifier: MIT

--- A busted output handler: what busted prints by default, then one plain last line,
-- "12 passed, 0 failed" or "12 passed, 0 failed, 1 skipped", for programs to read.
--
-- An error counts as a failure: in a spec, in a setup or teardown, or in a file that
-- does not load. Runs of `--repeat` are added up. When something failed, the line
-- before says which seed the random choices came from.
-- @script count

--- The seed of this run, if any spec made random choices.
local function seed_line()
  local random = package.loaded["spec.support.random"]
  local seed = random and random.run_seed()
  return seed and ("\nSEED=%d repeats the random choices\n"):format(seed) or ""
end

return function(options)
  local busted = require "busted"
  local handler = require("busted.outputHandlers." .. options.defaultOutput)(options)
  local passed, failed, skipped = 0, 0, 0

  busted.subscribe({ "suite", "end" }, function()
    passed = passed + handler.successesCount
    failed = failed + handler.failuresCount + handler.errorsCount
    skipped = skipped + handler.pendingsCount
    return nil, true
  end)

  busted.subscribe({ "exit" }, function()
    io.write(failed > 0 and seed_line() or "")
    io.write(("\n%d passed, %d failed"):format(passed, failed))
    io.write(skipped > 0 and (", %d skipped"):format(skipped) or "", "\n")
    io.flush()
    return nil, true
  end)

  return handler
end
