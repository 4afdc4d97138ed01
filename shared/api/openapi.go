package api

import (
	_ "embed"
	"net/http"
)

// openAPIDocument is the OpenAPI 3.1 description of every call.
//
//go:embed openapi.json
var openAPIDocument []byte

func (s *server) openAPI(c *call) (answer, error) {
	c.w.Header().Set("Cache-Control", "public, max-age=300")
	c.w.Header().Set("Access-Control-Allow-Origin", "*") // viewers in a browser; there is nothing secret in it
	return answer{status: http.StatusOK, raw: openAPIDocument}, nil
}
