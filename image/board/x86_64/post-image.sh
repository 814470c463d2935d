#!/usr/bin/env bash
# Buildroot's post-image hook: makes the disk image from what is in BINARIES_DIR, whoever put it there:
# bzImage, rootfs.cpio.zst, boot.img and grub.img (GRUB for BIOS), efi-part/ (boot loaders for UEFI).
set -euo pipefail

: "${BINARIES_DIR:?}" "${BUILD_DIR:?}" "${BR2_EXTERNAL_BLACKBOX_PATH:?}" "${SOURCE_DATE_EPOCH:?}"
# FAT keeps local time.
export TZ=UTC

BOARD=$BR2_EXTERNAL_BLACKBOX_PATH/board/x86_64
WORK=$BUILD_DIR/disk
IMAGE=blackbox-x86_64.img
UPDATE=blackbox-x86_64.update
UPDATE_KEY=${BLACKBOX_UPDATE_KEY:-$BR2_EXTERNAL_BLACKBOX_PATH/../target/keys/update.key}

# Two slots, each with kernel and initramfs, and an update on its way.
SYSTEM_BYTES=$((256 << 20))
# Offset of GRUB's core image in sectors, as in genimage.cfg.
CORE_SECTOR=2048

die() {
  printf 'post-image: %s\n' "$*" >&2
  exit 1
}

# A number as 8 bytes, least significant first, in hexadecimal.
le64() {
  local bytes='' i
  for ((i = 0; i < 8; i++)); do
    bytes+=$(printf '%02x' $(($1 >> (8 * i) & 255)))
  done
  printf '%s' "$bytes"
}

# Replaces the number at an offset of a file: patch64 FILE OFFSET OLD NEW. Fails if OLD is not what is there.
patch64() {
  local file=$1 offset=$2 found
  found=$(od -An -tx1 -v -j "$offset" -N 8 "$file" | tr -d ' \n')
  [[ $found == "$(le64 "$3")" ]] || die "$file: unexpected bytes $found at $offset; is this GRUB 2?"
  printf '%b' "$(le64 "$4" | sed 's/../\\x&/g')" |
    dd of="$file" bs=1 seek="$offset" conv=notrunc status=none
}

# GRUB for BIOS: the first sector loads the core image's first sector, and that the rest; both must know where it is.
# (grub-install would do this, but wants a block device.) Both files assume sector 1 as they come.
make_bios_boot() {
  cp "$BINARIES_DIR/boot.img" "$WORK/input/mbr.img"
  cp "$BINARIES_DIR/grub.img" "$WORK/input/core.img"
  patch64 "$WORK/input/mbr.img" $((0x5c)) 1 "$CORE_SECTOR"
  patch64 "$WORK/input/core.img" $((0x1f4)) 2 $((CORE_SECTOR + 1))
  # What follows is the partition table.
  truncate -s 440 "$WORK/input/mbr.img"
}

# A GRUB environment block, of 1024 bytes, as it is overwritten in place: environment_block FILE LINE...
environment_block() {
  local file=$1 text
  shift
  text=$(printf '%s\n' "# GRUB Environment Block" "$@" x)
  text=${text%x}
  { printf '%s' "$text" && head -c $((1024 - ${#text})) /dev/zero | tr '\0' '#'; } >"$file"
}

# The content of the FAT partition as a folder.
collect_system_partition() {
  local tree=$1 text
  cp -r "$BOARD/system-partition" "$tree"
  cp -r "$BINARIES_DIR/efi-part/." "$tree/"
  mkdir -p "$tree/slots/a" "$tree/slots/b" "$tree/boot"
  cp "$BINARIES_DIR/bzImage" "$tree/slots/a/vmlinuz"
  cp "$BINARIES_DIR/rootfs.cpio.zst" "$tree/slots/a/initrd.img"
  environment_block "$tree/boot/state.env" good=a
  environment_block "$tree/boot/tried.env"
  # People open these two on a PC, and old Windows editors know only their own line ends.
  for text in README.txt blackbox.toml; do
    sed -i 's/$/\r/' "$tree/$text"
  done
  find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

# The FAT partition; files go in one by one in a fixed order, so that equal input gives equal bytes.
make_system_partition() {
  local tree=$WORK/system-partition fat=$WORK/input/system.vfat path used
  collect_system_partition "$tree"
  used=$(du -sB1 --apparent-size "$tree/slots/a" | cut -f 1)
  ((used * 3 < SYSTEM_BYTES)) || die "kernel and initramfs ($used bytes) do not fit twice beside an update"
  truncate -s "$SYSTEM_BYTES" "$fat"
  # FAT32: firmware need not read anything else. 2 KiB clusters are what 256 MiB need.
  mkfs.vfat --invariant -F 32 -s 4 -i B1ACB0C5 -n BLACKBOX "$fat" >/dev/null
  (
    cd "$tree"
    export LC_ALL=C
    find . -mindepth 1 -type d -printf '%P\n' | sort | while read -r path; do
      mmd -i "$fat" "::$path"
    done
    find . -type f -printf '%P\n' | sort | while read -r path; do
      mcopy -m -i "$fat" "$path" "::$path"
    done
  )
}

# The same system as an update for boxes that have an older one.
make_update() {
  local version
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$BR2_EXTERNAL_BLACKBOX_PATH/../Cargo.toml" | head -n 1)
  "$BR2_EXTERNAL_BLACKBOX_PATH/make-update" "$BINARIES_DIR/bzImage" "$BINARIES_DIR/rootfs.cpio.zst" \
    "$version" "$SOURCE_DATE_EPOCH" "$UPDATE_KEY" "$BINARIES_DIR/$UPDATE"
}

# The disk image, its block map, and its compressed form.
make_disk() {
  genimage --config "$BOARD/genimage.cfg" --rootpath "$WORK/empty" --tmppath "$WORK/tmp" \
    --inputpath "$WORK/input" --outputpath "$BINARIES_DIR" >"$WORK/genimage.log" 2>&1 ||
    die "genimage: $(cat "$WORK/genimage.log")"
  # What was never written is a hole, and of no meaning. Zeros that were written are none: tables of FAT must overwrite what a
  # disk held before, so holes are not dug here.
  bmaptool -q create -o "$BINARIES_DIR/$IMAGE.bmap" "$BINARIES_DIR/$IMAGE"
  zstd -q -f -9 -T0 "$BINARIES_DIR/$IMAGE" -o "$BINARIES_DIR/$IMAGE.zst"
}

rm -rf "$WORK"
mkdir -p "$WORK"/{input,empty}
make_bios_boot
make_system_partition
make_update
make_disk
"$BR2_EXTERNAL_BLACKBOX_PATH/sign-release" "$BINARIES_DIR" "$UPDATE_KEY"
