"""What memsdk claims, measured: each module prints its figures and returns them. Not part of the tests or the wheel."""
