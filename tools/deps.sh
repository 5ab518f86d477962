#!/bin/sh
# Installs what building and running need on a bare Debian 12, if it is not there.
set -eu
need=""
command -v gcc >/dev/null || need="$need gcc libc6-dev"
[ -e /usr/include/seccomp.h ] || need="$need libseccomp-dev"
command -v pkg-config >/dev/null || need="$need pkg-config"
command -v git >/dev/null || need="$need git"
command -v curl >/dev/null || need="$need curl"
command -v ip >/dev/null || need="$need iproute2"
if ! command -v go >/dev/null; then
	echo "Go is missing: install any Go of the last two years from https://go.dev/dl (it fetches the right toolchain itself)" >&2
	exit 1
fi
# apt-get download, which makes the test images, needs package lists.
lists=$(find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null | head -n 1)
if [ -n "$need" ] || [ -z "$lists" ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "these packages are missing:$need; install them as root: apt-get install$need" >&2
		exit 1
	fi
	apt-get update -q
	# shellcheck disable=SC2086
	[ -z "$need" ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $need
fi
