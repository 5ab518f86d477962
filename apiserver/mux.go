package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"runtime"
	"slices"

	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/health"
	"hyperkube/apiserver/registry"
	"hyperkube/apiserver/request"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/apimachinery/pkg/version"
)

// mux sends resources to the verbs and the rest by path.
func (s *Server) mux() http.Handler {
	rest := http.NewServeMux()
	paths := []string{}
	handle := func(path string, h http.Handler) {
		rest.Handle(path, h)
		paths = append(paths, path)
	}
	checks := s.checks()
	for _, name := range []string{"healthz", "livez", "readyz"} {
		list := checks
		if name == "livez" {
			list = checks[:1]
		}
		h := health.Handler(name, s.o.Log, list)
		handle("/"+name, h)
		rest.Handle("/"+name+"/", h)
		for _, c := range list {
			paths = append(paths, "/"+name+"/"+c.Name)
		}
	}
	handle("/metrics", promhttp.HandlerFor(s.o.Registry, promhttp.HandlerOpts{}))
	handle("/version", s.version())
	rest.Handle("/version/", s.version())
	if s.o.Discovery != nil {
		for _, p := range []string{"/api", "/apis"} {
			handle(p, s.o.Discovery)
			rest.Handle(p+"/", s.o.Discovery)
		}
	}
	if s.o.OpenAPI != nil {
		handle("/openapi/v2", s.o.OpenAPI)
		handle("/openapi/v3", s.o.OpenAPI)
		rest.Handle("/openapi/", s.o.OpenAPI)
	}
	for path, h := range s.o.Handlers {
		handle(path, h)
	}
	slices.Sort(paths)
	rest.Handle("/{$}", index(paths))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i := request.InfoFrom(r.Context()); i.IsResource {
			if where, h := s.o.Served.Table().Who(i.GVR().GroupVersion()); where == registry.Elsewhere {
				h.ServeHTTP(w, r)
				return
			}
			s.verbs.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

func (s *Server) checks() []health.Check {
	list := append([]health.Check{health.Ping()}, s.o.ReadyChecks...)
	return append(list, health.Check{Name: "shutdown", Run: func(context.Context) error {
		if s.draining.Load() {
			return errors.New("process is shutting down")
		}
		return nil
	}})
}

func index(paths []string) http.Handler {
	body, _ := json.MarshalIndent(map[string][]string{"paths": paths}, "", "  ") // strings always encode
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		codec.WriteBody(w, "application/json", http.StatusOK, body)
	})
}

func (s *Server) version() http.Handler {
	body, _ := json.MarshalIndent(s.o.Version, "", "  ") // strings always encode
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		codec.WriteBody(w, "application/json", http.StatusOK, body)
	})
}

// DefaultVersion is that of the API spoken, marked as ours.
func DefaultVersion() version.Info {
	return version.Info{
		Major: "1", Minor: "37", GitVersion: "v1.37.2+hyperkube", GitTreeState: "clean",
		GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH,
		EmulationMajor: "1", EmulationMinor: "37", MinCompatibilityMajor: "1", MinCompatibilityMinor: "36",
	}
}
