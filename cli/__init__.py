"""The command line. One thin module a command group: parse, call one SDK function, print. Nothing here is API."""
