"""One program a peer, each run in its own environment: nothing of memsdk may be imported here but by `memsdk_`."""
