# shellcheck shell=bash
# What the scripts share: installing what is missing, and where things are. Sourced, never run.
#
# Nothing here asks a question; everything that changes the machine is said on stderr first.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# Sorted lists and figures look the same everywhere.
export LC_ALL=C

# say prints on stderr under the name of the script that runs: stdout is left to what the script is for.
say() {
  printf '%s: %s\n' "scripts/${0##*/}" "$*" >&2
}

# fail MESSAGE [HINT] ends the script with status 1, in the words the tools use.
fail() {
  say "error: $1"
  if [ $# -gt 1 ]; then say "hint: $2"; fi
  exit 1
}

# wait_for FILE PATTERN waits until a line of FILE matches, and prints the group in the first that does.
wait_for() {
  local i
  for ((i = 0; i < 300; i++)); do
    if grep -q -- "$2" "$1" 2>/dev/null; then
      sed -n "s/.*$2.*/\1/p" "$1" | head -n 1
      return
    fi
    sleep 0.1
  done
  cat "$1" >&2
  fail "no \"$2\" in $1 within 30 s"
}

have() {
  command -v "$1" >/dev/null 2>&1
}

# package_of prints the Debian package that brings a command.
package_of() {
  case "$1" in
    ffmpeg | ffprobe) echo ffmpeg ;;
    node) echo nodejs ;;
    mkfs.ext4) echo e2fsprogs ;;
    fsfreeze) echo util-linux ;;
    gcc) echo gcc libc6-dev ;; # go test -race links with cgo
    ip) echo iproute2 ;;
    systemd-nspawn) echo systemd-container ;;
    rotatelogs) echo apache2-utils ;;
    pkill) echo procps ;;
    qemu-aarch64 | qemu-arm) echo qemu-user ;;
    tinyproxy) echo tinyproxy-bin ;; # without the service that the package tinyproxy starts
    *) echo "$1" ;; # chromium, curl, jq, shellcheck, npm, git, socat, …
  esac
}

# as_root runs a command as root. sudo must not ask for a password: nobody may be there to type it.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo -n "$@"
  fi
}

can_be_root() {
  [ "$(id -u)" -eq 0 ] || { have sudo && sudo -n true 2>/dev/null; }
}

