#!/usr/bin/env bash
# in_venv.sh PYTHON SCRIPT...: runs the script where the packages are, else skips it (77).
if ! [[ -x "$1" ]] || ! "$1" -c 'import numpy, safetensors' 2>/dev/null; then
  echo "skipped: numpy and safetensors are not in build/venv; tools/setup.sh --peers installs them"
  exit 77
fi
exec "$@"
