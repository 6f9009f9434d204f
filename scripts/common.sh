# Sourced by the other scripts: where things are, and how to say that something is wrong.
set -euo pipefail
export LC_ALL=C.UTF-8

manta_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
build_dir="$manta_root/build/release"

say() { printf '%s\n' "manta: $*"; }
fail() {
  printf '%s\n' "manta: $*" >&2
  exit 1
}

# usage SCRIPT: prints the comment block at the top of a script, which is its manual.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$1"; }

# CI runners and containers may give no HOME, or one that cannot be written to.
if [[ -z "${HOME:-}" ]]; then
  HOME="$(getent passwd "$(id -u)" | cut -d: -f6 || true)"
fi
if [[ -z "$HOME" || ! -d "$HOME" || ! -w "$HOME" ]]; then
  HOME="${TMPDIR:-/var/tmp}/manta-home-$(id -u)"
  mkdir -p -m 0700 "$HOME"
  [[ -O "$HOME" ]] || fail "$HOME belongs to somebody else. Set HOME or MANTA_DEPS to a folder of yours."
fi
export HOME

MANTA_DEPS="$(realpath -ms -- "${MANTA_DEPS:-$HOME/.cache/manta}")"
export MANTA_DEPS

# Two clones of one commit share compiled files: paths below the clone are hashed relative to it, and the
# language of messages (LANG, by default a part of ccache's hash) is left out.
export CCACHE_BASEDIR="$manta_root" CCACHE_NOHASHDIR=1
export CCACHE_SLOPPINESS="${CCACHE_SLOPPINESS:-pch_defines,time_macros,locale}"

# A file that includes LibTorch takes 1.5 GB to compile, so memory bounds the jobs as well as cores do.
default_jobs() {
  local cores memory_kb by_memory
  cores="$(nproc)"
  memory_kb="$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)"
  by_memory=$((memory_kb / 1800000))
  ((by_memory < 1)) && by_memory=1
  echo $((cores < by_memory ? cores : by_memory))
}
jobs="${MANTA_JOBS:-$(default_jobs)}"

# configure_and_build [TARGET…]: the release preset, all targets or those named.
configure_and_build() {
  cd "$manta_root"
  # The cached place of LibTorch is looked up anew: MANTA_DEPS may name another folder than last time.
  cmake --preset release -UMANTA_TORCH_ROOT -UMANTA_SITE_PACKAGES "-DMANTA_DEPS=$MANTA_DEPS" </dev/null
  cmake --build "$build_dir" --parallel "$jobs" ${1:+--target "$@"} </dev/null
}
