#!/bin/sh
# SPDX-License-Identifier: MIT
# Prints the fewest files that reach all that is known to be reachable: minimise.sh FUZZER
# TARGET, after `make fuzz`. What is worth keeping of them goes to spec/fuzz/corpus/TARGET/.
set -eu

fuzzer=$1
target=$2
build=$(dirname "$fuzzer")
fewest=$build/fewest/$target

rm -rf "$fewest"
mkdir -p "$fewest"
FUZZ_TARGET=$target "$fuzzer" -set_cover_merge=1 -use_counters=0 -max_len=1500 "$fewest" \
  "$build/corpus/$target" "$build/seeds/$target" "spec/fuzz/corpus/$target" \
  2>"$build/fewest/$target.log"
ls -d "$fewest"/*
