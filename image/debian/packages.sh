# Debian packages: which ones, fetching, unpacking. Sourced.
# Reads PACKAGES_DIR; makes there debs, debian (all packages unpacked) and packages.txt.
# shellcheck shell=bash

DEBS=${PACKAGES_DIR:?}/debs
DEBIAN=$PACKAGES_DIR/debian
LIBRARIES=$DEBIAN/usr/lib/x86_64-linux-gnu

# Dependencies that are followed: libraries of the tools, the licence of GCC's, and from the kernel's meta package to the real ones.
FOLLOWED='lib[^ ]*|zlib1g|gcc-[0-9]+-base|linux-(image|modules|modules-extra)-[0-9][^ ]*'

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

# Fetches what is missing into $DEBS; prints the file names of all packages. With SAME_PACKAGES those of the last time.
fetch_packages() {
  local -a names=() missing=()
  local word name file size
  if [[ -n ${SAME_PACKAGES:-} && -f $PACKAGES_DIR/packages.txt ]]; then
    cat "$PACKAGES_DIR/packages.txt"
    return
  fi
  for word in $(list_words "${1:?}"); do
    name=$(available "$word")
    names+=("$name")
  done
  mapfile -t names < <(package_closure "${names[@]}")
  mkdir -p "$DEBS"
  apt-get download --print-uris "${names[@]}" >"$PACKAGES_DIR/uris"
  while read -r _ file size _; do
    [[ -f $DEBS/$file && $(stat -c %s "$DEBS/$file") == "$size" ]] || missing+=("${file%%_*}")
    printf '%s\n' "$file"
  done <"$PACKAGES_DIR/uris"
  ((${#missing[@]} == 0)) && return
  note "fetching ${#missing[@]} packages"
  # apt's own checksums guard the download. As root it would mind that its sandbox user can't write here.
  (cd "$DEBS" && apt-get download -qq -o APT::Sandbox::User="$(id -un)" "${missing[@]}" >&2)
}

# Unpacks the packages named on standard input into $DEBIAN, if they are not the ones that are there.
unpack_packages() {
  local file
  sort >"$PACKAGES_DIR/packages.new"
  if cmp -s "$PACKAGES_DIR/packages.new" "$PACKAGES_DIR/packages.txt"; then
    return
  fi
  note "unpacking $(wc -l <"$PACKAGES_DIR/packages.new") packages"
  rm -rf "$DEBIAN" "$PACKAGES_DIR/packages.txt"
  mkdir -p "$DEBIAN"/usr/{bin,sbin,lib,lib64}
  for file in bin sbin lib lib64; do
    ln -s "usr/$file" "$DEBIAN/$file"
  done
  while read -r file; do
    # Not dpkg-deb -x: it would replace the links above with folders.
    dpkg-deb --fsys-tarfile "$DEBS/$file" | tar -x --keep-directory-symlink --no-same-owner -C "$DEBIAN"
  done <"$PACKAGES_DIR/packages.new"
  mv "$PACKAGES_DIR/packages.new" "$PACKAGES_DIR/packages.txt"
}

# Runs a program of the unpacked packages with its own libraries: run_packaged NAME PROGRAM ARGUMENT...
# NAME is what the program finds in argv[0].
run_packaged() {
  local name=$1 program=$2
  shift 2
  "$LIBRARIES/ld-linux-x86-64.so.2" --library-path "$LIBRARIES" --argv0 "$name" "$DEBIAN/$program" "$@"
}

# Prints a table of the packages in packages.txt: what each is, under which licences it is, and where its source is.
list_packages() {
  local file name version source source_version licences
  printf 'package\tversion\tlicences\tsource\n'
  while read -r file; do
    # shellcheck disable=SC2016 # the names are dpkg's
    IFS=$'\t' read -r name version source source_version < <(dpkg-deb -W \
      --showformat='${Package}\t${Version}\t${source:Package}\t${source:Version}\n' "$DEBS/$file")
    # The files that can be read by programs name each licence; the others are texts.
    licences=$(sed -nE '/^Format:/,$ s/^License: *([^ ].*)/\1/p' "$DEBIAN/usr/share/doc/$name/copyright" |
      LC_ALL=C sort -u | paste -sd ';' | sed 's/;/; /g')
    printf '%s\t%s\t%s\thttps://snapshot.debian.org/package/%s/%s/\n' "$name" "$version" \
      "${licences:-see packages-licences.txt}" "$source" "$source_version"
  done <"$PACKAGES_DIR/packages.txt"
}

# Prints what each of these packages says of its authors and licences.
print_licences() {
  local file name
  while read -r file; do
    name=$(dpkg-deb -f "$DEBS/$file" Package)
    printf '=== %s\n\n' "$name"
    cat "$DEBIAN/usr/share/doc/$name/copyright"
    printf '\n'
  done <"$PACKAGES_DIR/packages.txt"
}
