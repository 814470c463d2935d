# Debian packages: which ones, fetching, unpacking. Sourced.
# Reads BUILD_DIR; makes $BUILD_DIR/debs, $BUILD_DIR/debian (all packages unpacked) and $BUILD_DIR/packages.txt.
# shellcheck shell=bash

DEBS=${BUILD_DIR:?}/debs
DEBIAN=$BUILD_DIR/debian
LIBRARIES=$DEBIAN/usr/lib/x86_64-linux-gnu

# Dependencies that are followed: libraries of the tools, and from the kernel's meta package to the real ones.
FOLLOWED='lib[^ ]*|zlib1g|linux-(image|modules|modules-extra)-[0-9][^ ]*'

# Words of a list file: the first word of each line, without comments.
list_words() {
  sed -e 's/#.*//' "$1" | awk 'NF { print $1 }'
}

# Prints the first of the names in "a|b" that apt could install.
available() {
  local name
  for name in ${1//|/ }; do
    if [[ -n $(apt-cache show --no-all-versions "$name" 2>/dev/null) ]]; then
      printf '%s\n' "$name"
      return
    fi
  done
  die "the configured apt sources have no package $1; run: apt-get update"
}

# Prints the names given and everything they depend on that is worth following.
package_closure() {
  local -A seen=()
  local -a next=("$@")
  local name
  while ((${#next[@]})); do
    for name in "${next[@]}"; do
      seen[$name]=1
    done
    mapfile -t next < <(apt-cache depends --important "${next[@]}" |
      sed -nE "s/^ *\|?(Pre)?Depends: ($FOLLOWED)\$/\2/p" | sort -u |
      while read -r name; do [[ -v "seen[$name]" ]] || printf '%s\n' "$name"; done)
  done
  printf '%s\n' "${!seen[@]}" | sort
}

# Fetches what is missing into $DEBS; prints the file names of all packages.
fetch_packages() {
  local -a names=() missing=()
  local word name file size
  for word in $(list_words "${1:?}"); do
    name=$(available "$word")
    names+=("$name")
  done
  mapfile -t names < <(package_closure "${names[@]}")
  mkdir -p "$DEBS"
  apt-get download --print-uris "${names[@]}" >"$BUILD_DIR/uris"
  while read -r _ file size _; do
    [[ -f $DEBS/$file && $(stat -c %s "$DEBS/$file") == "$size" ]] || missing+=("${file%%_*}")
    printf '%s\n' "$file"
  done <"$BUILD_DIR/uris"
  ((${#missing[@]} == 0)) && return
  note "fetching ${#missing[@]} packages"
  # apt's own checksums guard the download. As root it would mind that its sandbox user can't write here.
  (cd "$DEBS" && apt-get download -qq -o APT::Sandbox::User="$(id -un)" "${missing[@]}" >&2)
}

# Unpacks the packages named on standard input into $DEBIAN, if they are not the ones that are there.
unpack_packages() {
  local file
  sort >"$BUILD_DIR/packages.new"
  if cmp -s "$BUILD_DIR/packages.new" "$BUILD_DIR/packages.txt"; then
    return
  fi
  note "unpacking $(wc -l <"$BUILD_DIR/packages.new") packages"
  rm -rf "$DEBIAN" "$BUILD_DIR/packages.txt"
  mkdir -p "$DEBIAN"/usr/{bin,sbin,lib,lib64}
  for file in bin sbin lib lib64; do
    ln -s "usr/$file" "$DEBIAN/$file"
  done
  while read -r file; do
    # Not dpkg-deb -x: it would replace the links above with folders.
    dpkg-deb --fsys-tarfile "$DEBS/$file" | tar -x --keep-directory-symlink --no-same-owner -C "$DEBIAN"
  done <"$BUILD_DIR/packages.new"
  mv "$BUILD_DIR/packages.new" "$BUILD_DIR/packages.txt"
}

# Runs a program of the unpacked packages with its own libraries: run_packaged NAME PROGRAM ARGUMENT...
# NAME is what the program finds in argv[0].
run_packaged() {
  local name=$1 program=$2
  shift 2
  "$LIBRARIES/ld-linux-x86-64.so.2" --library-path "$LIBRARIES" --argv0 "$name" "$DEBIAN/$program" "$@"
}
