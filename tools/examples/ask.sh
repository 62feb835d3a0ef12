#!/bin/bash
# Asks an agent something and waits for its answer. A broker is started for the current directory and
# ended afterwards.
set -euo pipefail
here=$(dirname "$(realpath "$0")")

ackbook up --background
trap 'ackbook down' EXIT

ackbook spawn bob --wait 20 -- python3 "$here/agent.py"
ackbook spawn me --wait 20 -- cat

# What comes after the question may be its answer, also when that is quicker than we are.
asked=$(ackbook send bob "hello" --from me --wait 20 --json | jq .seq)

exec 3< <(exec ackbook events --follow --json --since "$asked")
feed=$!
jq -rn 'first(inputs | select(.kind == "relay_inbound" and .from == "bob") | .body)' <&3
kill "$feed"
