#!/usr/bin/env bash
# Buildroot's post-build hook: finishes the root file system in TARGET_DIR, whoever filled it.
set -euo pipefail

: "${TARGET_DIR:?}" "${BR2_EXTERNAL_BLACKBOX_PATH:?}" "${SOURCE_DATE_EPOCH:?}"

die() {
  printf 'post-build: %s\n' "$*" >&2
  exit 1
}

# Everything the kernel and init expect to find but no package brings.
add_skeleton() {
  # Buildroot puts a script of its own here when there is nothing else; it would need a shell.
  ln -sfn usr/sbin/blackbox-init "$TARGET_DIR/init"
  mkdir -p "$TARGET_DIR"/{proc,sys,dev,run,tmp,data,media}
}

# /etc/os-release, with the version of the workspace and the time stamp of the image: by both init knows what is newer.
write_os_release() {
  local version
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$BR2_EXTERNAL_BLACKBOX_PATH/../Cargo.toml" | head -n 1)
  [[ -n $version ]] || die "Cargo.toml names no version"
  rm -f "$TARGET_DIR/etc/os-release" "$TARGET_DIR/usr/lib/os-release"
  cat >"$TARGET_DIR/etc/os-release" <<END
NAME="P2P Black Box"
ID=blackbox
VERSION_ID=$version
BUILD_ID=$SOURCE_DATE_EPOCH
PRETTY_NAME="P2P Black Box $version"
END
}

# The public key by which the box knows its updates. Who names no secret key gets one for development, made once.
add_update_key() {
  local key=${BLACKBOX_UPDATE_KEY:-} keys=$BR2_EXTERNAL_BLACKBOX_PATH/../target/keys
  if [[ -z $key ]]; then
    key=$keys/update.key
    mkdir -p "$keys"
    [[ -f $key ]] || minisign -G -W -s "$key" -p "$keys/update.pub" >/dev/null
  fi
  mkdir -p "$TARGET_DIR/etc/blackbox"
  rm -f "$TARGET_DIR/etc/blackbox/update.pub"
  minisign -R -s "$key" -p "$TARGET_DIR/etc/blackbox/update.pub" >/dev/null
}

# Programs in the image, as paths relative to its root. Shared libraries are no programs.
executables() {
  find "$TARGET_DIR" -type f -perm /111 ! -name '*.so' ! -name '*.so.*' -printf '%P\n' | sort
}

# Nothing that runs is in the image without a reason, and nothing runs with more rights than who started it. (Capabilities of
# files need no look: the format of the archive that the image is made of has no place for them.)
check_executables() {
  local listed unlisted privileged
  listed=$(sed -e 's/#.*//' "$BR2_EXTERNAL_BLACKBOX_PATH/executables.list" | awk 'NF { print $1 }' | sort)
  unlisted=$(comm -13 <(printf '%s\n' "$listed") <(executables))
  [[ -z $unlisted ]] || die "not in executables.list: ${unlisted//$'\n'/ }"
  privileged=$(find "$TARGET_DIR" -perm /6000 -printf '%P ')
  [[ -z $privileged ]] || die "setuid or setgid: $privileged"
}

# Nobody but root changes what is in the image. Links have no rights of their own.
check_writable() {
  local writable
  writable=$(find "$TARGET_DIR" ! -type l -perm /0022 -printf '%P ')
  [[ -z $writable ]] || die "can be written by others than root: $writable"
}

add_skeleton
write_os_release
add_update_key
check_executables
check_writable
