// A tunnel of remotedialer, for the benchmark: the server relays HTTP to the client's
// side, as Rancher does for the clusters that it manages.
//
//	remotedialer server CALLERS-ADDRESS LINKS-ADDRESS CERTIFICATE KEY TOKEN UPSTREAM
//	remotedialer client NAME LINKS-ADDRESS CA TOKEN
package main

import (
	"log"
	"os"
)

func main() {
	arguments := os.Args[1:]
	var err error
	switch {
	case len(arguments) == 7 && arguments[0] == "server":
		err = serve(arguments[1], arguments[2], arguments[3], arguments[4], arguments[5], arguments[6])
	case len(arguments) == 5 && arguments[0] == "client":
		err = dial(arguments[1], arguments[2], arguments[3], arguments[4])
	default:
		log.Fatal("give server or client, and what they need")
	}
	log.Fatal(err)
}
