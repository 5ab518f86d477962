# Everything is built and tested from here; `make help` lists the words.
# The Go toolchain that go.mod names is fetched by the go command itself.
export GOTOOLCHAIN := auto
export CGO_ENABLED := 0
export GOFLAGS := -buildvcs=false

VERSION  ?= v1.37.2
REVISION := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.buildMeta=hyperkube.$(REVISION) -X github.com/containerd/containerd/v2/version.Version=2.4.2 \
	$(foreach p,component-base/version client-go/pkg/version,-X k8s.io/$(p).gitVersion=$(VERSION) -X k8s.io/$(p).gitCommit=$(REVISION) -X k8s.io/$(p).gitTreeState= -X k8s.io/$(p).gitMajor=1 -X k8s.io/$(p).gitMinor=37)
FILES    := runtime/carried/files
DATA_DIR ?= /var/lib/hyperkube

# Packages whose goroutines share objects: the store, the API server, the loops over informers.
RACED    := ./internal/... ./store/... ./kit/... ./apiserver/... ./scheduler/... ./controllers/... ./kubelet/... ./network/... ./proxy/... ./runtime/... ./cluster/...

.DEFAULT_GOAL := build
.PHONY: help build deps up down reset test unit race kubelet e2e conformance bench measure images fmt vet clean FORCE

help: ## list the words
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n",$$1,$$2}' $(MAKEFILE_LIST)

build: bin/hyperkube ## build bin/hyperkube with the programs it carries

deps: ## install what the build needs (Debian packages, as root)
	@tools/deps.sh

up: deps build images ## build, start a one-node cluster and wait until it serves
	bin/hyperkube up --data-dir $(DATA_DIR)
	bin/hyperkube image --data-dir $(DATA_DIR) import build/images/nginx-v1.tar build/images/nginx-v2.tar build/images/busybox.tar
	@tools/next-steps.sh $(DATA_DIR)

down: ## stop the cluster; containers and data stay
	bin/hyperkube down --data-dir $(DATA_DIR)

reset: ## remove every trace of the cluster
	bin/hyperkube reset --data-dir $(DATA_DIR) --yes

test: deps build images unit race kubelet e2e conformance ## unit, scenario, race, kubelet, end-to-end and conformance tests

unit: vet ## tests that need no cluster
	go test -timeout 5m $$(go list ./... | grep -v -e /test/e2e -e /test/conformance -e /test/measure)

race: vet ## the core packages under the race detector
	CGO_ENABLED=1 go test -race -timeout 15m $(RACED)

kubelet: build images ## the kubelet on a containerd of its own
	go test -c -o build/kubelet.test ./kubelet
	cd kubelet && ../tools/withruntime.sh $(CURDIR)/bin/hyperkube $(CURDIR)/build/images $(CURDIR)/build/kubelet.test -test.timeout 15m

e2e: build images build/oldkubectl ## journeys and conformance on real clusters in namespaces of their own
	HYPERKUBE_BIN=$(CURDIR)/bin/hyperkube HYPERKUBE_IMAGES=$(CURDIR)/build/images HYPERKUBE_OLD_KUBECTL=$(CURDIR)/build/oldkubectl go test -timeout 60m -count=1 -v ./test/e2e/...

conformance: build images ## run the published behaviours against KUBECONFIG, or a cluster of its own, and report
	HYPERKUBE_BIN=$(CURDIR)/bin/hyperkube HYPERKUBE_IMAGES=$(CURDIR)/build/images go test -timeout 60m -count=1 -parallel 6 -v ./test/conformance/...

bench: ## benchmarks of the hot paths, with allocations
	go test -run '^$$' -bench . -benchmem ./store/... ./apiserver/... ./scheduler/... ./proxy/...

measure: build images ## figures of docs/performance.md on a cluster of its own
	HYPERKUBE_BIN=$(CURDIR)/bin/hyperkube HYPERKUBE_IMAGES=$(CURDIR)/build/images go test -timeout 20m -count=1 -v ./test/measure/

images: build/images/.done ## test images from Debian packages

fmt: ## format
	gofmt -w $$(git ls-files '*.go')

vet: $(FILES)/hyperkube-cni.zst ## static checks
	go vet ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || (gofmt -l $$(git ls-files '*.go'); exit 1)

clean: ## remove what was built
	rm -rf bin build $(FILES)/*.zst

# --- the binary -------------------------------------------------------------
bin/hyperkube: $(FILES)/runc.zst $(FILES)/containerd-shim-runc-v2.zst $(FILES)/hyperkube-cni.zst $(FILES)/pause.zst $(FILES)/hyperkube-keep.zst FORCE
	go build -ldflags '$(LDFLAGS)' -o $@ ./cmd/hyperkube

build/carry: tools/carry/main.go
	go build -o $@ ./tools/carry

$(FILES)/%.zst: build/% build/carry
	build/carry $< $@

build/runc: tools/runc/go.mod tools/runc/go.sum
	@mkdir -p build
	cd tools/runc && CGO_ENABLED=1 go build -tags 'seccomp netgo osusergo' -ldflags '-s -w -X main.version=1.5.2 -extldflags -static' -o ../../$@ github.com/opencontainers/runc

build/containerd-shim-runc-v2: go.mod
	@mkdir -p build
	go build -tags no_grpc -ldflags '-s -w' -o $@ github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2

build/hyperkube-cni: go.mod FORCE
	@mkdir -p build
	@go build -ldflags '-s -w' -o $@.new ./cmd/hyperkube-cni && if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

build/hyperkube-keep: tools/keep/keep.c
	@mkdir -p build
	gcc -Os -static -nostdlib -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -Wl,--build-id=none -s -o $@ $<

build/pause: tools/pause/pause.c
	@mkdir -p build
	gcc -Os -static -nostdlib -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -Wl,--build-id=none -s -o $@ $<

# --- test images --------------------------------------------------------------
build/nettool: $(wildcard tools/nettool/*.go) go.mod
	go build -ldflags '-s -w' -o $@ ./tools/nettool

# The standard client, five minor versions older.
build/oldkubectl: tools/oldkubectl/main.go tools/oldkubectl/go.mod tools/oldkubectl/go.sum
	@mkdir -p build
	cd tools/oldkubectl && go build -ldflags '-s -w -X k8s.io/component-base/version.gitVersion=v1.32.13 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=32' -o ../../$@ .

build/images/.done: build/nettool $(wildcard tools/testimages/*.go)
	go run ./tools/testimages -nettool build/nettool -cache build/deb -o build/images
	@touch $@

FORCE:
