module github.com/cern-eos/go-eosgrpc

go 1.25.0
