#!/usr/bin/env bash
# The base system from Debian's (or Ubuntu's) packages, as Buildroot would hand it over:
# TARGET_DIR gets modules and tools, BINARIES_DIR gets bzImage, boot.img, grub.img and efi-part/.
set -euo pipefail

HERE=$(dirname "$(realpath "$0")")
: "${BR2_EXTERNAL_BLACKBOX_PATH:?}" "${PACKAGES_DIR:?}" "${TARGET_DIR:?}" "${BINARIES_DIR:?}"

note() { printf 'debian: %s\n' "$*" >&2; }
die() {
  note "$*"
  exit 1
}

# shellcheck source=image/debian/packages.sh
. "$HERE/packages.sh"
# shellcheck source=image/debian/modules.sh
. "$HERE/modules.sh"

BOARD=$BR2_EXTERNAL_BLACKBOX_PATH/board/x86_64

# Modules of GRUB's BIOS core image; it carries all it needs, since there is no folder to load more from.
GRUB_MODULES=(biosdisk part_gpt fat search configfile normal linux echo test serial terminal loadenv minicmd reboot sleep)

# Prints the file of the packages that a path names; absolute links mean the root of the packages, not of this machine.
packaged_file() {
  local path=$DEBIAN/$1 link
  while [[ -L $path ]]; do
    link=$(readlink "$path")
    if [[ $link == /* ]]; then path=$DEBIAN$link; else path=$(dirname "$path")/$link; fi
  done
  [[ -f $path ]] || die "no package has $1"
  printf '%s\n' "$path"
}

# Copies a shared library into the image by its name.
take_library() {
  install -D -m 0644 "$LIBRARIES/$1" "$TARGET_DIR/usr/lib/x86_64-linux-gnu/$1"
}

# Copies the listed tools and the libraries they are linked to.
take_tools() {
  local tool file library
  for tool in $(list_words "$BR2_EXTERNAL_BLACKBOX_PATH/executables.list"); do
    # Ours are built from source.
    [[ $tool == */blackbox* ]] && continue
    # A link becomes a file: programs with several names do what the name they are started under says.
    file=$(packaged_file "$tool")
    install -D -m 0755 "$file" "$TARGET_DIR/$tool"
    while read -r library; do
      take_library "$library"
    done < <("$LIBRARIES/ld-linux-x86-64.so.2" --library-path "$LIBRARIES" --list "$file" |
      awk '$2 == "=>" && $1 !~ "/" { print $1 }')
  done
  install -m 0755 "$LIBRARIES/ld-linux-x86-64.so.2" "$TARGET_DIR/usr/lib/x86_64-linux-gnu/"
  ln -sf ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$TARGET_DIR/usr/lib64/ld-linux-x86-64.so.2"
  # Newer versions of kmod load this only when they meet a compressed module.
  take_library libzstd.so.1
}

# The image's modprobe must be able to read the image's modules with the image's libraries alone.
check_modprobe() {
  local version=$1 lib=$TARGET_DIR/usr/lib/x86_64-linux-gnu
  "$lib/ld-linux-x86-64.so.2" --library-path "$lib" --argv0 modinfo "$TARGET_DIR/usr/sbin/modprobe" \
    -b "$TARGET_DIR" -k "$version" -F license ext4 >/dev/null || die "modprobe can't read the modules"
}

# Boot loaders: BIOS as the two files of Buildroot's grub2 package, UEFI as the distribution's signed chain.
take_boot_loaders() {
  local grub=$DEBIAN/usr/lib/grub efi=$BINARIES_DIR/efi-part/EFI/BOOT shim=$DEBIAN/usr/lib/shim
  cp "$grub/i386-pc/boot.img" "$BINARIES_DIR/boot.img"
  run_packaged grub-mkimage usr/bin/grub-mkimage -O i386-pc -d "$grub/i386-pc" -p '(,gpt2)/grub' \
    -c "$BOARD/grub-builtin.cfg" -o "$BINARIES_DIR/grub.img" "${GRUB_MODULES[@]}"
  rm -rf "$BINARIES_DIR/efi-part"
  mkdir -p "$efi"
  # Ubuntu has two generations of shim and chooses by a link that only an installed package has.
  if [[ -f $shim/shimx64.efi.signed ]]; then
    cp "$shim/shimx64.efi.signed" "$efi/BOOTX64.EFI"
  else
    cp "$shim/shimx64.efi.signed.latest" "$efi/BOOTX64.EFI"
  fi
  if [[ -f $shim/mmx64.efi.signed ]]; then
    cp "$shim/mmx64.efi.signed" "$efi/mmx64.efi"
  else
    cp "$shim/mmx64.efi" "$efi/mmx64.efi"
  fi
  cp "$grub/x86_64-efi-signed/grubx64.efi.signed" "$efi/grubx64.efi"
}

main() {
  local version
  mkdir -p "$PACKAGES_DIR" "$TARGET_DIR"/usr/{bin,sbin,lib,lib64} "$BINARIES_DIR"
  fetch_packages "$HERE/packages.list" | unpack_packages
  version=$(basename "$DEBIAN"/boot/vmlinuz-*)
  version=${version#vmlinuz-}
  cp "$DEBIAN/boot/vmlinuz-$version" "$BINARIES_DIR/bzImage"
  make_modules "$HERE/modules.list" "$version"

  local folder
  for folder in bin sbin lib lib64; do
    ln -sfn "usr/$folder" "$TARGET_DIR/$folder"
  done
  cp -a "$MODULES/usr" "$TARGET_DIR/"
  take_tools
  check_modprobe "$version"
  take_boot_loaders
  list_packages >"$BINARIES_DIR/packages.tsv"
  print_licences >"$BINARIES_DIR/packages-licences.txt"
}

main
