#!/usr/bin/env bash
# Send a picture to the service: predict.sh http://127.0.0.1:8080 photo.jpg
#
# Needs curl 7.76 or later. Prints the response as JSON; jq turns it into a table:
#   predict.sh … | jq -r '.details[] | [.age, .gender, (.box | join(","))] | @tsv'
# User name and password come from AGE_GENDER_USER and AGE_GENDER_PASSWORD.
set -euo pipefail

service=$1 picture=$2
user=${AGE_GENDER_USER:-sugar} password=${AGE_GENDER_PASSWORD:-kubes}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# --retry waits for Retry-After after 429 (and 408, 500, 502, 503, 504).
# Credentials go through standard input, so that they do not appear in the process list.
credentials=$user:$password
credentials=${credentials//\\/\\\\} # escaped for curl's configuration
if curl --silent --show-error --fail-with-body --retry 4 --max-time 60 --output "$answer" \
  --config - -F "image=@\"$picture\"" -F face_detector=accurate -F return_image=false \
  "$service/predict" <<<"user = \"${credentials//\"/\\\"}\""; then
  cat "$answer"
else
  cat "$answer" >&2 # application/problem+json: `code` and `detail` say what to change
  exit 1
fi
