#!/usr/bin/env bash
# Waits until every worker of the group has an address: what a pod waits for before its server starts is not counted
# against its startup probe.
set -euo pipefail
for ((worker = 1; worker < LWS_GROUP_SIZE; worker++)); do
  until getent hosts "$(hostname)-$worker.${LWS_LEADER_ADDRESS#*.}" > /dev/null; do
    sleep 2
  done
done
