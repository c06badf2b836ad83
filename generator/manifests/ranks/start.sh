#!/usr/bin/env bash
# Process 1 of a pod whose server is several ranks: runs the command that it is given, mpirun's, to its end.
# In a group of pods (a LeaderWorkerSet) it first lists them, and offers each worker the command that mpirun has for it.
#
# SIGTERM is not for mpirun, which kills its ranks a second later: it is passed on as SIGCONT, which mpirun forwards to
# all ranks, and which only first.sh heeds.
set -euo pipefail
folder="${TMPDIR:-/tmp}"
if [ "${LWS_GROUP_SIZE:-1}" -gt 1 ]; then
  echo "$(hostname) slots=$RANKS_PER_POD" > "$folder/hostfile"
  for ((worker = 1; worker < LWS_GROUP_SIZE; worker++)); do
    echo "$(hostname)-$worker slots=$RANKS_PER_POD" >> "$folder/hostfile"
  done
  mkdir -p "$folder/ranks"
  python3 -m http.server "$RANKS_PORT" --directory "$folder/ranks" > /dev/null 2>&1 &
fi
ended=""
"$@" &
child=$!
trap 'ended=yes; kill -CONT "$child"' TERM INT
status=0
while kill -0 "$child" 2> /dev/null; do
  status=0
  wait "$child" || status=$?
done
if [ -n "$ended" ]; then
  exit 0
fi
exit "$status"
