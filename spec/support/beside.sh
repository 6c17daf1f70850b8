#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the specs in several busted processes side by side: beside.sh COUNT BUSTED...
#
# They share the files among them (share.lua). Their dots come as they come; what each says
# at its end stands together, one after the other. The last line counts for all, as that of
# a lone process does (count.lua). A process that ends without its count, as when a spec
# ends or crashes it, is one more failure, and so is one whose status its count does not
# explain. Exit status 0 when nothing failed.
set -u

processes=$1
shift
directory=$(mktemp -d) || exit 1
pids=''
unexplained=0

# busted --lua starts one more process, whose id is in the file. One that has not written it
# yet will find that there is nothing left to share.
stop() {
  trap '' INT TERM HUP
  kill $pids $(cat "$directory"/*.pid 2>/dev/null) 2>/dev/null
  wait
  exit "$1"
}
trap 'rm -rf "$directory"' EXIT
trap 'stop 130' INT
trap 'stop 143' TERM HUP

# Waits for a process: PID REPORT.
finish() {
  wait "$1"
  status=$?
  count=$(tail -n 1 "$2" 2>/dev/null | grep -Ex '[0-9]+ passed, [0-9]+ failed.*')
  case $status/$count in
    0/*', 0 failed'* | [1-9]*/*' passed, '[1-9]*) return ;;
  esac
  unexplained=$((unexplained + 1))
  printf '\nA process of the specs ended with status %d; its last file is %s\n\n%s\n' \
    "$status" "$(cat "$2.at" || echo none)" "${count:-0 passed, 0 failed}" >>"$2"
}

mkdir "$directory/share"
for number in $(seq "$processes"); do
  # What a shell starts in the background ignores INT, and so would what the specs start.
  SPEC_SHARE=$directory/share SPEC_REPORT=$directory/$number.report \
    env --default-signal=INT,QUIT "$@" &
  pids="$pids $!"
done
number=0
for pid in $pids; do
  number=$((number + 1))
  finish "$pid" "$directory/$number.report"
done

sed -s '$d' "$directory"/*.report
tail -q -n 1 "$directory"/*.report | awk -v failed=$unexplained '
  { passed += $1; failed += $3; skipped += $5 }
  END {
    printf "%d passed, %d failed%s\n", passed, failed, skipped ? ", " skipped " skipped" : ""
    exit failed > 0
  }'
