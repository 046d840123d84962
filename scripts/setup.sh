# Sourced by ./quickstart and ./check: installs what is missing, builds, tells
# how far it is. Everything comes from Debian's own packages.
#
#   setup_packages PACKAGE...   installs those that are missing (root or sudo)
#   setup_build DIR FLAGS...    configures (when needed) and builds into DIR
#   step TEXT                   one progress line with the time since the start
#   die TEXT                    one line, exit 1

START_S=$(date +%s)

say() { printf '%s\n' "$*"; }
step() { printf '[%4d s] %s\n' "$(($(date +%s) - START_S))" "$*"; }
die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

BUILD_PACKAGES="gcc libc6-dev make autoconf automake pkg-config librocksdb-dev libuv1-dev liblua5.4-dev
	libxxhash-dev libjansson-dev libinih-dev libhiredis-dev libraft-dev"

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		# sudo clears the environment, and a question of debconf would wait for ever.
		sudo env DEBIAN_FRONTEND=noninteractive "$@"
	else
		die "must install packages: run as root, or install sudo ($*)"
	fi
}

installed() { # name; libraft-dev counts from 0.22.1 on
	local state version
	state=$(dpkg-query -W -f '${db:Status-Status} ${Version}' "$1" 2>/dev/null) || return 1
	[ "${state%% *}" = installed ] || return 1
	version=${state#* }
	[ "$1" != libraft-dev ] || dpkg --compare-versions "$version" ge 0.22.1
}

# Ctrl-C ends what runs behind the shell too, which lets it ignore that: every process whose line of parents leads here.
descendants() {
	cat /proc/[0-9]*/stat 2>/dev/null | sed 's/ (.*) / x /' | awk -v root="$$" '{ parent[$1] = $4 }
		END {
			for (pid in parent) {
				for (at = parent[pid]; at in parent && at != root; at = parent[at]) { }
				if (at == root) print pid
			}
		}'
}
# shellcheck disable=SC2046
trap 'trap - INT TERM; kill $(descendants) 2>/dev/null; exit 130' INT TERM

# Waits for a process and tells every so many seconds what a command prints. Its status.
wait_telling() { # pid seconds command...
	local pid=$1 every=$2 told
	shift 2
	told=$(date +%s)
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		if [ $(($(date +%s) - told)) -ge "$every" ]; then
			step "$("$@")"
			told=$(date +%s)
		fi
	done
	wait "$pid"
}

last_line() { tail -n 1 "$1" | tr -c '[:print:]\n' ' ' | cut -c 1-90; }

# Runs a command with its output in a file that is shown only when it fails.
quietly() { # log command...
	local log=$1
	shift
	"$@" >"$log" 2>&1 </dev/null &
	wait_telling "$!" 10 last_line "$log" && return 0
	tail -n 30 "$log" >&2
	return 1
}

# The archive this machine already uses for its own release: REPO_URI of main.
debian_archive() {
	apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
		awk -v codename="$1" '$2 == codename && $3 == "main" { print $1; exit }'
}

# Debian 12 carries a libraft that loses writes; its backports carry one that does not.
add_backports() {
	local uri keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	uri=$(debian_archive bookworm)
	[ -n "$uri" ] || die "no apt source for bookworm main found: check /etc/apt/sources.list"
	step "adding the bookworm-backports suite (for libraft 0.22.1)"
	{
		say "Types: deb"
		say "URIs: $uri"
		say "Suites: bookworm-backports"
		say "Components: main"
		[ ! -e "$keyring" ] || say "Signed-By: $keyring"
	} | as_root tee /etc/apt/sources.list.d/tally-backports.sources >/dev/null
}

setup_packages() {
	local name missing="" log codename="" target=""
	for name in "$@"; do
		installed "$name" || missing="$missing $name"
	done
	[ -n "$missing" ] || return 0
	[ -r /etc/debian_version ] || die "this is not Debian: install$missing by hand and run again"
	# The question for a password, if there is one, before anything goes to a file.
	as_root true || die "must install packages, and sudo says no:$missing"
	log=$(mktemp)
	step "installing$missing"
	export DEBIAN_FRONTEND=noninteractive
	codename=$(. /etc/os-release && say "${VERSION_CODENAME:-}")
	quietly "$log" as_root apt-get update -q || die "apt-get update failed (above); is Debian's registry reachable?"
	case "$missing " in
	*" libraft-dev "*)
		if [ "$codename" = bookworm ]; then
			apt-cache madison libraft-dev | grep -q 'backports' || {
				add_backports
				quietly "$log" as_root apt-get update -q || die "apt-get update failed (above)"
			}
			target="-t bookworm-backports"
		fi
		# shellcheck disable=SC2086
		quietly "$log" as_root apt-get install -y -q --no-install-recommends $target libraft-dev ||
			die "could not install libraft-dev (above)"
		;;
	esac
	# shellcheck disable=SC2086
	quietly "$log" as_root apt-get install -y -q --no-install-recommends ${missing/ libraft-dev/} ||
		die "could not install packages (above)"
	rm -f "$log"
	for name in "$@"; do
		installed "$name" || die "$name is still missing or too old after the installation"
	done
}

compiled() { # log total dir
	local count
	count=$(grep -c '^  CC ' "$1")
	[ "$count" -ge "$2" ] && say "building into $3: linking" || say "building into $3: $count of $2"
}

build_with_progress() { # dir
	local dir=$1 log=$1/make.log total
	total=$(cd "$dir" && make -n 2>/dev/null | grep -c 'echo "  CC ' || true)
	if [ "${total:-0}" -gt 0 ]; then
		step "building into $dir: $total files"
	fi
	make -C "$dir" -j"$(nproc)" >"$log" 2>&1 </dev/null &
	if ! wait_telling "$!" 5 compiled "$log" "$total" "$dir"; then
		grep -E -B2 -A8 'error|Error' "$log" | head -n 40 >&2
		die "the build failed; the whole output is in $log"
	fi
}

setup_build() {
	local dir=$1 log
	shift
	mkdir -p "$dir" || die "cannot make $dir"
	log=$dir/configure.log
	if [ ! -x configure ] || [ configure.ac -nt configure ] || [ Makefile.am -nt Makefile.in ]; then
		step "preparing the build system"
		quietly "$log" autoreconf -fi || die "autoreconf failed (above)"
	fi
	# What configure looks for may have been installed since: quickstart's build has less than ./check needs.
	if [ ! -e "$dir/Makefile" ] || [ configure -nt "$dir/config.status" ] ||
		[ /var/lib/dpkg/status -nt "$dir/config.status" ]; then
		step "configuring $dir"
		(cd "$dir" && quietly configure.log ../configure "$@") || die "configure failed (above)"
	fi
	build_with_progress "$dir"
}
