#!/bin/sh
# Measure cosmos-xenna on W1 and W1b in an environment of its own: peers/run.sh DIRECTORY [N]
# Needs uv and Python 3.12 (PEERS_PYTHON=/path/to/it where uv finds the wrong one). Takes about two
# minutes for the default of 1,000 inputs.
set -eu
directory=${1:?where the environment goes}
count=${2:-1000}
here=$(dirname "$0")
uv venv --quiet --allow-existing --python "${PEERS_PYTHON:-3.12}" "$directory"
uv pip install --quiet --python "$directory/bin/python" --requirements "$here/requirements.txt"
for batch in 1 32; do
  timeout 600 "$directory/bin/python" "$here/xenna.py" -n "$count" --batch "$batch" 2>/dev/null \
    | grep '^{' || echo "cosmos-xenna with batch $batch gave no figures" >&2
done
