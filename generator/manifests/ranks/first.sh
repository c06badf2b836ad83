#!/usr/bin/env bash
# Runs the first rank's server, which takes the requests. Told to end (SIGCONT, see start.sh) it finishes what is in
# flight while the other ranks still work for it; then it fails, whereupon mpirun ends them.
set -euo pipefail
"$@" &
server=$!
trap 'kill -TERM "$server" 2> /dev/null || true' CONT
status=0
while kill -0 "$server" 2> /dev/null; do
  status=0
  wait "$server" || status=$?
done
exit "$((status ? status : 143))"