# need_commands COMMAND… installs the Debian packages of those commands that are missing, or says what to install and
# ends the script.
need_commands() {
  local command missing=() packages=()
  for command in "$@"; do
    have "$command" && continue
    missing+=("$command")
    local names
    read -ra names <<<"$(package_of "$command")"
    packages+=("${names[@]}")
  done
  if [ ${#missing[@]} -eq 0 ]; then return 0; fi

  say "not on this machine: ${missing[*]}"
  need_packages "${packages[@]}"
  hash -r
  for command in "${missing[@]}"; do
    have "$command" || fail "$command is still missing after its package was installed" "put $command on the PATH"
  done
}

# need_packages PACKAGE… installs those Debian packages that are not there yet.
need_packages() {
  local package missing=()
  for package in "$@"; do
    if have dpkg-query && [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ]; then
      continue
    fi
    case " ${missing[*]} " in
      *" $package "*) ;;
      *) missing+=("$package") ;;
    esac
  done
  if [ ${#missing[@]} -eq 0 ]; then return 0; fi

  have apt-get || fail "this machine has no apt-get" "install these by hand: ${missing[*]}"
  can_be_root || fail "not root, and sudo would ask for a password" \
    "run once: sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"

  refresh_lists
  say "installing: ${missing[*]}"
  apt_get install -y -qq --no-install-recommends "${missing[@]}" && return 0
  say "that failed: trying once more with fresh package lists"
  apt_update
  apt_get install -y -qq --no-install-recommends "${missing[@]}" ||
    fail "apt-get could not install: ${missing[*]}" "install them by hand, then run this again"
}

# refresh_lists fetches the package lists when they are missing or older than a day: they name packages that may be gone
# from the mirror.
refresh_lists() {
  if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mtime -1 -print -quit 2>/dev/null)" ]; then
    apt_update
  fi
}

apt_update() {
  say "fetching the package lists (apt-get update)"
  apt_get update -qq || say "apt-get update failed; going on with the lists that are there"
}

# apt_get keeps apt off stdout and stdin, and waits for another apt that holds the lock. What it says is shown if it
# fails.
apt_get() {
  local said status=0
  said="$(mktemp)"
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@" </dev/null >"$said" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then cat "$said" >&2; fi
  rm -f "$said"
  return "$status"
}

# need_unpacked PROGRAM PACKAGE... unpacks Debian's packages of a server for the tests, below test/unpacked, if the
# machine does not have the program. They are not installed: that would start the server, now and whenever the machine
# starts.
need_unpacked() {
  local folder="$ROOT/test/unpacked" program=$1 package found=""
  shift
  found="$(find "$folder/usr/bin" "$folder/usr/sbin" -name "$program" -print -quit 2>/dev/null || true)"
  if have "$program" || [ -n "$found" ]; then return 0; fi
  if ! have apt-get || ! have dpkg-deb; then fail "this machine has no apt-get" "install $program by hand"; fi
  refresh_lists
  say "unpacking $program into test/unpacked"
  mkdir -p "$folder"
  for package in "$@"; do
    (cd "$folder" && apt_get -y -qq download "$package" && dpkg-deb -x "$package"_*.deb .) >&2 ||
      fail "could not unpack $package" "install $program by hand, then run this again"
  done
}

# need_go checks that the go command can build this module. Go is not installed for the user: which Go is on a machine
# is the choice of whoever develops there, and Debian's package is often older than go.mod asks for.
need_go() {
  local want is
  # A login without its profile (sudo, cron, CI) may lack the place that Go's own archive is unpacked to.
  if ! have go && [ -x /usr/local/go/bin/go ]; then PATH="$PATH:/usr/local/go/bin"; fi
  want="$(awk '$1 == "go" { print $2; exit }' "$ROOT/go.mod")"
  have go || fail "Go $want or newer is needed, and there is no go command" \
    "install it from the Go project's download page, or with: apt-get install golang-go (from 1.21 on, which \
Debian 12 has in bookworm-backports only, Go fetches the toolchain that go.mod asks for by itself)"

  # Outside the module, so that an old go tells its own version and does not try to switch yet.
  is="$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null)"
  is="${is#go}"
  if version_at_least "$is" "$want"; then return 0; fi

  if ! version_at_least "$is" 1.21; then
    fail "Go $want or newer is needed; this is ${is:-too old to say}" \
      "install a newer Go from the Go project's download page (from 1.21 on, Go fetches newer toolchains by itself)"
  fi
  if [ "$(go env GOTOOLCHAIN)" = local ]; then
    fail "Go $want or newer is needed; this is $is, and GOTOOLCHAIN=local forbids it to fetch a newer one" \
      "run: GOTOOLCHAIN=auto scripts/${0##*/}"
  fi
  say "Go $is is older than $want: it fetches the newer toolchain now"
  (cd "$ROOT" && go version >&2) ||
    fail "Go $is could not fetch Go $want" "install Go $want or newer from the Go project's download page"
}

# version_at_least IS WANT compares Go versions such as 1.25.3. What follows the figures (rc1, -devel) does not count.
version_at_least() {
  local is="${1%%[!0-9.]*}" want="${2%%[!0-9.]*}"
  [ -n "$is" ] && [ "$(printf '%s\n%s\n' "$want" "$is" | sort -V | head -n 1)" = "$want" ]
}

# need_node_modules FOLDER installs what the folder's package-lock.json says. What is there and newer than that is kept,
# so that a second run needs no network.
need_node_modules() {
  local folder="$ROOT/$1"
  need_commands node npm
  if [ "$folder/node_modules/.package-lock.json" -nt "$folder/package-lock.json" ]; then return 0; fi
  say "installing npm packages (npm ci in $1)"
  (cd "$folder" && npm ci --loglevel=error </dev/null >&2) ||
    fail "npm ci in $1 failed" "it needs the npm registry once"
}

# need_nats_server installs a NATS server for tests and benchmarks, below test/ where only they find it. It is not in
# go.mod: its dependencies would stand in that of everyone who imports lib/testserver.
need_nats_server() {
  local module=github.com/nats-io/nats-server/v2@v2.15.3
  if [ -x "$ROOT/test/nats/nats-server" ]; then return 0; fi
  say "installing: $module"
  GOBIN="$ROOT/test/nats" go install "$module" || say "no NATS server: the tests of vw-nats are skipped"
}

# need_players fetches the players that go build puts into vw-push: compressed, as browsers take them.
need_players() {
  local folder=lib/viewer/page name
  local players="$ROOT/$folder/static/assets/players" modules="$ROOT/$folder/node_modules"
  if [ "$players/mpegts.js.gz" -nt "$ROOT/$folder/package-lock.json" ]; then return 0; fi
  need_node_modules "$folder"
  say "taking the players into $folder/static/assets/players"
  # Under another name until all are there: a build must not find half of them. Without a name and time inside (-n), the
  # same players make the same program.
  gzip -9 -n <"$modules/@cycjimmy/jsmpeg-player/dist/jsmpeg-player.umd.min.js" >"$players/.jsmpeg.js.gz"
  sed '/^\/\/# sourceMappingURL=/d' "$modules/mpegts.js/dist/mpegts.js" | gzip -9 -n >"$players/.mpegts.js.gz"
  for name in jsmpeg.js.gz mpegts.js.gz; do mv "$players/.$name" "$players/$name"; done
}
