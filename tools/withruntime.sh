#!/bin/sh
# withruntime.sh HYPERKUBE IMAGES COMMAND... runs a command (as root) beside a containerd of
# its own, in network and mount namespaces of their own. The command finds the socket in
# HYPERKUBE_TEST_CRI and an image with a shell in HYPERKUBE_TEST_IMAGE.
set -eu
if [ -z "${WITHRUNTIME_DIR:-}" ]; then
	WITHRUNTIME_DIR=$(mktemp -d /tmp/hyperkube-runtime-XXXXXX)
	export WITHRUNTIME_DIR
	rc=0
	unshare --net --mount --propagation private "$0" "$@" || rc=$?
	[ "$rc" = 0 ] || tail -n 20 "$WITHRUNTIME_DIR/containerd.log" >&2
	rm -rf "$WITHRUNTIME_DIR"
	exit "$rc"
fi
hyperkube=$1 images=$2 dir=$WITHRUNTIME_DIR
shift 2
"$hyperkube" containerd config --address "$dir/sock" --config "$dir/config.toml" --cni-conf-dir "$dir/cni" --libexec "$dir/libexec" --root "$dir/root" --state "$dir/state" >/dev/null
ip link set lo up
"$hyperkube" containerd --config "$dir/config.toml" --log-file "$dir/containerd.log" &
containerd=$!
trap 'kill "$containerd" && wait "$containerd" || true' EXIT
HYPERKUBE_TEST_CRI=$dir/sock
HYPERKUBE_TEST_IMAGE=hyperkube.test/busybox:v1
export HYPERKUBE_TEST_CRI HYPERKUBE_TEST_IMAGE
tries=0
until "$hyperkube" image own --address "$dir/sock" >/dev/null 2>"$dir/own.log"; do
	tries=$((tries + 1))
	if [ "$tries" -ge 60 ]; then
		cat "$dir/own.log" >&2
		exit 1
	fi
	sleep 0.5
done
"$hyperkube" image import --address "$dir/sock" "$images/busybox.tar" >/dev/null
"$@"
