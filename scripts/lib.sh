# What the commands in this folder share: messages, and setting up a Debian or Ubuntu machine. Sourced.
# shellcheck shell=bash

ROOT=$(dirname "$(dirname "$(realpath "${BASH_SOURCE[0]}")")")

# Oldest Rust that compiles the workspace, as in Cargo.toml.
RUST_VERSION=1.95

note() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
  note "$*"
  exit 1
}

# The value of an option, given what is left of the command line.
option_value() {
  (($# > 1)) || die "$1 wants a value"
  printf '%s\n' "$2"
}

as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "this needs root, and there is no sudo: $*"
  fi
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@" >/dev/null
}

# Installs what is missing of the Debian packages named.
need_packages() {
  local package
  local -a missing=()
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]} == 0)) && return
  command -v apt-get >/dev/null || die "this is not Debian or Ubuntu; please install by hand: ${missing[*]}"
  note "installing ${missing[*]}"
  apt_update
  apt_install "${missing[@]}"
}

# Fetches the package lists, at most once in a run of a command and the commands that it calls.
apt_update() {
  [[ -z ${BLACKBOX_APT_UPDATED:-} ]] || return 0
  as_root apt-get update -qq >&2
  export BLACKBOX_APT_UPDATED=1
}

# Fetches the package lists if there are none, or none of the last week.
apt_update_if_old() {
  [[ -n $(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -7 -print -quit 2>/dev/null) ]] || apt_update
}

# Whether the first version is at least the second.
version_at_least() {
  [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]
}

# A cargo whose rustc is new enough; else Debian's, which is kept up to date for its browsers.
need_rust() {
  local version
  version=$(rustc --version 2>/dev/null | cut -d ' ' -f 2) || version=
  if [[ -n $version ]] && version_at_least "$version" "$RUST_VERSION" && command -v cargo >/dev/null; then
    return
  fi
  apt_update
  if apt-cache show rustc-web >/dev/null 2>&1; then
    need_packages rustc-web cargo-web
    hash -r
    version=$(rustc --version 2>/dev/null | cut -d ' ' -f 2) || version=
  fi
  version_at_least "${version:-0}" "$RUST_VERSION" ||
    die "Rust $RUST_VERSION or newer is needed (found: ${version:-none}) and apt has none; rustup can install it"
}

# What compiling the workspace needs.
need_build_tools() {
  need_packages ca-certificates git gcc libc6-dev
  need_rust
}

# What making the image from packages needs besides.
need_image_tools() {
  apt_update_if_old
  need_packages genimage mtools dosfstools zstd xz-utils cpio minisign bmap-tools jq
}

# QEMU with UEFI firmware and what works its monitor.
need_qemu() {
  need_packages ovmf socat
  command -v qemu-system-x86_64 >/dev/null && command -v qemu-img >/dev/null && return
  need_packages qemu-system-x86 qemu-utils && return
  # Where the configured sources hold versions of the two that do not fit each other, take both from the release itself.
  local release
  release=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
  apt_install --allow-downgrades "qemu-system-x86/$release" "qemu-utils/$release"
}

# A program from crates.io, put into a folder: need_crate FOLDER NAME [OPTION of cargo install...]
need_crate() {
  [[ -x $1/bin/${2%@*} ]] || cargo install --quiet --locked --root "$@"
}

# Everything a development machine needs, tests included.
need_everything() {
  need_build_tools
  need_image_tools
  need_qemu
}

# Prints QEMU's -accel argument. A KVM that is offered may still not run guests (nested virtualisation), so it is tried:
# a boot sector that says 0x10 to the debug exit port makes QEMU end with status 0x21.
accelerator() {
  local probe status=0
  if [[ -w /dev/kvm ]]; then
    probe=$(mktemp)
    printf '\xb0\x10\xe6\xf4\xf4' >"$probe"
    truncate -s 510 "$probe"
    printf '\x55\xaa' >>"$probe"
    timeout 4 qemu-system-x86_64 -accel kvm -m 32 -display none -nodefaults -device isa-debug-exit \
      -drive "file=$probe,format=raw,if=floppy,read-only=on" >/dev/null 2>&1 || status=$?
    rm -f "$probe"
  fi
  if ((status == 0x21)); then printf 'kvm'; else printf 'tcg,thread=multi'; fi
}

# Runs tests of tests/ where each can have a network of its own: root may make one, others may in a user namespace.
system_tests() {
  local -a wrapper=()
  cargo test --locked -p system-tests --no-run
  if ! unshare --net true 2>/dev/null; then
    if unshare --user --map-root-user --net true 2>/dev/null; then
      # shellcheck disable=SC2016 # the inner shell expands it
      wrapper=(unshare --user --map-root-user --net sh -c 'ip link set lo up && exec "$@"' sh)
    else
      leave_out "tests with a network of their own: this machine allows no network namespaces"
    fi
  fi
  ${wrapper[@]+"${wrapper[@]}"} cargo test --locked --offline -p system-tests -- "$@"
}

# Notes what a run of tests leaves out, for the end of it.
leave_out() {
  printf '%s\n' "$*" >>"${BLACKBOX_LEFT_OUT:-/dev/stderr}"
}

# The VM that scripts/boot runs: its files, and whether it runs.
VM_DIR=${BLACKBOX_VM_DIR:-$ROOT/target/vm}

vm_running() {
  # Another process may have that number by now.
  [[ -f $VM_DIR/pid && $(cat "/proc/$(<"$VM_DIR/pid")/comm" 2>/dev/null) == qemu-* ]]
}

# Sends one command to QEMU's monitor (QMP) and prints the answer: vm_monitor COMMAND [ARGUMENTS as JSON]
vm_monitor() {
  vm_running || die "no box is running; start one with: scripts/boot"
  printf '{"execute":"qmp_capabilities"}\n{"execute":"%s","arguments":%s}\n' "$1" "${2:-"{}"}" |
    socat -t 10 - "UNIX-CONNECT:$VM_DIR/monitor.sock" |
    awk '/^{"(return|error)"/ && ++answers == 2 { print; exit }'
}

# A string as JSON writes it.
json_string() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}
