#!/usr/bin/env bash
# The whole REST API by curl: creates the two connectors of the tutorial, looks at them, pauses, resumes, restarts and deletes them.
# Needs a worker at $ROWFERRY (default http://localhost:8083), and a table mydb.users at the address in the two tutorial files.
set -euo pipefail
cd "$(dirname "$0")"
rowferry="${ROWFERRY:-http://localhost:8083}"

call() { # call METHOD PATH [FILE]: shows the command and the answer
  local method="$1" path="$2" body=()
  if [ "$#" -gt 2 ]; then body=(-H 'Content-Type: application/json' --data "@$3"); fi
  echo "\$ curl -X $method ${body[*]:-} $rowferry$path"
  curl -sS -X "$method" "${body[@]}" -w '\n(%{http_code})\n\n' "$rowferry$path"
}

call GET /
call GET /connector-plugins
call POST /connectors tutorial-source.json
call POST /connectors tutorial-sink.json
call GET /connectors
sleep 2 # both need a moment to start
call GET /connectors/my-source-connect/status
call GET /connectors/my-sink-connect/tasks
call GET /connectors/my-source-connect/offsets
call PUT /connectors/my-sink-connect/pause
call PUT /connectors/my-sink-connect/resume
call POST '/connectors/my-sink-connect/restart?includeTasks=true&onlyFailed=false'
call PUT /connectors/my-source-connect/stop
call DELETE /connectors/my-source-connect
call DELETE /connectors/my-sink-connect
