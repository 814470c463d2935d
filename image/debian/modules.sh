# Kernel modules: which ones, with what they depend on, compressed one by one. Sourced after packages.sh.
# Reads PACKAGES_DIR; makes $PACKAGES_DIR/modules/usr/lib/modules/VERSION.
# shellcheck shell=bash

MODULES=${PACKAGES_DIR:?}/modules

# Prints the patterns of a list file with their braces expanded.
module_patterns() {
  local line
  local -a patterns
  set -f
  while read -r line; do
    # The list is ours, and braces expand nowhere else.
    eval "patterns=($line)"
    printf '%s\n' "${patterns[@]}"
  done < <(list_words "$1")
  set +f
}

# Prints the modules (paths relative to the version's folder, with .ko...) that a list file chooses.
matching_modules() (
  shopt -s globstar nullglob
  list=$(realpath "$1")
  cd "$2/kernel" || exit
  declare -A chosen=()
  while read -r pattern; do
    glob=${pattern#!}
    [[ $glob == */\*\* ]] && glob+='/*'
    # shellcheck disable=SC2206 # to be expanded
    paths=($glob.ko*)
    ((${#paths[@]})) || note "no module matches $pattern"
    for path in "${paths[@]}"; do
      if [[ $pattern == !* ]]; then unset "chosen[$path]"; else chosen[$path]=1; fi
    done
  done < <(module_patterns "$list")
  printf 'kernel/%s\n' "${!chosen[@]}" | sort
)

# Adds to the modules on standard input what they need, by modules.dep and modules.softdep of a version's folder.
with_dependencies() {
  awk -v folder="$1" '
    function name(path) { sub(/.*\//, "", path); sub(/\.ko.*/, "", path); gsub(/-/, "_", path); return path }
    function add(path,   parts, n, i) {
      if (path == "" || path in done) return
      done[path] = 1
      n = split(needs[path], parts, " ")
      for (i = 1; i <= n; i++) add(parts[i])
      n = split(soft[name(path)], parts, " ")
      for (i = 1; i <= n; i++) add(path_of[parts[i]])
    }
    BEGIN {
      while ((getline line < (folder "/modules.dep")) > 0) {
        colon = index(line, ":")
        path = substr(line, 1, colon - 1)
        needs[path] = substr(line, colon + 1)
        path_of[name(path)] = path
      }
      while ((getline line < (folder "/modules.alias")) > 0) {
        split(line, word, " ")
        alias = word[2]; gsub(/-/, "_", alias)
        if (!(alias in path_of)) path_of[alias] = path_of[word[3]]
      }
      while ((getline line < (folder "/modules.softdep")) > 0) {
        n = split(line, word, " ")
        owner = word[2]; gsub(/-/, "_", owner)
        for (i = 3; i <= n; i++) if (word[i] !~ /:$/) { gsub(/-/, "_", word[i]); soft[owner] = soft[owner] " " word[i] }
      }
    }
    { add($1) }
    END { for (path in done) print path }' | sort
}

# Copies the modules named on standard input from one version's folder to another; each ends up as .ko.zst.
# The unpacked initramfs lives in memory, where compressed drivers are a third of their size.
copy_compressed() {
  local from=$1 to=$2 path
  while read -r path; do
    mkdir -p "$to/${path%/*}"
    cp "$from/$path" "$to/$path"
  done
  find "$to" -name '*.ko.xz' -exec xz -d {} +
  find "$to" -name '*.ko.gz' -exec gzip -d {} +
  find "$to" -name '*.ko' -print0 | xargs -0 -r -n 16 -P "$(nproc)" zstd -19 -q --rm
}

# Makes $MODULES from the kernel package, if package or list changed.
make_modules() {
  local list=$1 version=$2
  local from=$DEBIAN/usr/lib/modules/$version to=$MODULES/usr/lib/modules/$version
  local stamp=$PACKAGES_DIR/modules.stamp
  { cat "$list" "$PACKAGES_DIR/packages.txt" "${BASH_SOURCE[0]}"; } | sha256sum >"$stamp.new"
  if cmp -s "$stamp.new" "$stamp"; then
    return
  fi
  rm -rf "$MODULES" "$stamp"
  run_packaged depmod usr/bin/kmod -b "$DEBIAN" "$version"
  mkdir -p "$to"
  ln -s usr/lib "$MODULES/lib"
  cp "$from"/modules.{builtin,builtin.modinfo,order} "$to/"
  matching_modules "$list" "$from" | with_dependencies "$from" >"$PACKAGES_DIR/modules.txt"
  note "compressing $(wc -l <"$PACKAGES_DIR/modules.txt") kernel modules"
  copy_compressed "$from" "$to" <"$PACKAGES_DIR/modules.txt"
  run_packaged depmod usr/bin/kmod -b "$MODULES" "$version"
  # modprobe reads the binary indexes; of the text files only modules.softdep.
  rm "$to"/modules.{alias,dep,devname,order,symbols}
  mv "$stamp.new" "$stamp"
}
