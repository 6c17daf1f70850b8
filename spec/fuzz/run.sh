#!/bin/sh
# SPDX-License-Identifier: MIT
# Fuzzes targets, FUZZ_JOBS of them at a time: run.sh FUZZER SECONDS TARGET...
#
# Inputs that reach something new are kept in build/fuzz/corpus/TARGET/ for the next run.
# An input that fails is left in build/fuzz/found/ and belongs into spec/fuzz/corpus/TARGET/.
# The other targets are fuzzed all the same; the exit status is not 0 then.
set -eu

fuzzer=$1
seconds=$2
shift 2

if [ $# -ne 1 ]; then
  printf '%s\n' "$@" | xargs -r -n 1 -P "${FUZZ_JOBS:-1}" "$0" "$fuzzer" "$seconds"
  exit
fi

target=$1
build=$(dirname "$fuzzer")
kept=$build/corpus/$target
log=$build/found/$target.log
dictionary=spec/fuzz/$target.dict
mkdir -p "$kept" "$build/seeds/$target" "$build/found"
[ -f "$dictionary" ] && dictionary=-dict=$dictionary || dictionary=-verbosity=1
if ! FUZZ_TARGET=$target "$fuzzer" "$dictionary" -max_total_time="$seconds" -timeout=20 \
  -artifact_prefix="$build/found/$target-" "$kept" "spec/fuzz/corpus/$target" \
  "$build/seeds/$target" 2>"$log"; then
  tail -n 60 "$log" >&2
  echo "fuzz: $target failed; the input is in $build/found/, the log in $log" >&2
  exit 1
fi
sed -n "s/^Done \([0-9]*\) runs in \([0-9]*\) .*/fuzz: $target: \1 inputs in \2 s/p" "$log"
