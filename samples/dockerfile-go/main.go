// A server that says hello, small enough to run FROM scratch.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello from", r.URL.Path)
	})
	address := ":" + os.Getenv("PORT")
	log.Println("listening on", address)
	log.Fatal(http.ListenAndServe(address, nil))
}
