"""For the tests of plug-ins and of agents: fakes, contract test classes, failpoints. Import the modules you need."""
