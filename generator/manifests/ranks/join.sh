#!/usr/bin/env bash
# Process 1 of a worker's pod: asks the leader for the command that mpirun has for this host, and runs it to its end.
# SIGTERM is not heeded: the leader's mpirun ends the worker once the requests in flight are done.
set -euo pipefail
ask='import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode())'
until command="$(python3 -c "$ask" "http://$LWS_LEADER_ADDRESS:$RANKS_PORT/$(hostname)" 2> /dev/null)"; do
  sleep 1
done
trap : TERM
bash -c "$command" &
child=$!
status=0
while kill -0 "$child" 2> /dev/null; do
  status=0
  wait "$child" || status=$?
done
exit "$status"
