"""Where each operator of a compiled model runs: the ledger, the lint, and the compilers of NPUs."""
