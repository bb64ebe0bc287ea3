"""memsdk in the shapes that other frameworks ask for; no module of memsdk itself imports one of these."""
