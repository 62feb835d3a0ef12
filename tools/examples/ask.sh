#!/bin/bash
# Asks an agent something and waits for its answer: `ask.sh DIR_OF_THIS_FILE`.
# A broker is started for the current directory and ended afterwards.
set -euo pipefail

ackbook up --background
trap 'ackbook down' EXIT

ackbook spawn bob --wait 20 -- python3 "$1/agent.py"
ackbook spawn me --wait 20 -- cat

ackbook send bob "hello" --from me --wait 20

# The feed begins with the first event, so an answer that was quicker than we are is there, too.
exec 3< <(exec ackbook events --follow --json)
feed=$!
jq -rn 'first(inputs | select(.kind == "relay_inbound" and .from == "bob") | .body)' <&3
kill "$feed"
