#!/usr/bin/env bash
# Installs what the build needs and the machine lacks (Debian 12). Running it again costs nothing.
#
#   tools/setup.sh             compilers and libraries, from Debian
#   tools/setup.sh --peers     also numpy and safetensors, whose files tests exchange, in build/venv
#   tools/setup.sh --oracles   also JAX, which fixtures and the bench need
#   tools/setup.sh --bench     also ONNX Runtime and the libraries that the bench compares with
#   tools/setup.sh --torch     also PyTorch, for tools/bench.sh --with-torch: 5 GB
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(
  g++ cmake ninja-build ccache python3 python3-venv
  llvm-19-dev libfmt-dev catch2 libbenchmark-dev libcli11-dev nlohmann-json3-dev zlib1g-dev
  clang-format-19 strace
)
numpy="numpy==2.4.6"
peers=("$numpy" "safetensors==0.8.0")
oracles=("${peers[@]}" "jax==0.10.2")
onnx=("onnx==1.23.2" "onnxruntime==1.32.0")
# The package index has no build of it for CPUs alone, and this one loads CUDA's libraries even so.
torch=("$numpy" "torch==2.15.0")

step() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    if [[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]]; then
      printf '%s\n' "$package"
    fi
  done
}

is_debian_12() {
  [[ -r /etc/os-release ]] && (. /etc/os-release && [[ "${ID:-} ${VERSION_ID:-}" == "debian 12" ]])
}

install_packages() {
  local as_root=() missing
  if ! command -v dpkg-query >/dev/null; then
    fail "this set-up knows Debian 12 only; here, install the counterparts of: ${packages[*]}"
  fi
  mapfile -t missing < <(missing_packages)
  if [[ ${#missing[@]} -eq 0 ]]; then
    step "set-up: all packages are there"
    return
  fi
  if ! is_debian_12; then
    fail "this set-up knows Debian 12 only; here, install these yourself and run it again:" \
         "${missing[*]}"
  fi
  if [[ "$(id -u)" -ne 0 ]]; then
    command -v sudo >/dev/null || fail "run as root, or install sudo, to install: ${missing[*]}"
    as_root=(sudo)
  fi
  step "set-up: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  local apt=("${as_root[@]}" apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120)
  "${apt[@]}" update
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}"
  mapfile -t missing < <(missing_packages)
  [[ ${#missing[@]} -eq 0 ]] || fail "still missing after the installation: ${missing[*]}"
}

# install_python PACKAGE==VERSION...: what of these build/venv lacks.
install_python() {
  local installed=build/venv/installed.txt package missing=()
  for package in "$@"; do
    grep -qwFs -- "$package" "$installed" || missing+=("$package")
  done
  if [[ ${#missing[@]} -eq 0 ]]; then
    step "set-up: the Python packages are there (build/venv)"
    return
  fi
  step "set-up: installing ${missing[*]} into build/venv"
  mkdir -p build
  [[ -x build/venv/bin/pip ]] || /usr/bin/python3 -m venv --clear build/venv
  build/venv/bin/pip install --quiet --disable-pip-version-check "${missing[@]}"
  printf '%s\n' "${missing[@]}" >>"$installed"
}

python_packages=()
for argument in "$@"; do
  case "$argument" in
    --peers) python_packages+=("${peers[@]}") ;;
    --oracles) python_packages+=("${oracles[@]}") ;;
    --bench)
      # The OpenBLAS that runs on OpenMP, as the loops between its products do.
      packages+=(libdnnl-dev libopenblas-openmp-dev libxsmm-dev)
      python_packages+=("${oracles[@]}" "${onnx[@]}")
      ;;
    --torch) python_packages+=("${torch[@]}") ;;
    -h | --help) sed -n '2,8p' tools/setup.sh | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) printf 'error: unknown argument %s; see tools/setup.sh --help\n' "$argument" >&2; exit 2 ;;
  esac
done

install_packages
if [[ ${#python_packages[@]} -gt 0 ]]; then install_python "${python_packages[@]}"; fi
