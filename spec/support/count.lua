-- SPDX-License-Identifier: MIT

--- A busted output handler: what busted prints by default, then one plain last line,
-- "12 passed, 0 failed" or "12 passed, 0 failed, 1 skipped", for programs to read.
--
-- An error counts as a failure: in a spec, in a setup or teardown, or in a file that
-- does not load. Runs of `--repeat` are added up. When something failed, the line
-- before says which seed the random choices came from.
--
-- With SLOWEST=20 in the environment the twenty files and the twenty specs that took
-- longest stand before. With SPEC_REPORT in the environment all but the dots goes to the
-- file of this path: see `beside.sh`.
-- @script count

--- The seed of this run, if any spec made random choices.
local function seed_line()
  local random = package.loaded["spec.support.random"]
  local seed = random and random.run_seed()
  return seed and ("\nSEED=%d repeats the random choices\n"):format(seed) or ""
end

return function(options)
  local busted = require "busted"
  local report = os.getenv "SPEC_REPORT"
  if report then
    busted.subscribe({ "suite", "end" }, function()
      io.output(assert(io.open(report, "a")))
      return nil, true
    end, { priority = 1 })
  end
  local handler = require("busted.outputHandlers." .. options.defaultOutput)(options)
  local passed, failed, skipped = 0, 0, 0
  local count = tonumber(os.getenv("SLOWEST") or "")
  if count then require("spec.support.slowest").watch(busted, count) end

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
